//! A channel as the indexer knows it between commits.

use std::ops::RangeBounds;

use redb::ReadableTable;

use super::codec::Row;
use super::format::Result;
use super::stored_channel::StoredChannel;
use super::tables::Tables;
use super::weight::{Weight, key_row_weight};
use crate::life::Bounds;

/// A channel as it will be with the commit under way.
#[derive(Debug)]
pub(super) struct CachedChannel {
    pub(super) id: u64,
    /// What the row would say if it were written now.
    pub(super) row: Row,
    pub(super) oldest: u64,
    /// There are no rows before this number. Between it and the oldest message there may be rows that cannot be read.
    pub(super) front: u64,
    /// Idempotency keys written since they were last counted.
    pub(super) keyed: usize,
    /// The last commit that changed the channel, and the newest message before it.
    pub(super) touched: (u64, u64),
    /// Whether the row has to be written with the next commit.
    pub(super) stale: bool,
    /// The channel's own bounds, if it has a life.
    pub(super) bounds: Option<Bounds>,
    /// What its messages weigh, where one of those bounds is on that and it was looked at.
    pub(super) bytes: Option<u64>,
}

impl CachedChannel {
    pub(super) fn of(stored: StoredChannel, bounds: Option<Bounds>) -> Self {
        Self { oldest: stored.oldest.0, ..Self::new(stored.id, stored.row, bounds) }
    }

    /// A channel whose oldest message is the one that its row says.
    pub(super) fn new(id: u64, row: Row, bounds: Option<Bounds>) -> Self {
        let (oldest, touched) = (row.oldest, (0, row.newest));
        Self { id, row, oldest, front: 0, keyed: 0, touched, stale: false, bounds, bytes: None }
    }

    pub(super) fn len(&self) -> u64 {
        (self.row.newest + 1).saturating_sub(self.oldest)
    }

    /// Deletes the messages before `upto`, and returns their weight.
    pub(super) fn delete(&mut self, tables: &mut Tables<'_>, upto: u64) -> Result<Weight> {
        if upto <= self.oldest {
            return Ok(Weight::default());
        }
        // Messages of this commit come after those that were in the file before it.
        let before = self.front..upto.min(self.touched.1 + 1).max(self.front);
        let mut freed = tables.weigh_before(self.id, before.clone())?;
        tables.messages.retain_in((self.id, before.start)..(self.id, before.end), |_, _| false)?;
        for message in tables.messages.extract_from_if((self.id, before.end)..(self.id, upto), |_, _| true)? {
            freed += Weight::of(message?.1.value());
        }
        (self.oldest, self.front, self.stale) = (upto, upto, true);
        self.row.oldest = upto;
        self.bytes = self.bytes.map(|bytes| bytes.saturating_sub(freed.bytes));
        Ok(freed.never_evicted(self.bounds.as_ref()))
    }

    /// Deletes the oldest keys until `most` are left, and returns their weight.
    pub(super) fn delete_keys(&mut self, tables: &mut Tables<'_>, most: usize) -> Result<u64> {
        let all = (self.id, 0, 0)..=(self.id, u64::MAX, u64::MAX);
        let excess = tables.keys.range(all.clone())?.count().saturating_sub(most);
        self.keyed = 0;
        delete_keys(tables, all, excess)
    }
}

/// Deletes the first `most` of these keys, and returns their weight.
pub(super) fn delete_keys(
    tables: &mut Tables<'_>,
    keys: impl RangeBounds<(u64, u64, u64)>,
    most: usize,
) -> Result<u64> {
    let mut freed = 0;
    for key in tables.keys.extract_from_if(keys, |_, _| true)?.take(most) {
        freed += key_row_weight(key?.1.value());
    }
    Ok(freed)
}
