//! Where a channel stands in the file: its number, its row as its messages correct it, and what lies in it.
//!
//! The same for the writer's tables and for a reader's view of them.

use redb::ReadableTable;
use uuid::Uuid;

use super::format::{self, Result, Row, decode_head};
use crate::channel::ChannelName;
use crate::cursor::Seq;
use crate::journal::{Landmark, Located};
use crate::time::Timestamp;

/// A channel that there is.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) id: u64,
    pub(super) row: Row,
    /// The oldest message there is, whether or not retention still covers it, and its time; the one after the
    /// newest where there is none.
    pub(super) oldest: (u64, Timestamp),
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
) -> Result<Option<Place>> {
    let Some(id) = names.get(name.as_str())?.map(|id| id.value()) else { return Ok(None) };
    let row = channels.get(id)?.ok_or_else(|| format::damaged("the table of channels"))?;
    let row = Row::decode(row.value())?;
    Place::of(messages, id, row).map(Some)
}

impl Place {
    pub(super) fn of(
        messages: &impl ReadableTable<(u64, u64), &'static [u8]>,
        id: u64,
        mut row: Row,
    ) -> Result<Self> {
        let mut range = messages.range(all_of(id))?;
        let mut oldest = None;
        if let Some(first) = range.next() {
            let (key, head) = first?;
            oldest = Some((key.value().1, decode_head(head.value())?.0));
        }
        let newest = match (range.next_back(), oldest) {
            (Some(last), _) => {
                let (key, head) = last?;
                Some((key.value().1, decode_head(head.value())?.0))
            }
            (None, only) => only,
        };
        if let Some((newest, newest_at)) = newest.filter(|(newest, _)| *newest >= row.newest) {
            (row.newest, row.newest_at) = (newest, newest_at);
        }
        let oldest = oldest.unwrap_or((row.newest + 1, row.newest_at));
        Ok(Self { id, row, oldest })
    }

    /// The first message from `low` on that `seen` does not cover, and when it was taken. Times and ids grow
    /// with the numbers, so a few looks find it.
    pub(super) fn first_unseen(
        &self,
        messages: &impl ReadableTable<(u64, u64), &'static [u8]>,
        seen: impl Fn(Timestamp, Uuid) -> bool,
    ) -> Result<(u64, Option<Timestamp>)> {
        let (mut low, mut high, mut high_at) = (self.oldest.0, self.row.newest + 1, None);
        while low < high {
            let middle = low + (high - low) / 2;
            let (at, id) = match messages.get((self.id, middle))? {
                Some(row) => decode_head(row.value())?,
                None => return Err(format::damaged("a channel with a hole")),
            };
            if seen(at, id) {
                low = middle + 1;
            } else {
                (high, high_at) = (middle, Some(at));
            }
        }
        Ok((low, high_at))
    }

    pub(super) fn locate(
        &self,
        messages: &impl ReadableTable<(u64, u64), &'static [u8]>,
        landmark: Landmark,
    ) -> Result<Located> {
        let (first, at) = match landmark {
            Landmark::Time(time) => self.first_unseen(messages, |at, _| at <= time)?,
            Landmark::Id(id) => self.first_unseen(messages, |_, other| other <= id)?,
        };
        let before = (first > self.oldest.0).then(|| Seq::new(first - 1));
        Ok(Located { before, after: at.map(|at| (Seq::new(first), at)) })
    }
}
