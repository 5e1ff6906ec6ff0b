//! The judge of the kills: what publishers were told and what readers were given, held against the log that is there
//! in the end.
//!
//! Pure: tokens in, counts out. A *token* names one message, and every publisher numbers its own from 1 upwards.

use std::collections::HashMap;

use crate::place::Seen;
use xtask::history::{History, Verdict};

/// A channel's log as it was read back: every token and where it stands, from 1.
#[derive(Debug, Default)]
pub(super) struct Log {
    places: HashMap<String, Vec<u64>>,
    last: Option<String>,
    length: u64,
}

/// What a publisher was told of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It is kept, under this number if the dialect tells numbers.
    Kept(Option<u64>),
    /// Nothing, since the server died or left.
    Nothing,
}

/// One message that a publisher sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) token: String,
    pub(super) told: Told,
}

/// What became of a publisher's messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Publishing {
    pub(super) sent: u64,
    pub(super) acknowledged: u64,
    /// Sent, never answered, and in the log all the same. That is allowed.
    pub(super) kept_unsaid: u64,
    /// Acknowledged and not in the log.
    pub(super) lost: u64,
    /// In the log once more than they should be.
    pub(super) doubled: u64,
    /// In the log before one that was sent earlier.
    pub(super) disordered: u64,
    /// In the log under another number than the one acknowledged.
    pub(super) moved: u64,
}

/// What became of a reader's messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) given: u64,
    pub(super) verdict: Verdict,
    /// Given, and not in the log, or under another number.
    pub(super) phantom: u64,
}

impl Log {
    /// Takes down the next message.
    pub(super) fn push(&mut self, token: String) {
        self.length += 1;
        self.places.entry(token.clone()).or_default().push(self.length);
        self.last = Some(token);
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The newest message's token.
    pub(super) fn last(&self) -> Option<&String> {
        self.last.as_ref()
    }

    /// Judges what one publisher sent, in the order in which it did.
    pub(super) fn judge_publisher(&self, sent: &[Sent]) -> Publishing {
        let mut found = Publishing { sent: sent.len() as u64, ..Publishing::default() };
        let mut newest = 0;
        for sent in sent {
            let places = self.places.get(&sent.token).map_or(&[][..], Vec::as_slice);
            found.doubled += (places.len() as u64).saturating_sub(1);
            match (sent.told, places.first()) {
                (Told::Kept(_), None) => found.lost += 1,
                (Told::Kept(Some(seq)), Some(&place)) if seq != place => found.moved += 1,
                (Told::Nothing, Some(_)) => found.kept_unsaid += 1,
                _ => {}
            }
            found.acknowledged += u64::from(sent.told != Told::Nothing);
            if let Some(&place) = places.first() {
                found.disordered += u64::from(place < newest);
                newest = newest.max(place);
            }
        }
        found
    }

    /// Judges what one reader was given, in the order in which it was.
    pub(super) fn judge_reader(&self, seen: &[Seen]) -> Reading {
        let mut found = Reading { given: seen.len() as u64, ..Reading::default() };
        let mut history = History::default();
        for seen in seen {
            let places = self.places.get(&seen.token).map_or(&[][..], Vec::as_slice);
            match (seen.seq, places.first()) {
                (Some(seq), _) if places.contains(&seq) => history.saw(seq),
                (None, Some(&place)) => history.saw(place),
                _ => found.phantom += 1,
            }
        }
        found.verdict = history.verdict(self.length);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(tokens: &[&str]) -> Log {
        let mut log = Log::default();
        tokens.iter().for_each(|token| log.push((*token).to_owned()));
        log
    }

    fn sent(token: &str, told: Told) -> Sent {
        Sent { token: token.to_owned(), told }
    }

    fn seen(seq: Option<u64>, token: &str) -> Seen {
        Seen { seq, token: token.to_owned() }
    }

    #[test]
    fn what_was_acknowledged_must_be_there_once_in_order_and_in_its_place() {
        let kept = Told::Kept(None);
        let judge = |tokens: &[&str], sent: &[Sent]| log(tokens).judge_publisher(sent);
        let clean = judge(&["a", "b"], &[sent("a", Told::Kept(Some(1))), sent("b", kept)]);
        assert_eq!(clean, Publishing { sent: 2, acknowledged: 2, ..Publishing::default() });
        assert_eq!(judge(&["b"], &[sent("a", kept), sent("b", kept)]).lost, 1);
        assert_eq!(judge(&["a", "a"], &[sent("a", kept)]).doubled, 1);
        assert_eq!(judge(&["b", "a"], &[sent("a", kept), sent("b", kept)]).disordered, 1);
        assert_eq!(judge(&["x", "a"], &[sent("a", Told::Kept(Some(1)))]).moved, 1);
    }

    #[test]
    fn what_was_never_answered_may_be_there_or_not_but_not_twice() {
        let unsaid = [sent("a", Told::Nothing)];
        assert_eq!(log(&[]).judge_publisher(&unsaid), Publishing { sent: 1, ..Publishing::default() });
        assert_eq!(log(&["a"]).judge_publisher(&unsaid).kept_unsaid, 1);
        assert_eq!(log(&["a", "a"]).judge_publisher(&unsaid).doubled, 1);
    }

    #[test]
    fn a_reader_must_be_given_the_log_and_nothing_else() {
        let log = log(&["a", "b", "c"]);
        let judge = |given: &[Seen]| log.judge_reader(given);
        assert!(judge(&[seen(Some(1), "a"), seen(None, "b"), seen(None, "c")]).verdict.is_clean());
        let lossy = judge(&[seen(None, "a"), seen(None, "a"), seen(None, "c")]);
        assert_eq!(lossy.verdict, Verdict { lost: 1, doubled: 1, disordered: 0 });
        assert_eq!(judge(&[seen(None, "x")]).phantom, 1);
        assert_eq!(judge(&[seen(Some(2), "a")]).phantom, 1);
    }
}
