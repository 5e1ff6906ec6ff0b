//! The position after what a subscription has returned, which is behind what it has read.
//!
//! Readable while the subscription is in use, so behind a lock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use poll_core::{ChannelKey, Cursor, CursorSet, Token};

use crate::channels::{Begin, List};

/// Positions by the tickets of the list's entries.
#[derive(Debug, Clone, Default)]
pub(crate) struct Returned {
    /// Locked for a look-up or an insertion, never across an await.
    positions: Arc<Mutex<HashMap<u64, Cursor>>>,
}

impl Returned {
    pub(crate) fn stands_at(&self, ticket: u64, cursor: Cursor) {
        self.positions().insert(ticket, cursor);
    }

    pub(crate) fn all_stand_at(&self, positions: impl Iterator<Item = (u64, Cursor)>) {
        self.positions().extend(positions);
    }

    pub(crate) fn forget_all_but(&self, list: &List) {
        self.positions().retain(|ticket, _| list.entries.iter().any(|entry| entry.ticket == *ticket));
    }

    /// The token of the list's channels, without those whose position is not known. `None` if that is all of them.
    pub(crate) fn token(&self, list: &List) -> Option<Token> {
        let positions = self.positions();
        let known = list.entries.iter().filter_map(|entry| {
            let begin = match entry.begin {
                Begin::After(cursor) => Some(cursor),
                Begin::Oldest => Some(Cursor::ZERO),
                Begin::Now | Begin::Perhaps(_) => None,
            };
            Some((&entry.channel, positions.get(&entry.ticket).copied().or(begin)?))
        });
        let mut known: Vec<_> = known.collect();
        match (&known[..], list.entries.len()) {
            (&[(_, cursor)], 1) => Some(Token::Cursor(cursor)),
            _ => compound(known.drain(..).map(|(channel, cursor)| (ChannelKey::of(channel), cursor)))?
                .parse()
                .ok(),
        }
    }

    fn positions(&self) -> MutexGuard<'_, HashMap<u64, Cursor>> {
        self.positions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The text of a compound token; `None` without any position.
pub(crate) fn compound(positions: impl Iterator<Item = (ChannelKey, Cursor)>) -> Option<String> {
    let mut text = CursorSet::PREFIX.to_owned();
    for (key, cursor) in positions {
        // Base64 only.
        text.push_str(std::str::from_utf8(&CursorSet::entry(&key, cursor)).unwrap_or_default());
    }
    (text.len() > CursorSet::PREFIX.len()).then_some(text)
}
