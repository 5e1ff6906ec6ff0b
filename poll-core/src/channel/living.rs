//! A channel's life under its lock: the operations on it, and what is decided about each in the order of publishes.
//!
//! The rules themselves are in [`life`](crate::life). Here they meet the log: whether there are messages, what is pending,
//! and what a decision that was kept does to the channel.

use std::sync::Arc;

use tokio::sync::watch;

use super::fork_pin::ForkPin;
use super::log::Log;
use super::pending::Pending;
use super::phase::ChannelPhase;
use super::state::ChannelState;
use crate::life::{
    AppendError, Bounds, Change, Condition, Content, Create, Description, End, Existence, Facts, Ledger,
    Life, Lifetime, ProducerId, Ruling, Seen, Standing,
};
use crate::memory::Memory;
use crate::types::{Cursor, Ending, Epoch, Retention, Seq, Timestamp};

/// What a publish does besides appending messages.
#[derive(Debug)]
pub(crate) enum Operation {
    /// To append under a condition.
    Append(Condition),
    /// To begin the channel with the messages of the publish; as a fork, if its source is held.
    Create(Box<Create>, Arc<Life>, Option<Arc<ForkPin>>),
    /// To end it, for a reason.
    End(Reason, Option<Forks>),
    Purge,
    Configure(Bounds),
    /// To have its last use kept.
    Touch,
}

/// Why a channel ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It was asked for.
    Deleted,
    /// Its time is over.
    Over,
    /// It is hidden, and had forks.
    NoForks,
}

/// What the journal said of a channel's forks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forks {
    /// How many forks had been made in this process when it was asked.
    pub(crate) made: u64,
    /// Whether it has any.
    pub(crate) any: bool,
}

/// What is done with an operation.
#[derive(Debug)]
pub(crate) enum Decision {
    /// The publish goes to the journal, with this.
    Go(Option<Box<Change>>),
    /// Something pending decides: ask again when this changes or closes.
    Wait(watch::Receiver<()>),
    /// The journal has to be asked which producers it knows.
    NeedsProducers,
    /// The journal has to be asked for forks; so many had been made in this process.
    NeedsForks(u64),
    /// The channel's time is over: it has to be removed first.
    Over,
    /// There is nothing to keep.
    Done(Verdict),
}

/// The answer to an operation of which nothing is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Refused(AppendError),
    Duplicate { last: u64, end: Cursor, ending: Ending },
    Same,
    Differs,
    Hidden,
    Absent,
}

/// What a sweep found to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// The time of the channel is over.
    Over,
    /// It is hidden; perhaps it has no forks any more.
    Hidden,
    /// The journal should keep when it was last used.
    Touch,
}

/// Where a channel's forks are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ForkCount {
    /// In the channel itself: all channels are in memory.
    Here,
    /// By the journal.
    InJournal,
}

impl Operation {
    /// Whether it may begin a channel.
    pub(crate) fn begins(&self) -> bool {
        matches!(self, Self::Create(..))
    }

    /// The source of the fork that is to be made.
    pub(crate) fn pin(&self) -> Option<Arc<ForkPin>> {
        if let Self::Create(_, _, pin) = self { pin.clone() } else { None }
    }

    /// The producer whose append it is.
    pub(crate) fn producer(&self) -> Option<&ProducerId> {
        let Self::Append(condition) = self else { return None };
        condition.producer.as_ref().map(|stamp| &stamp.id)
    }

    /// Whether everything else waits while this is pending.
    fn is_exclusive(&self) -> bool {
        !matches!(self, Self::Append(_))
    }
}

impl ChannelState {
    /// What is to be done with a publish: one with an operation, or a plain one to a channel with a life.
    pub(crate) fn decide(
        &mut self,
        now: Timestamp,
        operation: Option<&Operation>,
        ending: Ending,
        count: ForkCount,
    ) -> Decision {
        if self.phase == ChannelPhase::Changing || self.is_close_pending() {
            return Decision::Wait(self.ledger().wait());
        }
        let seen = self.pending_sight();
        let existence = self
            .ledger
            .as_ref()
            .map_or_else(|| Facts::plain(seen).existence(now), |ledger| ledger.facts(seen).existence(now));
        match operation {
            None => match existence {
                Existence::Hidden => Decision::Done(Verdict::Hidden),
                Existence::Over => Decision::Over,
                Existence::Absent | Existence::Live => Decision::Go(None),
            },
            Some(Operation::Append(condition)) => self.decide_append(now, condition, ending),
            Some(Operation::Create(create, life, _)) => self.decide_create(existence, create, life),
            Some(Operation::End(reason, forks)) => self.decide_end(existence, *reason, *forks, count),
            Some(Operation::Touch)
                if self.ledger.as_ref().is_none_or(|ledger| ledger.unkept_use(seen.newest_at).is_none()) =>
            {
                Decision::Done(Verdict::Same)
            }
            Some(operation) => match existence {
                Existence::Absent | Existence::Over => Decision::Done(Verdict::Absent),
                Existence::Hidden => Decision::Done(Verdict::Hidden),
                Existence::Live => {
                    let facts = self.ledger().facts(seen);
                    Decision::Go(Some(Box::new(match operation {
                        Operation::Configure(bounds) => facts.configure(*bounds),
                        Operation::Touch => facts.touch(),
                        _ => facts.purge(),
                    })))
                }
            },
        }
    }

    fn decide_append(&mut self, now: Timestamp, condition: &Condition, ending: Ending) -> Decision {
        let seen = self.pending_sight();
        let ledger = self.ledger();
        let known = |stamp: &crate::life::ProducerStamp| ledger.producers.look(&stamp.id);
        match ledger.facts(seen).append(now, condition, ending, known) {
            Ruling::Refuse(error) => Decision::Done(Verdict::Refused(error)),
            Ruling::Duplicate(last) => {
                Decision::Done(Verdict::Duplicate { last, end: self.log.end(), ending: seen.ending })
            }
            Ruling::Wait => Decision::Wait(ledger.wait()),
            Ruling::NeedsProducers => Decision::NeedsProducers,
            Ruling::Accept(change) => {
                // Its message need not be later than the last use, and a close has none.
                let _ = ledger.at(now, seen, true);
                Decision::Go(Some(Box::new(change)))
            }
        }
    }

    fn decide_create(&mut self, existence: Existence, create: &Create, life: &Arc<Life>) -> Decision {
        match existence {
            Existence::Over => Decision::Over,
            Existence::Hidden => Decision::Done(Verdict::Hidden),
            Existence::Live if self.pending > 0 && self.visible_log().is_none() => {
                Decision::Wait(self.ledger().wait())
            }
            Existence::Live => {
                let seen = self.pending_sight();
                let same = self.ledger().facts(seen).is_same(create);
                Decision::Done(if same { Verdict::Same } else { Verdict::Differs })
            }
            Existence::Absent => {
                let change = Change { life: Some(life.clone()), content: Content::Born, ..Change::default() };
                Decision::Go(Some(Box::new(change)))
            }
        }
    }

    fn decide_end(
        &mut self,
        existence: Existence,
        reason: Reason,
        forks: Option<Forks>,
        count: ForkCount,
    ) -> Decision {
        match (existence, reason) {
            (Existence::Absent, _) | (Existence::Over, Reason::NoForks) => {
                return Decision::Done(Verdict::Absent);
            }
            (Existence::Over, Reason::Deleted) => return Decision::Over,
            (Existence::Live, Reason::Over | Reason::NoForks) => return Decision::Done(Verdict::Same),
            (Existence::Hidden, Reason::Deleted | Reason::Over) => return Decision::Done(Verdict::Hidden),
            (Existence::Live, Reason::Deleted)
            | (Existence::Over, Reason::Over)
            | (Existence::Hidden, Reason::NoForks) => {}
        }
        let seen = self.pending_sight();
        let ledger = self.ledger();
        let has_forks = match (count, forks) {
            // A journal that shows forks before it keeps them may not know of those.
            _ if ledger.pins > 0 || ledger.forks > 0 => true,
            (ForkCount::Here, _) => false,
            (ForkCount::InJournal, Some(forks)) if forks.made == ledger.forked => forks.any,
            (ForkCount::InJournal, _) => return Decision::NeedsForks(ledger.forked),
        };
        if has_forks && existence == Existence::Hidden {
            return Decision::Done(Verdict::Hidden);
        }
        let end = if has_forks { End::Hide } else { End::Remove };
        Decision::Go(Some(Box::new(ledger.facts(seen).end(end))))
    }

    /// Makes room for the producer of a change that is handed over next.
    pub(crate) fn admit_producer(
        &mut self,
        now: Timestamp,
        change: &mut Change,
        retention: &Retention,
        memory: &Memory,
    ) -> Result<(), Verdict> {
        let Some((id, _)) = &change.producer else { return Ok(()) };
        let admitted = self.ledger().producers.admit(id, now, retention, memory);
        change.forgotten = admitted.map_err(|_| Verdict::Refused(AppendError::TooManyProducers))?;
        Ok(())
    }

    /// Whether the channel ends once what is pending is kept. No answer rests on an end before that.
    pub(crate) fn is_close_pending(&self) -> bool {
        self.phase == ChannelPhase::Closing && !self.log.is_ended()
    }

    /// Notes that a change was handed to the journal.
    pub(crate) fn hand_over_change(&mut self, operation: Option<&Operation>, change: &Change) {
        if operation.is_some_and(Operation::is_exclusive) {
            self.phase = ChannelPhase::Changing;
        }
        if let (Content::Born, Some(cut)) =
            (change.content, change.life.as_ref().and_then(|life| life.ancestry.cut()))
        {
            (self.minted, self.minted_at) = (cut.last, self.minted_at.max(cut.last_at));
        }
        self.ledger().hand(change);
    }

    /// The channel begins with this publish: a fork's log goes on after what it inherits.
    pub(crate) fn begin_log(&mut self, publish: &Pending) {
        let Some(change) = publish.change.as_ref().filter(|change| change.content == Content::Born) else {
            return;
        };
        if let Some(cut) = change.life.as_ref().and_then(|life| life.ancestry.cut())
            && self.log.newest() == Seq::ZERO
        {
            let start = (Seq::new(1), Timestamp::ZERO);
            self.log = Log::resumed(self.log.epoch(), start, (cut.last, cut.last_at));
            self.kept_to(cut.last);
        }
    }

    /// A change was kept.
    pub(crate) fn keep_change(&mut self, change: &Change) {
        self.ledger().keep(change);
        // Everything waits for an exclusive change, so that is the last one pending.
        let is_exclusive = self.phase == ChannelPhase::Changing && self.pending == 1;
        if is_exclusive && change.content != Content::Removed {
            self.reopen();
        }
    }

    /// A change was not kept.
    pub(crate) fn fail_change(&mut self, change: &Change) {
        if let Some(ledger) = &mut self.ledger {
            ledger.fail(change);
        }
    }

    /// The journal refused a change that was handed to it just now.
    pub(crate) fn refuse_change(&mut self, change: &Change) {
        if let Some(ledger) = &mut self.ledger {
            ledger.refuse(change);
        }
        if change.content == Content::Born {
            self.minted = self.log.newest();
        }
    }

    /// The channel was removed: tasks that still hold it see one that was never there.
    pub(crate) fn clear_removed(&mut self) {
        self.log = Log::new(self.log.epoch());
        (self.minted, self.ledger) = (Seq::ZERO, None);
    }

    /// The channel was removed, which is not kept yet: it is one without messages, in this incarnation.
    pub(crate) fn begin_anew(&mut self, epoch: Epoch) {
        let Self { minted_at, led, unkept, handed, used, .. } = *self;
        *self = Self { minted_at, led, unkept, handed, used, ..Self::new(epoch) };
    }

    /// What the channel is once nothing exclusive is pending.
    pub(crate) fn reopen(&mut self) {
        self.phase = if self.log.is_ended() { ChannelPhase::Closing } else { ChannelPhase::Open };
    }

    /// Nothing is pending any more, and something failed.
    pub(crate) fn roll_back_life(&mut self) {
        if let Some(ledger) = &mut self.ledger {
            ledger.roll_back();
        }
    }

    /// Wakes those that wait for what is pending, when it is dropped without a lock.
    pub(crate) fn settled(&mut self) -> Option<watch::Sender<()>> {
        self.ledger.as_mut().and_then(|ledger| ledger.settled())
    }

    /// The channel's life, made if nothing had to be remembered of it yet.
    pub(crate) fn ledger(&mut self) -> &mut Ledger {
        let recalled = self.recalled;
        self.ledger.get_or_insert_with(|| {
            Box::new(if recalled { Ledger::plain_recalled() } else { Ledger::default() })
        })
    }

    /// A reader uses the channel, if it is there.
    pub(crate) fn use_life(&mut self, now: Timestamp) {
        let seen = self.sight();
        if let Some(ledger) = &mut self.ledger {
            let _ = ledger.at(now, seen, true);
        }
    }

    /// The log as readers see it at `now`.
    pub(crate) fn log_at(&mut self, now: Timestamp) -> Option<&Log> {
        self.use_life(now);
        self.visible_log()
    }

    /// What the channel is at `now`; a use lengthens its time.
    pub(crate) fn standing(&mut self, now: Timestamp, used: bool) -> (Existence, Standing) {
        let seen = self.sight();
        let existence = match &mut self.ledger {
            None => Facts::plain(seen).existence(now),
            Some(ledger) => ledger.at(now, seen, used),
        };
        let standing = match existence {
            Existence::Absent | Existence::Over => Standing::Absent,
            Existence::Hidden => Standing::Hidden,
            Existence::Live => Standing::Live(self.description()),
        };
        (existence, standing)
    }

    /// Whether its time is over.
    pub(crate) fn is_over(&mut self, now: Timestamp) -> bool {
        self.ledger.is_some() && self.standing(now, false).0 == Existence::Over
    }

    /// Whether a use lengthens its time.
    pub(crate) fn is_sliding(&self) -> bool {
        self.ledger.as_ref().is_some_and(|ledger| matches!(ledger.life().lifetime, Lifetime::Sliding(_)))
    }

    /// Whether the journal should keep the last use; true once for each.
    pub(crate) fn report_use(&mut self) -> bool {
        let newest_at = self.log.newest_at();
        self.ledger.as_mut().is_some_and(|ledger| ledger.report_use(newest_at))
    }

    /// The channel as readers see it, if it is there.
    pub(crate) fn description(&self) -> Description {
        let seen = self.sight();
        let life = self.ledger.as_ref().map_or_else(Arc::default, |ledger| ledger.life().clone());
        let used = self.ledger.as_ref().map_or(seen.newest_at, |ledger| ledger.visible_facts(seen).used);
        let (ends_at, log) = (life.ends_at(used), &self.log);
        Description {
            life,
            epoch: log.epoch(),
            oldest: log.oldest(),
            newest: log.newest(),
            newest_at: log.newest_at(),
            ending: seen.ending,
            ends_at,
        }
    }

    /// What is to be done with the channel, if anything. `idle` is when a channel has to have been used to stay in memory,
    /// where there is a journal to load it from.
    pub(crate) fn due(&mut self, now: Timestamp, idle: Option<Timestamp>) -> Option<Due> {
        let (existence, newest_at) = (self.standing(now, false).0, self.log.newest_at());
        match existence {
            Existence::Over => Some(Due::Over),
            Existence::Hidden => Some(Due::Hidden),
            Existence::Absent => None,
            Existence::Live => {
                let (unkept, lifetime) = self.ledger.as_ref()?.unkept_use(newest_at)?;
                let leaves = self.used <= idle?;
                (leaves || unkept > lifetime / 4).then_some(Due::Touch)
            }
        }
    }

    /// What the log says, as readers see it.
    fn sight(&self) -> Seen {
        let ending = if self.log.is_ended() { Ending::Close } else { Ending::Open };
        let has_log = self.log.newest() > Seq::ZERO || self.log.is_ended();
        Seen { has_log, ending, end: self.log.end(), newest_at: self.log.newest_at() }
    }

    /// The same once everything pending is kept.
    fn pending_sight(&self) -> Seen {
        let closing = self.phase == ChannelPhase::Closing;
        let ending = if closing { Ending::Close } else { Ending::Open };
        let has_log = self.minted > Seq::ZERO || closing;
        let end = Cursor { epoch: self.log.epoch(), seq: self.minted };
        Seen { has_log, ending, end, newest_at: self.log.newest_at() }
    }
}
