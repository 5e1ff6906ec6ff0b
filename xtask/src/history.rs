//! What one reader saw of one channel, and the verdict on it.
//!
//! The judge of `demo` and `torture`. Pure: sequence numbers in, counts out; knows neither HTTP nor patterns.

use std::collections::BTreeSet;

/// The messages that a reader saw.
#[derive(Debug, Default)]
pub struct History {
    /// The newest seen.
    newest: u64,
    /// Passed over and not seen since.
    missing: BTreeSet<u64>,
    doubled: u64,
    disordered: u64,
}

/// What became of the messages of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Published and never seen.
    pub lost: u64,
    /// Seen again.
    pub doubled: u64,
    /// Seen after a later one.
    pub disordered: u64,
}

impl Verdict {
    /// Whether every message was seen once and in order.
    pub fn is_clean(self) -> bool {
        self == Self::default()
    }
}

impl History {
    /// Takes down that the message with this number was given.
    pub fn saw(&mut self, seq: u64) {
        if seq > self.newest {
            self.missing.extend(self.newest + 1..seq);
            self.newest = seq;
        } else if self.missing.remove(&seq) {
            self.disordered += 1;
        } else {
            self.doubled += 1;
        }
    }

    /// The newest message seen, 0 if none was.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// The verdict, if the channel's messages are 1 to `published`.
    pub fn verdict(&self, published: u64) -> Verdict {
        let lost = self.missing.len() as u64 + published.saturating_sub(self.newest);
        Verdict { lost, doubled: self.doubled, disordered: self.disordered }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(seen: &[u64], published: u64) -> Verdict {
        let mut history = History::default();
        for &seq in seen {
            history.saw(seq);
        }
        history.verdict(published)
    }

    #[test]
    fn every_message_once_and_in_order_is_clean() {
        assert!(verdict(&[1, 2, 3], 3).is_clean());
        assert!(verdict(&[], 0).is_clean());
    }

    #[test]
    fn a_hole_and_a_missing_end_are_losses() {
        assert_eq!(verdict(&[1, 3], 5), Verdict { lost: 3, doubled: 0, disordered: 0 });
    }

    #[test]
    fn a_repeat_is_a_double_and_a_late_one_is_out_of_order() {
        assert_eq!(verdict(&[1, 2, 2], 2), Verdict { lost: 0, doubled: 1, disordered: 0 });
        assert_eq!(verdict(&[1, 3, 2], 3), Verdict { lost: 0, doubled: 0, disordered: 1 });
        assert_eq!(verdict(&[1, 3, 2, 2], 3), Verdict { lost: 0, doubled: 1, disordered: 1 });
    }
}
