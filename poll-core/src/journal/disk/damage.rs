//! Damage found since the file was opened: each row is counted once, however often it is read.

use std::collections::BTreeMap;

use tokio::sync::watch;

use crate::journal::Damage;
use crate::sync::Mutex;

/// How many ranges are remembered at most; damage beyond them is reported to readers, but not counted.
const REMEMBERED: usize = 65_536;

#[derive(Debug)]
pub(super) struct Damages {
    /// Table, first part of the key and start of each range, to its end.
    known: Mutex<BTreeMap<(Kind, u64, u64), u64>>,
    found: watch::Sender<Damage>,
}

/// Which rows are damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A channel's row, by its number.
    Channel,
    /// A channel, by the hash of its name.
    Name,
    /// What all channels are found by.
    Tables,
    /// Messages, by their channel's number.
    Messages,
    /// Idempotency keys, by their channel's number and when they were taken.
    Keys,
    /// Stretches of a segment of the log, by its number.
    Segment,
}

impl Default for Damages {
    fn default() -> Self {
        Self { known: Mutex::default(), found: watch::Sender::new(Damage::default()) }
    }
}

impl Damages {
    /// Records that the rows from `first` to `last` are damaged; `what` describes it for the operator if some are new.
    pub(super) fn note(&self, kind: Kind, id: u64, (first, last): (u64, u64), what: impl FnOnce() -> String) {
        let mut known = self.known.lock();
        if known.len() >= REMEMBERED {
            return;
        }
        let touching = |((other, number, _), end): &(&(Kind, u64, u64), &u64)| {
            (*other, *number) == (kind, id) && end.saturating_add(1) >= first
        };
        let before = known.range(..=(kind, id, last.saturating_add(1))).rev();
        let touching: Vec<_> =
            before.take_while(touching).map(|((_, _, start), end)| (*start, *end)).collect();
        let (mut from, mut to, mut new) = (first, last, (last - first).saturating_add(1));
        for (start, end) in touching {
            new -= end.min(last).saturating_add(1).saturating_sub(start.max(first)).min(new);
            (from, to) = (from.min(start), to.max(end));
            known.remove(&(kind, id, start));
        }
        known.insert((kind, id, from), to);
        drop(known);
        if new > 0 {
            self.found.send_modify(|found| {
                found.rows += new;
                found.last = what();
            });
        }
    }

    pub(super) fn found(&self) -> watch::Receiver<Damage> {
        self.found.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(damages: &Damages) -> u64 {
        damages.found().borrow().rows
    }

    #[test]
    fn what_is_found_again_is_counted_once() {
        let damages = Damages::default();
        let note = |first, last| damages.note(Kind::Messages, 1, (first, last), || format!("{first}"));
        note(5, 6);
        note(5, 6);
        assert_eq!(rows(&damages), 2);
        note(10, 12);
        note(7, 9);
        assert_eq!((rows(&damages), damages.known.lock().len()), (8, 1));
        note(1, 20);
        assert_eq!(rows(&damages), 20);
        note(3, 4);
        note(30, 30);
        note(30, 30);
        assert_eq!((rows(&damages), damages.found().borrow().last.as_str()), (21, "30"));
        damages.note(Kind::Messages, 2, (5, 6), String::new);
        damages.note(Kind::Keys, 1, (5, 6), String::new);
        assert_eq!(rows(&damages), 25);
    }
}
