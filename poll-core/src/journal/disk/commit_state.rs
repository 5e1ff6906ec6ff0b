//! The indexer's state between commits, and of the commit under way: totals, cached channels, damaged channels.
//!
//! After a failed commit it forgets the channels and reads the file again.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::cached_channel::CachedChannel;
use super::codec::Totals;
use super::format::Result;
use super::log::recent::Recent;
use super::shared::Shared;
use super::sweeper::Sweeper;
use super::synced_file::FileState;
use super::tables::Tables;
use crate::environment::Environment;
use crate::life::Bounds;
use crate::types::{ChannelName, Epoch, NameMap, Retention, Seq};

/// Channels cached between commits; a megabyte for every few thousand.
pub(super) const CACHED: usize = 65_536;

pub(super) struct CommitState {
    pub(super) totals: Totals,
    pub(super) cache: NameMap<CachedChannel>,
    pub(super) retention: Retention,
    /// Deletes what is too old, channel by channel.
    pub(super) sweeper: Sweeper,
    /// Channels found damaged. Nothing more is written to them or deleted from them.
    pub(super) damaged: BTreeSet<ChannelName>,
    /// Channels that could not begin anew with what is left of them beside their messages.
    pub(super) bare: BTreeSet<ChannelName>,
    /// Channels that the commit under way removed: the file before it still has them.
    pub(super) removed: BTreeSet<ChannelName>,
    /// The channel being worked on; after a failure, the one that it happened at.
    pub(super) current: Option<ChannelName>,
    /// The last commit that failed, by its number. It may have happened all the same.
    pub(super) undecided: Option<(u64, CommitSummary)>,
    pub(super) file: Arc<FileState>,
    pub(super) recent: Arc<Recent>,
    pub(super) environment: Environment,
}

/// What one commit did.
#[derive(Default)]
pub(super) struct CommitSummary {
    /// The channels that were changed.
    pub(super) touched: Vec<ChannelName>,
    /// Channels whose messages before this number were deleted early, to make room.
    pub(super) evicted: Vec<(ChannelName, Epoch, Seq)>,
    /// How many channels were forgotten.
    pub(super) forgotten: u64,
    /// Channels that turned out to be damaged, and how.
    pub(super) damaged: Vec<(ChannelName, String)>,
    /// Damaged channels that began anew, or are gone.
    pub(super) renewed: Vec<ChannelName>,
}

impl CommitState {
    pub(super) fn new(totals: Totals, shared: &Shared) -> Self {
        Self {
            totals,
            cache: NameMap::default(),
            retention: Retention::default(),
            sweeper: Sweeper::default(),
            damaged: BTreeSet::new(),
            bare: BTreeSet::new(),
            removed: BTreeSet::new(),
            current: None,
            undecided: None,
            file: shared.file.clone(),
            recent: shared.recent.clone(),
            environment: shared.environment.clone(),
        }
    }

    /// A channel's own bounds: those that the log has, which may be newer than what is moved, or else those of the database.
    pub(super) fn bounds_of(&self, name: &ChannelName, stored: Option<Bounds>) -> Option<Bounds> {
        self.recent.bounds(name).or(stored)
    }

    /// Whether some of a channel is damaged or cannot be read: nothing of it is changed. What could not be read once is tried
    /// again.
    pub(super) fn is_damaged(&self, name: &ChannelName) -> bool {
        self.damaged.contains(name) || self.file.unreadable.check(name).is_err()
    }

    /// Starts over after the file was opened again. Returns what the last commit did if it failed and is in the file.
    pub(super) fn reset(&mut self, totals: Totals) -> Option<CommitSummary> {
        self.totals = totals;
        self.cache.clear();
        self.damaged.clear();
        let (_, summary) = self.undecided.take().filter(|(commit, _)| *commit == totals.commit)?;
        self.renewed(&summary);
        Some(summary)
    }

    /// Channels that began anew are whole.
    pub(super) fn renewed(&mut self, summary: &CommitSummary) {
        for name in &summary.renewed {
            self.damaged.remove(name);
            self.bare.remove(name);
            self.file.unreadable.forget(name);
        }
    }

    /// The channel of this name within this commit, for changes.
    pub(super) fn touch(
        &mut self,
        tables: &Tables<'_>,
        name: &ChannelName,
        summary: &mut CommitSummary,
    ) -> Result<Option<&mut CachedChannel>> {
        if !self.cache.contains_key(name) {
            if self.removed.contains(name) {
                return Ok(None);
            }
            let Some(stored) = tables.find_before(name)? else { return Ok(None) };
            let bounds = tables.life(stored.id)?.map(|life| life.bounds);
            self.cache.insert(name.clone(), CachedChannel::of(stored, bounds));
        }
        let Some(channel) = self.cache.get_mut(name) else { return Ok(None) };
        if channel.touched.0 != self.totals.commit {
            summary.touched.push(name.clone());
            channel.touched = (self.totals.commit, channel.row.newest);
        }
        Ok(Some(channel))
    }
}
