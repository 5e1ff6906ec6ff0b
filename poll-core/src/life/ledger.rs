//! The life of a channel that is in memory: as the journal has it, and as it will be once what is pending is kept.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::change::{Change, Content};
use super::producer::Producers;
use super::record::{Life, Lifetime, Phase};
use super::rules::{Existence, Facts, Seen};
use crate::types::Timestamp;

/// A channel's life, under the channel's lock.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    kept: Arc<Life>,
    handed: Arc<Life>,
    /// What was handed before that.
    before: Arc<Life>,
    /// Whether it was created, so that it is there without any message.
    born: bool,
    /// Whether its time was over when it was last looked at.
    over: bool,
    /// When it was last used, as far as that lengthens its time.
    used: Timestamp,
    /// The last use that the journal was to keep.
    reported: Timestamp,
    pub(crate) producers: Producers,
    /// Forks of this channel, where no journal counts them.
    pub(crate) forks: u64,
    /// Forks that are being made.
    pub(crate) pins: u64,
    /// How many operations need the channel to stay in memory.
    pub(crate) holds: u64,
    /// How often a fork of it was made.
    pub(crate) forked: u64,
    /// Dropped when something that was pending is decided, without holding a lock: it wakes those who wait for that.
    settled: Option<watch::Sender<()>>,
    /// What the channel's messages count among those that are never evicted, in bytes.
    pub(crate) counted: u64,
}

impl Ledger {
    /// As a journal kept it.
    pub(crate) fn recalled(life: Life) -> Self {
        // A use in the last quarter need not have been kept.
        let grace = match life.lifetime {
            Lifetime::Sliding(lifetime) => lifetime / 4,
            Lifetime::Endless | Lifetime::Until(_) => Duration::ZERO,
        };
        let (used, life) = (life.touched.after(grace), Arc::new(life));
        let (kept, handed, before) = (life.clone(), life.clone(), life);
        Self { kept, handed, before, born: true, used, producers: Producers::not_loaded(), ..Self::default() }
    }

    /// The life of a channel that was born by a publish and is in the journal.
    pub(crate) fn plain_recalled() -> Self {
        Self { producers: Producers::not_loaded(), ..Self::default() }
    }

    /// As the journal has it.
    pub(crate) fn life(&self) -> &Arc<Life> {
        &self.kept
    }

    /// What the rules go by: the channel as it will be once what is pending is kept.
    pub(crate) fn facts(&self, seen: Seen) -> Facts<'_> {
        self.facts_of(&self.handed, seen)
    }

    /// The same as readers see it.
    pub(crate) fn visible_facts(&self, seen: Seen) -> Facts<'_> {
        self.facts_of(&self.kept, seen)
    }

    fn facts_of<'a>(&self, life: &'a Life, seen: Seen) -> Facts<'a> {
        let Seen { has_log, ending, end, newest_at } = seen;
        Facts {
            life,
            born: self.born || has_log,
            ending,
            end,
            used: self.used.max(life.touched).max(newest_at),
        }
    }

    /// Whether it was created, and the journal has it.
    pub(crate) fn is_born(&self) -> bool {
        self.born
    }

    /// Whether readers see the channel, which has messages or has ended if `has_log`.
    pub(crate) fn is_visible(&self, has_log: bool) -> bool {
        (self.born || has_log) && self.kept.phase == Phase::Live && !self.over
    }

    /// Looks at the time: a use lengthens a sliding lifetime that is not over.
    pub(crate) fn at(&mut self, now: Timestamp, seen: Seen, used: bool) -> Existence {
        let existence = self.visible_facts(seen).existence(now);
        self.over = existence == Existence::Over;
        if used && existence == Existence::Live {
            self.used = self.used.max(now);
        }
        existence
    }

    /// It is used at `now` by readers who wait, even if its time would be over.
    pub(crate) fn prolong(&mut self, now: Timestamp) {
        if matches!(self.kept.lifetime, Lifetime::Sliding(_)) {
            self.used = self.used.max(now);
            self.over = false;
        }
    }

    /// It is known to be used last at `now`.
    pub(crate) fn used_at(&mut self, now: Timestamp) {
        self.used = now;
    }

    /// How much of a sliding lifetime would be lost if the journal did not keep the last use.
    pub(crate) fn unkept_use(&self, newest_at: Timestamp) -> Option<(Duration, Duration)> {
        let Lifetime::Sliding(lifetime) = self.kept.lifetime else { return None };
        let unkept = self.used.since(self.kept.touched.max(newest_at));
        (!unkept.is_zero()).then_some((unkept, lifetime))
    }

    /// Whether the journal should keep the last use; true once for each.
    pub(crate) fn report_use(&mut self, newest_at: Timestamp) -> bool {
        let Some((unkept, lifetime)) = self.unkept_use(newest_at) else { return false };
        let is_due = unkept.min(self.used.since(self.reported)) > lifetime / 4;
        if is_due {
            self.reported = self.used;
        }
        is_due
    }

    /// Whether it may be forgotten with its channel, once that is empty.
    pub(crate) fn is_forgettable(&self) -> bool {
        !self.born && self.forks == 0 && self.is_free()
    }

    /// Whether the channel may leave memory.
    pub(crate) fn is_free(&self) -> bool {
        self.pins == 0 && self.holds == 0
    }

    /// A change was handed to the journal.
    pub(crate) fn hand(&mut self, change: &Change) {
        if let Some(life) = &change.life {
            self.before = std::mem::replace(&mut self.handed, life.clone());
        }
        if let Some((id, producer)) = &change.producer {
            self.producers.hand(id, *producer);
        }
    }

    /// The journal kept it.
    pub(crate) fn keep(&mut self, change: &Change) {
        if let Some(life) = &change.life {
            self.kept = life.clone();
        }
        if let Some((id, producer)) = &change.producer {
            self.producers.keep(id, *producer);
        }
        self.born |= change.content == Content::Born;
    }

    /// The journal did not keep it.
    pub(crate) fn fail(&mut self, change: &Change) {
        if let Some((id, _)) = &change.producer {
            self.producers.fail(id);
        }
    }

    /// The journal refused what was handed to it just now.
    pub(crate) fn refuse(&mut self, change: &Change) {
        if change.life.is_some() {
            self.handed = self.before.clone();
        }
        if let Some((id, _)) = &change.producer {
            self.producers.refuse(id);
        }
    }

    /// Nothing is pending any more, and something failed.
    pub(crate) fn roll_back(&mut self) {
        self.handed = self.kept.clone();
    }

    /// Wakes when something that is pending is decided, or in doubt.
    pub(crate) fn wait(&mut self) -> watch::Receiver<()> {
        self.settled.get_or_insert_with(|| watch::channel(()).0).subscribe()
    }

    /// To be dropped without a lock, once something was decided or is in doubt.
    pub(crate) fn settled(&mut self) -> Option<watch::Sender<()>> {
        self.settled.take()
    }
}
