//! How far a node has got with one partition.

use super::effect::{LATE, PATIENCE, Shown};
use crate::journal::redis::log::generation::{Mark, Reign};
use crate::types::{ChannelName, NameMap, Timestamp};

/// One partition, as this node knows it.
#[derive(Debug)]
pub(super) struct Progress<C> {
    /// The greatest mark of the history that is followed.
    pub(super) known: Mark,
    /// What replies of other reigns said and was not compared with `known` yet. As long as there is any, Redis may have
    /// lost something.
    unverified: Vec<Mark>,
    /// The reign that the last reply was of.
    latest: Reign,
    trust: Trust,
    /// Everything up to this count is visible, or is known to be missing and being read. `None` before the first mark.
    pub(super) synced: Option<u64>,
    /// The last count that was announced on this subscription.
    pub(super) live: Option<u64>,
    /// Which subscription this is, or which look at it since a hole.
    pub(super) subscription: u32,
    pub(super) resync: Resync,
    /// Since when it is being asked for its state.
    pub(super) asking: Option<Timestamp>,
    /// A count beyond `synced` that Redis has reached, and since when this node knows.
    behind: Option<(u64, Timestamp)>,
    checks: Vec<Check<C>>,
    /// The channels in memory, and some that have left it.
    channels: NameMap<()>,
    /// How many of them there were when it was last looked.
    counted: usize,
}

/// Whether the partition is what was seen of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    Unknown,
    Settled,
    /// It is not, and is being given a new generation since then.
    Renewing(Timestamp),
}

/// A comparison of what is in memory with what is in Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resync {
    Idle,
    /// The state was asked for.
    Asked {
        since: Timestamp,
        missed: bool,
    },
    /// Channels are being compared, by so many calls, with how they were at `base` or later.
    Comparing {
        base: u64,
        left: usize,
        since: Timestamp,
    },
}

#[derive(Debug)]
struct Check<C> {
    count: u64,
    channel: ChannelName,
    reader: C,
    since: Timestamp,
}

impl<C> Default for Progress<C> {
    fn default() -> Self {
        Self {
            known: Mark::default(),
            unverified: Vec::new(),
            latest: Reign::default(),
            trust: Trust::Unknown,
            synced: None,
            live: None,
            subscription: 0,
            resync: Resync::Idle,
            asking: None,
            behind: None,
            checks: Vec::new(),
            channels: NameMap::default(),
            counted: 0,
        }
    }
}

impl<C> Progress<C> {
    pub(super) fn is_settled(&self) -> bool {
        self.trust == Trust::Settled && self.is_verified()
    }

    /// Whether all that was seen is one history.
    pub(super) fn is_verified(&self) -> bool {
        self.unverified.is_empty()
    }

    /// The mark to compare next: one of another reign than the one that Redis seems to have.
    pub(super) fn to_verify(&self) -> Mark {
        let mut marks = std::iter::once(&self.known).chain(&self.unverified);
        *marks.find(|mark| mark.reign != self.latest).unwrap_or(&self.known)
    }

    /// A call that knew `asked` was executed, and found nothing of it lost: `mark` includes it.
    pub(super) fn replied(&mut self, asked: Mark, mark: Mark) {
        self.latest = mark.reign;
        if asked == self.known {
            self.known = mark;
        }
        self.unverified.retain(|seen| *seen != asked);
        self.unverified.push(mark);
        let seen = std::mem::take(&mut self.unverified);
        for mark in seen {
            let known = std::iter::once(&mut self.known).chain(&mut self.unverified);
            match known.into_iter().find(|known| known.reign == mark.reign) {
                Some(known) => known.count = known.count.max(mark.count),
                None => self.unverified.push(mark),
            }
        }
    }

    /// The script found it to be what was seen of it.
    pub(super) fn settle(&mut self) {
        self.trust = Trust::Settled;
    }

    pub(super) fn doubt(&mut self) {
        self.trust = Trust::Unknown;
    }

    pub(super) fn is_pending(&self) -> bool {
        self.resync != Resync::Idle
            || self.behind.is_some()
            || !self.checks.is_empty()
            || matches!(self.trust, Trust::Renewing(_))
    }

    /// Whether a renewal is to be sent: not while one is under way.
    pub(super) fn begin_renewing(&mut self, now: Timestamp) -> bool {
        let begins = !matches!(self.trust, Trust::Renewing(_));
        if begins {
            self.trust = Trust::Renewing(now);
        }
        begins
    }

    /// A renewal that was not answered may not have been sent.
    pub(super) fn gave_up_renewing(&mut self, now: Timestamp) -> bool {
        let gives_up = matches!(self.trust, Trust::Renewing(since) if now.since(since) >= PATIENCE);
        if gives_up {
            self.trust = Trust::Unknown;
        }
        gives_up
    }

    /// Whether its state is to be asked for: not while that is under way.
    pub(super) fn begin_asking(&mut self, now: Timestamp) -> bool {
        let begins = self.asking.is_none_or(|since| now.since(since) >= PATIENCE);
        if begins {
            self.asking = Some(now);
        }
        begins
    }

    /// Takes on another generation. Returns the channels in memory, and the readers that wait for a check.
    pub(super) fn adopt(&mut self, mark: Mark) -> (NameMap<()>, impl Iterator<Item = C> + use<C>) {
        self.known = mark;
        self.latest = mark.reign;
        self.unverified.clear();
        self.trust = Trust::Settled;
        // Nothing is left in memory that could be behind.
        self.synced = Some(mark.count);
        self.live = None;
        self.behind = None;
        self.counted = 0;
        let checks = std::mem::take(&mut self.checks);
        (std::mem::take(&mut self.channels), checks.into_iter().map(|check| check.reader))
    }

    /// What is in memory may be behind. A state that was asked for before counts no longer.
    pub(super) fn desync(&mut self, now: Timestamp) {
        self.subscription = self.subscription.wrapping_add(1);
        self.resync = Resync::Asked { since: now, missed: false };
        self.asking = None;
    }

    /// The channels in memory, and perhaps some that have left it.
    pub(super) fn in_memory(&self) -> Vec<ChannelName> {
        self.channels.keys().cloned().collect()
    }

    /// Everything up to `count` is visible. Returns whose check that completes.
    pub(super) fn advance(&mut self, count: u64) -> Vec<(ChannelName, C)> {
        self.synced = Some(count);
        self.behind = self.behind.filter(|(behind, _)| *behind > count);
        if self.checks.is_empty() {
            return Vec::new();
        }
        let done = self.checks.extract_if(.., |check| check.count <= count);
        done.map(|check| (check.channel, check.reader)).collect()
    }

    /// Redis is at `count`.
    pub(super) fn told(&mut self, now: Timestamp, count: u64) {
        if self.behind.is_none() && self.synced.is_none_or(|synced| synced < count) {
            self.behind = Some((count, now));
        }
    }

    /// Whether something should have been heard by now.
    pub(super) fn is_late(&self, now: Timestamp) -> bool {
        match self.resync {
            Resync::Idle => self.behind.is_some_and(|(_, since)| now.since(since) >= LATE),
            Resync::Asked { since, .. } | Resync::Comparing { since, .. } => now.since(since) >= PATIENCE,
        }
    }

    /// A reader waits until everything up to `count` is visible.
    pub(super) fn wait(&mut self, now: Timestamp, count: u64, channel: ChannelName, reader: C) {
        self.checks.push(Check { count, channel, reader, since: now });
    }

    /// The readers that have waited too long.
    pub(super) fn overdue(&mut self, now: Timestamp) -> Vec<(ChannelName, C)> {
        let late = self.checks.extract_if(.., |check| now.since(check.since) >= PATIENCE);
        late.map(|check| (check.channel, check.reader)).collect()
    }

    /// A channel is in memory from now on.
    pub(super) fn installed(&mut self, channel: &ChannelName, shown: &impl Shown) {
        self.channels.insert(channel.clone(), ());
        if self.channels.len() >= 2 * self.counted + 64 {
            // The one that is being installed is not there yet.
            self.channels.retain(|name, ()| name == channel || shown.newest(name).is_some());
            self.counted = self.channels.len();
        }
    }
}
