//! [`Subscription`]: its streams with what of each was acknowledged, and its wake. Every rule of subscriptions is here, and
//! nothing else is: it is given times, randomness and the ends of streams, and says what is to be done.
//!
//! A wake begins when a stream has content behind its acknowledged offset and no other wake is under way. A webhook is sent
//! under a lease, an event is offered and the lease begins with the claim. The lease ends by an answer, or by its time; then
//! whatever is pending makes the next wake, under the next generation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use poll_core::{Cursor, Seq, Timestamp};

use super::fault::Fault;
use super::request::{CANNOT_WAKE, Configuration, Delivery, MOST_STREAMS, Progress, Turn};
use super::wake::{Attempt, AttemptId, Phase, Sent, Wake};
use crate::dialect::durable_streams::offset::Offset;

/// The pause after a first failure, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) configuration: Arc<Configuration>,
    /// The server's own address, as the creator knows it: scheme and authority.
    pub(crate) base: Arc<str>,
    pub(crate) created: Timestamp,
    /// Of the last wake.
    pub(super) generation: u64,
    pub(super) links: BTreeMap<Box<str>, Link>,
    /// The streams that ended since the wake under way began. What its worker says of one may be about the stream that it
    /// was told of, whatever is there under the name now.
    pub(super) ended: BTreeSet<Box<str>>,
    pub(super) phase: Phase,
    /// How many streams matched while there was no room for more.
    pub(super) left_out: u64,
    /// Whether the streams that were there before it are among its own, as far as there was room.
    pub(crate) is_scanned: bool,
}

/// One stream of a subscription.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Link {
    /// Up to where it was processed.
    pub(crate) acked: Cursor,
    /// Where it ends.
    pub(crate) end: Cursor,
    /// It was named.
    pub(crate) explicit: bool,
    /// It matches the pattern.
    pub(crate) glob: bool,
}

/// A stream as it was just seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    Absent,
    /// There is one, and it ends here.
    Until(Cursor),
}

/// Where a stream that is new to a subscription begins for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// What there is already was there before.
    End,
    /// After this.
    After(Cursor),
}

impl Link {
    pub(crate) fn is_pending(&self) -> bool {
        self.end.epoch == self.acked.epoch && self.end.seq > self.acked.seq
    }

    fn see(&mut self, seen: Seen) {
        let end = match seen {
            Seen::Absent => Cursor::ZERO,
            Seen::Until(end) => end,
        };
        if end.epoch != self.acked.epoch {
            // Another stream under the same name: nothing of it was processed.
            self.acked = Cursor { epoch: end.epoch, seq: Seq::ZERO };
        }
        self.end = end;
    }
}

impl Subscription {
    /// A new one, without streams.
    pub(crate) fn new(configuration: Configuration, base: Arc<str>, created: Timestamp) -> Self {
        Self {
            configuration: Arc::new(configuration),
            base,
            created,
            generation: 0,
            links: BTreeMap::new(),
            ended: BTreeSet::new(),
            phase: Phase::Idle,
            left_out: 0,
            is_scanned: false,
        }
    }

    /// Its streams.
    pub(crate) fn links(&self) -> impl Iterator<Item = (&str, &Link)> {
        self.links.iter().map(|(name, link)| (&**name, link))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.links.contains_key(name)
    }

    /// Which of its streams a client means: slashes around a name do not count unless they are part of it.
    pub(crate) fn meant<'a>(&self, name: &'a str) -> &'a str {
        if self.has(name) { name } else { name.trim_matches('/') }
    }

    /// Whether delivery fails at present.
    pub(crate) fn is_failing(&self) -> bool {
        matches!(self.phase, Phase::Due { tries: 1.., .. } | Phase::Sending { tries: 1.., .. })
    }

    /// A stream is named, which is idempotent. One that is new begins at its end.
    ///
    /// # Errors
    /// [`Fault::TooMany`] streams, and [`Fault::Invalid`] if it is the one that wakes are written to.
    pub(crate) fn name(&mut self, stream: &str, seen: Seen) -> Result<(), Fault> {
        if !self.configuration.may_wake(stream) {
            return Err(CANNOT_WAKE);
        }
        if let Some(link) = self.links.get_mut(stream) {
            link.explicit = true;
            return Ok(());
        }
        if self.links.len() >= MOST_STREAMS {
            return Err(Fault::TooMany("a subscription has at most 1000 streams"));
        }
        let link = Link { explicit: true, glob: self.configuration.matches(stream), ..Link::default() };
        self.link(stream, link, seen, From::End);
        Ok(())
    }

    /// A stream is not named any more; if it matches the pattern it stays.
    pub(crate) fn unname(&mut self, stream: &str) {
        if let Some(link) = self.links.get_mut(stream) {
            link.explicit = false;
            if !link.glob {
                self.links.remove(stream);
            }
        }
    }

    /// A stream was looked at. `from` is where it begins if it is new and matches the pattern.
    pub(crate) fn see(&mut self, stream: &str, seen: Seen, from: From) {
        if let Some(link) = self.links.get_mut(stream) {
            let before = link.acked.epoch;
            link.see(seen);
            let has_ended = before != Cursor::ZERO.epoch && before != link.acked.epoch;
            if seen == Seen::Absent && !link.explicit {
                self.links.remove(stream);
            }
            if has_ended {
                self.remember_end(stream);
            }
        } else if seen != Seen::Absent && self.configuration.matches(stream) {
            if self.links.len() >= MOST_STREAMS {
                self.leave_out(1);
            } else {
                self.link(stream, Link { glob: true, ..Link::default() }, seen, from);
            }
        }
    }

    fn remember_end(&mut self, stream: &str) {
        if self.phase == Phase::Idle {
            return;
        }
        if self.ended.len() < MOST_STREAMS {
            self.ended.insert(stream.into());
        } else {
            // There are too many to remember, so the wake is over: the next one tells of what there is.
            self.phase = Phase::Idle;
        }
    }

    /// Whether streams that match were left out.
    pub(crate) fn leaves_out(&self) -> bool {
        self.left_out > 0
    }

    /// So many streams matched for which there is no room.
    pub(crate) fn leave_out(&mut self, count: u64) {
        self.left_out = self.left_out.saturating_add(count);
    }

    fn link(&mut self, stream: &str, mut link: Link, seen: Seen, from: From) {
        link.see(seen);
        link.acked = match from {
            From::End => link.end,
            From::After(acked) => acked,
        };
        self.links.insert(stream.into(), link);
    }

    /// A worker takes the wake, or the one that begins with this.
    ///
    /// # Errors
    /// [`Fault::AlreadyClaimed`], [`Fault::NoPendingWork`], and [`Fault::Invalid`] for a webhook.
    pub(crate) fn claim(&mut self, now: Timestamp, worker: &str, random: u128) -> Result<&Wake, Fault> {
        if !matches!(self.configuration.delivery, Delivery::PullWake(_)) {
            return Err(Fault::Invalid("the subscription is a webhook's".into()));
        }
        self.pass(now, random);
        if let Phase::Held { wake, worker, .. } = &self.phase {
            let (holder, generation) = (worker.clone().unwrap_or_default(), wake.generation);
            return Err(Fault::AlreadyClaimed { holder, generation });
        }
        let wake = self.phase.wake().cloned().filter(|_| self.pending().is_some());
        let Some(wake) = wake else {
            self.phase = Phase::Idle;
            return Err(Fault::NoPendingWork);
        };
        let until = now.after(self.configuration.lease);
        self.phase = Phase::Held { wake, worker: Some(worker.into()), until };
        // No worker has been told of any stream in this wake yet.
        self.ended.clear();
        self.phase.wake().ok_or(Fault::NoPendingWork)
    }

    /// A worker acknowledges, asks for more time, or has done. Returns whether another wake follows.
    ///
    /// # Errors
    /// [`Fault::Fenced`] if its wake is over, [`Fault::InvalidOffset`]; nothing was acknowledged then.
    pub(crate) fn turn(&mut self, now: Timestamp, turn: &Turn, random: u128) -> Result<NextWake, Fault> {
        let wake = self.held(now, &turn.wake_id, turn.generation, random)?;
        for (stream, offset) in &turn.acks {
            self.check_ack(self.meant(stream), *offset)?;
        }
        for (stream, offset) in &turn.acks {
            let stream = self.meant(stream);
            if let (Some(link), Offset::After(seq)) = (self.links.get_mut(stream), *offset) {
                link.acked.seq = seq;
            }
        }
        let worker = match &mut self.phase {
            Phase::Held { worker, .. } => worker.take(),
            _ => None,
        };
        match turn.progress {
            Progress::Working => {
                let until = now.after(self.configuration.lease);
                self.phase = Phase::Held { wake, worker, until };
                Ok(NextWake::No)
            }
            Progress::Done => Ok(self.finish(now, random)),
        }
    }

    /// A worker gives its wake back.
    ///
    /// # Errors
    /// [`Fault::Fenced`] if it is over.
    pub(crate) fn release(&mut self, now: Timestamp, turn: &Turn, random: u128) -> Result<(), Fault> {
        self.held(now, &turn.wake_id, turn.generation, random)?;
        self.finish(now, random);
        Ok(())
    }

    /// The wake that a worker speaks of, if it may still have it.
    fn held(&mut self, now: Timestamp, id: &str, generation: u64, random: u128) -> Result<Wake, Fault> {
        self.pass(now, random);
        let wake = match &self.phase {
            // What was sent may have arrived, though no answer did.
            Phase::Held { wake, .. } | Phase::Sending { wake, .. } | Phase::Due { wake, .. } => wake,
            Phase::Idle | Phase::Offered { .. } => return Err(Fault::Fenced),
        };
        let is_it = *wake.id == *id && wake.generation == generation;
        if is_it { Ok(wake.clone()) } else { Err(Fault::Fenced) }
    }

    fn check_ack(&self, stream: &str, offset: Offset) -> Result<(), Fault> {
        let Some(link) = self.links.get(stream) else {
            return Err(Fault::InvalidOffset("the subscription has no such stream"));
        };
        if self.ended.contains(stream) {
            return Err(Fault::InvalidOffset("the stream has ended since the wake began"));
        }
        match offset {
            Offset::After(seq) if seq < link.acked.seq => {
                Err(Fault::InvalidOffset("more was acknowledged before"))
            }
            Offset::After(seq) if seq > link.end.seq => {
                Err(Fault::InvalidOffset("it is behind the end of the stream"))
            }
            _ => Ok(()),
        }
    }

    /// The wake is over.
    fn finish(&mut self, now: Timestamp, random: u128) -> NextWake {
        self.phase = Phase::Idle;
        self.pass(now, random);
        if self.phase == Phase::Idle { NextWake::No } else { NextWake::Yes }
    }

    /// It is `now`: a lease may have ended, and a wake may begin.
    pub(crate) fn pass(&mut self, now: Timestamp, random: u128) {
        match &self.phase {
            Phase::Held { until, .. } if *until <= now => self.phase = Phase::Idle,
            Phase::Sending { until, .. } if *until <= now => self.fail(now, random),
            _ => {}
        }
        if self.phase != Phase::Idle {
            return;
        }
        let Some(stream) = self.pending() else { return };
        self.generation += 1;
        self.ended.clear();
        let wake = Wake { id: format!("w_{random:032x}").into(), generation: self.generation, stream };
        self.phase = Phase::Due { wake, tries: 0, at: now };
    }

    /// When [`pass`](Self::pass) or an attempt is next due.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        match &self.phase {
            Phase::Idle | Phase::Offered { .. } => None,
            Phase::Due { at, .. } => Some(*at),
            Phase::Sending { until, .. } | Phase::Held { until, .. } => Some(*until),
        }
    }

    /// Begins an attempt to deliver the wake, if one is due.
    pub(crate) fn attempt(&mut self, now: Timestamp) -> Option<Attempt> {
        let Phase::Due { wake, tries, at } = &self.phase else { return None };
        if *at > now {
            return None;
        }
        let (wake, tries, at) = (wake.clone(), *tries, *at);
        let pending = self.links.iter().filter(|(_, link)| link.is_pending());
        let ends = pending.map(|(name, link)| (name.clone(), link.end)).collect();
        let until = now.after(self.configuration.lease);
        self.phase = Phase::Sending { wake: wake.clone(), tries, at, ends, until };
        let id = AttemptId { generation: wake.generation, tries };
        Some(match &self.configuration.delivery {
            Delivery::Webhook(_) => Attempt::Webhook(id, wake),
            Delivery::PullWake(stream) => Attempt::Event(id, wake, stream.clone()),
        })
    }

    /// An attempt ended. What is said of a wake that is over, or was answered already, changes nothing.
    pub(crate) fn sent(&mut self, now: Timestamp, attempt: AttemptId, sent: Sent, random: u128) {
        let AttemptId { generation, tries: number } = attempt;
        match &self.phase {
            Phase::Sending { wake, tries, ends, at, .. } if wake.generation == generation => match sent {
                Sent::Done if *tries == number => {
                    for (stream, end) in ends {
                        if let Some(link) = self.links.get_mut(stream)
                            && link.acked.epoch == end.epoch
                        {
                            link.acked.seq = link.acked.seq.max(end.seq);
                        }
                    }
                    self.finish(now, random);
                }
                // Another attempt told of other ends.
                Sent::Done | Sent::Taken => self.phase = self.taken(now, wake.clone(), *at),
                Sent::Failed if *tries == number => self.fail(now, random),
                Sent::Failed => {}
            },
            // It had failed by its time. What it told of is not known any more.
            Phase::Due { wake, at, .. } if wake.generation == generation => match sent {
                Sent::Done | Sent::Taken => self.phase = self.taken(now, wake.clone(), *at),
                Sent::Failed => {}
            },
            _ => {}
        }
    }

    /// What follows when a wake that was due `at` a time was delivered.
    fn taken(&self, now: Timestamp, wake: Wake, at: Timestamp) -> Phase {
        match &self.configuration.delivery {
            Delivery::Webhook(_) => {
                Phase::Held { wake, worker: None, until: now.after(self.configuration.lease) }
            }
            Delivery::PullWake(_) => Phase::Offered { wake, at },
        }
    }

    /// An attempt failed: the next follows after a pause that doubles each time, give or take a fifth.
    fn fail(&mut self, now: Timestamp, random: u128) {
        let (wake, tries) = match &self.phase {
            Phase::Sending { wake, tries, .. } | Phase::Due { wake, tries, .. } => (wake.clone(), *tries),
            Phase::Idle | Phase::Offered { .. } | Phase::Held { .. } => return,
        };
        let pause = FIRST_PAUSE.saturating_mul(1 << tries.min(6)).min(LONGEST_PAUSE);
        let share = (random >> 96) as f64 / f64::from(u32::MAX);
        let at = now.after(pause.mul_f64(0.8 + 0.4 * share));
        self.phase = Phase::Due { wake, tries: tries.saturating_add(1), at };
    }

    /// Takes over what is known of the ends of its streams from how it was before. Returns the streams whose ends are not
    /// known.
    pub(crate) fn know_ends_of(&mut self, before: &Self) -> Vec<Box<str>> {
        let mut unknown = Vec::new();
        for (name, link) in &mut self.links {
            match before.links.get(name) {
                Some(known) if known.end.epoch == link.acked.epoch => {
                    link.end.seq = known.end.seq.max(link.acked.seq);
                }
                _ => unknown.push(name.clone()),
            }
        }
        unknown
    }

    /// Whether a wake is under way, so that none can begin.
    pub(crate) fn has_wake(&self) -> bool {
        self.phase != Phase::Idle
    }

    /// Whether a stream has content behind what was acknowledged.
    pub(crate) fn has_pending(&self) -> bool {
        self.pending().is_some()
    }

    /// The first stream with content behind what was acknowledged.
    fn pending(&self) -> Option<Box<str>> {
        self.links.iter().find(|(_, link)| link.is_pending()).map(|(name, _)| name.clone())
    }
}

/// Whether another wake follows at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NextWake {
    Yes,
    No,
}
