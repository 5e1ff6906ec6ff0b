//! What a crash left in the log and the database does not have.
//!
//! It is read into memory, and the indexer then moves it to the database like any sealed segment, so that a start does not
//! wait for that. A start does wait if something is missing from the log, because it has to be known which channels begin
//! anew before any is read; after interval durability, because every channel then begins a new epoch; if a segment cannot be
//! written; where there is no server, so that nothing would move it; and if there are more than a few of them: all but the newest
//! are moved first.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use redb::Database;

use super::super::codec::Totals;
use super::super::commit_state::CommitState;
use super::super::damage::Kind;
use super::super::fault::io_error;
use super::super::format::Result;
use super::super::index_queue::Sealed;
use super::super::log::recent::Memtable;
use super::super::log::replay::{self, Replayed};
use super::super::log::segment;
use super::super::retention::Deletions;
use super::super::shared::Shared;
use crate::planted::{self, Bug};

/// How much of the log is held in memory, in full segments; one more may be added. One crash leaves less than this. Segments
/// count as the largest there are if no store has said yet what is retained.
const MOST: u64 = 4;

/// Reads the segments that the database does not have, and removes those that it has. Returns the totals as they are then, and
/// what is left for the indexer: nothing if the database has to have it first.
pub(super) fn read(
    shared: &Shared,
    database: &Database,
    totals: Totals,
    waits: bool,
) -> Result<(Totals, Option<Sealed>)> {
    let location = &*shared.location;
    let numbers = location.segments().map_err(io_error)?;
    let newest = numbers.last().copied().unwrap_or(0);
    shared.next_segment.store(newest.max(totals.indexed) + 1, Ordering::Relaxed);
    let first = totals.indexed + 1 + u64::from(planted::is(Bug::OffByOne));
    let mut backlog = Backlog::new(shared, database, totals, waits);
    for number in numbers {
        if number >= first {
            backlog.add(number, number == newest)?;
        }
        if number < backlog.state.totals.indexed {
            location.remove_segment(number).map_err(io_error)?;
        }
    }
    backlog.finish()
}

/// What was read so far.
struct Backlog<'a> {
    shared: &'a Shared,
    database: &'a Database,
    state: CommitState,
    /// What is not in the database.
    memtable: Memtable,
    /// The number of the last segment in it, and how long its segments are together.
    last_segment: u64,
    bytes: u64,
    /// The database has to have all of it before anything is read.
    waits: bool,
}

impl<'a> Backlog<'a> {
    fn new(shared: &'a Shared, database: &'a Database, totals: Totals, waits: bool) -> Self {
        let mut state = CommitState::new(totals, shared);
        state.retention = shared.retention();
        let (memtable, last_segment, bytes) = (Memtable::default(), totals.indexed, 0);
        Self { shared, database, state, memtable, last_segment, bytes, waits }
    }

    /// Adds a segment.
    fn add(&mut self, number: u64, is_newest: bool) -> Result<()> {
        if self.bytes >= MOST * self.shared.segment_bytes() {
            self.index()?;
        }
        let (shared, before) = (self.shared, std::mem::take(&mut self.memtable));
        let read = replay::read(&*shared.location, number, &shared.retention(), before);
        let Replayed { split, memtable, scan, length } = read.map_err(io_error)?;
        // A server that was killed before it could sync may have left what only the kernel has. It is shown from now on, and
        // others build on it. Where it cannot be written, the database has to have it first.
        let is_kept = segment::write_again(&*shared.location, number, scan.last_write).is_ok();
        if scan.damaged > 0 {
            let line = || format!("segment {number} of the log: {} stretches", scan.damaged);
            shared.damages.note(Kind::Segment, number, (1, scan.damaged), line);
            // It is not known of which channels: their last numbers may be given out again. If this start ends half way, the
            // next one may not see the damage, so the commit itself records it.
            self.state.totals.relaxed = true;
        }
        // The newest segment may end in a write that was not finished. If another one does, publishes behind it may follow on
        // what is missing, and would hide what the database has.
        let is_cut = scan.unfinished > 0 && !is_newest;
        self.waits |= scan.damaged > 0 || !split.is_empty() || is_cut || !is_kept;
        for part in split {
            // Only the last commit may say that the database has the segment.
            self.memtable = part;
            self.last_segment = number - 1;
            self.index()?;
        }
        self.memtable = memtable;
        self.last_segment = number;
        self.bytes += length;
        Ok(())
    }

    /// Those that the database does not have.
    fn segments(&self) -> RangeInclusive<u64> {
        self.state.totals.indexed + 1..=self.last_segment
    }

    /// Moves what was read to the database.
    fn index(&mut self) -> Result<()> {
        let memtable = Arc::new(std::mem::take(&mut self.memtable));
        let sealed = Sealed { segments: self.segments(), memtable };
        let summary = self.state.index_past_damage(self.database, Some(&sealed), &Deletions::default())?;
        for (name, why) in &summary.damaged {
            self.shared.note_damage(name, why);
        }
        self.bytes = 0;
        Ok(())
    }

    fn finish(mut self) -> Result<(Totals, Option<Sealed>)> {
        let waits = self.waits || self.state.totals.relaxed;
        if waits && self.last_segment > self.state.totals.indexed {
            self.index()?;
        }
        let segments = self.segments();
        let memtable = Some(self.memtable).filter(|memtable| !memtable.is_empty());
        let sealed = memtable.map(|memtable| Sealed { segments, memtable: Arc::new(memtable) });
        Ok((self.state.totals, sealed))
    }
}
