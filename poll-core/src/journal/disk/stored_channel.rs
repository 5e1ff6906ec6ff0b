//! A channel as the file has it: its number, its row corrected by its messages, and which messages can be read.
//!
//! The same for the tables of a commit and for a reader's snapshot. Rows that cannot be read are skipped: the intact messages
//! on either side of them can still be read.

use redb::{AccessGuard, ReadableTable, StorageError};
use uuid::Uuid;

use super::codec::{self, Row, RowError};
use super::fault::{guarded, is_damage};
use super::format::{self, Result};
use crate::types::{ChannelName, Timestamp};

/// A channel found in the file.
#[derive(Debug, Clone)]
pub(super) struct StoredChannel {
    pub(super) id: u64,
    pub(super) row: Row,
    /// The oldest message that can be read, expired or not, and its time; one past the newest if there is none.
    pub(super) oldest: (u64, Timestamp),
    /// The newest message that can be read; one before the oldest if there is none.
    pub(super) whole: u64,
    /// Damaged rows at either end, by their numbers, and missing ones.
    pub(super) damaged: Vec<(u64, u64)>,
    /// The end at which a page cannot be read: more is damaged there, in rows whose numbers are not known.
    pub(super) unreachable: Option<End>,
}

/// An end of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Oldest,
    /// Without it, the newest number is not known: higher ones may have been given out already.
    Newest,
}

/// The part of a table that belongs to one channel.
pub(super) fn all_of(id: u64) -> std::ops::RangeInclusive<(u64, u64)> {
    (id, 0)..=(id, u64::MAX)
}

pub(super) fn find(
    names: &impl ReadableTable<&'static str, u64>,
    channels: &impl ReadableTable<u64, &'static [u8]>,
    messages: &impl ReadableTable<(u64, u64), &'static [u8]>,
    name: &ChannelName,
) -> Result<Option<StoredChannel>> {
    let Some(id) = names.get(name.as_str())?.map(|id| id.value()) else { return Ok(None) };
    let row = channels.get(id)?.ok_or_else(|| format::damaged("a channel's row"))?;
    let row = Row::decode(id, row.value())?;
    if row.name != *name {
        return Err(format::damaged("the table of names"));
    }
    StoredChannel::of(messages, id, row).map(Some)
}

/// An entry of a table.
type Entry<'a, K, V> = (AccessGuard<'a, K>, AccessGuard<'a, V>);

/// An entry of the table of messages, if it can be read.
type MessageRow<'a> = std::result::Result<Entry<'a, (u64, u64), &'static [u8]>, StorageError>;

/// One end of a channel.
#[derive(Default)]
struct Edge {
    /// The first message from there that can be read.
    whole: Option<(u64, Timestamp)>,
    /// Rows skipped on the way to it, by their numbers.
    passed: Vec<(u64, RowError)>,
}

/// Walks from one end of a channel to the first message that can be read.
fn edge<'a>(mut entries: impl Iterator<Item = MessageRow<'a>>) -> Result<Edge> {
    let mut edge = Edge::default();
    while let Some((key, row)) = next_row(&mut entries)? {
        let (id, seq) = key.value();
        match codec::decode_head(id, seq, row.value()) {
            Ok((at, _)) => {
                edge.whole = Some((seq, at));
                break;
            }
            Err(fault) => edge.passed.push((seq, fault)),
        }
    }
    Ok(edge)
}

impl StoredChannel {
    pub(super) fn of(
        messages: &impl ReadableTable<(u64, u64), &'static [u8]>,
        id: u64,
        mut row: Row,
    ) -> Result<Self> {
        let range = || messages.range(all_of(id));
        let beyond = |whole| Edge { whole, passed: Vec::new() };
        let ends = (guarded(|| edge(range()?)), guarded(|| edge(range()?.rev())));
        let (front, back, unreachable) = match ends {
            (Ok(front), Ok(back)) => (front, back, None),
            // A page at one end cannot be read: walk from the other end as far as possible.
            (Err(error), Ok(back)) if is_damage(&error) => {
                (beyond(last(range()?.rev())), back, Some(End::Oldest))
            }
            (Ok(front), Err(error)) if is_damage(&error) => {
                (front, beyond(last(range()?)), Some(End::Newest))
            }
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        // Numbers have no gaps, but the key of a damaged row may be wrong too. Their count is not.
        let behind = back.passed.len() as u64;
        let newest =
            back.whole.map_or(row.newest.saturating_add(behind), |(seq, _)| seq.saturating_add(behind));
        let vanished = back.whole.is_some() && newest < row.newest;
        let vanished = vanished.then_some((newest.saturating_add(1), row.newest));
        if newest >= row.newest {
            row.newest = newest;
            row.newest_at = back.whole.map_or(row.newest_at, |(_, at)| at.max(row.newest_at));
        }
        let oldest = front.whole.unwrap_or((row.newest.saturating_add(1), row.newest_at));
        let whole = back.whole.map_or(oldest.0 - 1, |(seq, _)| seq);
        let passed = front.passed.into_iter().chain(back.passed);
        let passed = passed.filter(|(_, fault)| *fault != RowError::Lost).map(|(seq, _)| (seq, seq));
        let vanished_first = (row.oldest > 0 && oldest.0 > row.oldest).then_some((row.oldest, oldest.0 - 1));
        let damaged = passed.chain(vanished_first).chain(vanished).collect();
        Ok(Self { id, row, oldest, whole, damaged, unreachable })
    }

    /// Whether damage may hide messages after the newest that is known.
    pub(super) fn hides_newest(&self) -> bool {
        self.unreachable == Some(End::Newest)
    }

    /// When a message was taken, and its id; `None` where it cannot be read.
    fn head(
        &self,
        messages: &impl ReadableTable<(u64, u64), &'static [u8]>,
        seq: u64,
    ) -> Result<Option<(Timestamp, Uuid)>> {
        let head = guarded(|| {
            let row = messages.get((self.id, seq))?;
            Ok(row.and_then(|row| codec::decode_head(self.id, seq, row.value()).ok()))
        });
        Ok(unless_damaged(head)?.flatten())
    }

    /// The first message that `seen` does not cover, and when it was taken. Times and ids grow with the numbers, so this is
    /// a binary search. Unreadable messages just before it count as not covered.
    pub(super) fn first_unseen(
        &self,
        messages: &impl ReadableTable<(u64, u64), &'static [u8]>,
        seen: impl Fn(Timestamp, Uuid) -> bool,
    ) -> Result<(u64, Option<Timestamp>)> {
        let (mut low, mut high, mut high_at) = (self.oldest.0, self.row.newest.saturating_add(1), None);
        while low < high {
            let middle = low + (high - low) / 2;
            let mut looked = middle;
            let mut found = None;
            while found.is_none() && looked < high {
                found = self.head(messages, looked)?;
                looked += 1;
            }
            match found {
                Some((at, id)) if seen(at, id) => low = looked,
                Some((at, _)) => (high, high_at) = (looked - 1, Some(at)),
                None => high = middle,
            }
        }
        Ok((low, high_at))
    }
}

/// The last message that can be read before one that redb cannot read.
fn last<'a>(mut entries: impl Iterator<Item = MessageRow<'a>>) -> Option<(u64, Timestamp)> {
    let mut last = None;
    while let Ok(Some((key, row))) = next_row(&mut entries) {
        let (id, seq) = key.value();
        last = codec::decode_head(id, seq, row.value()).ok().map(|(at, _)| (seq, at)).or(last);
    }
    last
}

/// Turns damage into `None`; other errors stay.
pub(super) fn unless_damaged<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Err(error) if is_damage(&error) => Ok(None),
        read => read.map(Some),
    }
}

/// The next row; `None` at the end. What redb gives may still claim more bytes than its page has: that is damage here, and not
/// only where it is used.
pub(super) fn next_row<'a, K: redb::Key + 'static, V: redb::Value + 'static>(
    rows: &mut impl Iterator<Item = std::result::Result<Entry<'a, K, V>, StorageError>>,
) -> Result<Option<Entry<'a, K, V>>> {
    guarded(|| {
        let row = rows.next().transpose()?;
        if let Some((key, value)) = &row {
            key.value();
            value.value();
        }
        Ok(row)
    })
}

/// The same; `None` also where redb cannot read on.
pub(super) fn next_readable<'a, K: redb::Key + 'static, V: redb::Value + 'static>(
    rows: &mut impl Iterator<Item = std::result::Result<Entry<'a, K, V>, StorageError>>,
) -> Result<Option<Entry<'a, K, V>>> {
    Ok(unless_damaged(next_row(rows))?.flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_damage_is_passed_over() {
        assert_eq!(unless_damaged::<()>(Err(format::damaged("it"))).unwrap(), None);
        let io = redb::Error::Io(std::io::Error::other("it failed"));
        assert!(unless_damaged::<()>(Err(io)).is_err());
    }
}
