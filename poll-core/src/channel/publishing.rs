//! A publish and its channel: handed to the journal, minted, then shown, failed or in doubt.

use std::sync::Arc;

use smallvec::SmallVec;

use super::batch::Messages;
use super::living::Operation;
use super::log::Log;
use super::pending::Pending;
use super::phase::ChannelPhase;
use super::state::ChannelState;
use crate::environment::Environment;
use crate::life::Change;
use crate::types::{
    Cursor, Ending, Epoch, Fingerprint, Followed, IdempotencyKey, Message, Part, Payload, Published, Run,
    Seq, SeqRange, Stamp, Stamps, Timestamp, mint_part,
};

impl ChannelState {
    /// Hands a publish to the journal.
    pub(crate) fn hand_over(
        &mut self,
        taken: Timestamp,
        ending: Ending,
        key: Option<(IdempotencyKey, Fingerprint)>,
        change: Option<Box<Change>>,
        operation: Option<&Operation>,
    ) -> Pending {
        self.pending += 1;
        self.handed += 1;
        let before = self.phase;
        if ending == Ending::Close {
            self.phase = ChannelPhase::Closing;
        }
        if let Some(change) = &change {
            self.hand_over_change(operation, change);
        }
        let new = change.as_ref().and_then(|change| change.life.as_ref());
        let bounds = new.map(|life| life.bounds).or_else(|| self.bounds());
        Pending { number: self.handed, before, taken, ending, key, change, bounds }
    }

    /// Gives each payload its number, time and id, in one order. The time is the clock's. Where that is not later than
    /// the last one, it is a microsecond more: however much is published at once, times run ahead by a microsecond a
    /// message, and the clock catches up.
    pub(crate) fn mint(
        &mut self,
        environment: &Environment,
        now: Timestamp,
        payloads: SmallVec<[Payload; 1]>,
    ) -> Messages {
        let mut messages = Messages::with_capacity(payloads.len());
        let mut part = Part::First;
        for payload in payloads {
            self.minted = self.minted.next();
            self.minted_at = now.max(self.minted_at.next());
            let id = mint_part(self.minted_at, environment.random(), part);
            part = Part::Later;
            messages.push(Arc::new(Message { seq: self.minted, id, at: self.minted_at, payload }));
        }
        messages
    }

    /// Whether these messages come next in the log of this incarnation. A channel without messages takes on the
    /// incarnation `epoch`.
    pub(crate) fn is_next(&mut self, epoch: Epoch, messages: &[Arc<Message>]) -> bool {
        if self.epoch() != epoch && self.visible_log().is_none() {
            self.log = Log::new(epoch);
        }
        let (mut seq, mut at) = (self.log.newest(), self.log.newest_at());
        self.epoch() == epoch
            && messages.iter().all(|message| {
                let follows = message.seq == seq.next() && message.at > at;
                (seq, at) = (message.seq, message.at);
                follows
            })
    }

    /// Makes a publish visible, whose messages [come next](Self::is_next). Returns its answer and what it weighs in
    /// bytes. Retention is the caller's next step.
    pub(crate) fn apply(&mut self, publish: &Pending, messages: Messages) -> (Published, u64) {
        self.begin_log(publish);
        let (epoch, after) = (self.epoch(), self.log.newest());
        let mut stamps = Stamps::with_capacity(messages.len());
        let stamped = messages.into_iter().inspect(|message| {
            let cursor = Cursor { epoch, seq: message.seq };
            stamps.push(Stamp { cursor, id: message.id, at: message.at });
        });
        let added = self.extend(stamped, publish.ending);
        if let Some((key, _)) = &publish.key {
            let count = u32::try_from(stamps.len()).unwrap_or(u32::MAX);
            self.keys.keep(key, SeqRange { after, count });
        }
        if let Some(change) = &publish.change {
            self.keep_change(change);
        }
        self.returned(publish);
        (Published { stamps, gone: Vec::new(), repeated: false }, added)
    }

    /// Adds messages that come next to the log. Returns what they weigh in bytes.
    fn extend(&mut self, messages: impl Iterator<Item = Arc<Message>>, ending: Ending) -> u64 {
        let before = self.log.weight();
        messages.for_each(|message| self.log.append(message));
        if ending == Ending::Close {
            self.log.end_now();
        }
        self.log.weight() - before
    }

    /// Follows a shared log. Returns the number of messages that were new, and what they weigh in bytes; `None` if
    /// nothing was. A channel without messages takes on the incarnation of its first.
    ///
    /// # Errors
    /// If nothing was shown.
    pub(crate) fn follow(&mut self, run: &Run<'_>) -> Result<Option<(usize, u64)>, Followed> {
        let newest = self.log.newest();
        if self.epoch() != run.epoch && self.visible_log().is_some() {
            return Err(Followed::OtherEpoch);
        }
        let known = newest.get().checked_sub(run.after.get()).ok_or(Followed::Behind(newest))?;
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        let new = run.messages.get(known..).unwrap_or_default();
        let ends = run.ending == Ending::Close && !self.log.is_ended();
        if new.is_empty() && !ends {
            return Ok(None);
        }
        // Nothing follows the end, whether that is known already or comes with this run.
        if self.log.is_ended() || known > run.messages.len() || !self.is_next(run.epoch, new) {
            return Err(Followed::OtherEpoch);
        }
        let added = self.extend(new.iter().cloned(), run.ending);
        if ends {
            self.phase = ChannelPhase::Closing;
        }
        self.kept_to(self.log.newest());
        self.minted = self.log.newest();
        self.minted_at = self.minted_at.max(self.log.newest_at());
        Ok(Some((new.len(), added)))
    }

    /// Takes back a publish that failed.
    pub(crate) fn fail(&mut self, publish: &Pending) {
        if let Some((key, _)) = &publish.key {
            self.keys.fail(key);
        }
        if let Some(change) = &publish.change {
            self.fail_change(change);
        }
        self.phase = ChannelPhase::Failing;
        self.returned(publish);
    }

    /// The outcome of a publish is unknown; the journal still has it.
    pub(crate) fn doubt(&mut self, publish: &Pending) {
        if let Some((key, _)) = &publish.key {
            self.keys.doubt(key);
        }
        self.phase = ChannelPhase::Failing;
    }

    /// Takes back a publish that was handed over just now and that the journal refused.
    pub(crate) fn refuse(&mut self, publish: &Pending) {
        if let Some((key, _)) = &publish.key {
            self.keys.fail(key);
        }
        if let Some(change) = &publish.change {
            self.refuse_change(change);
        }
        self.phase = publish.before;
        self.pending -= 1;
    }

    fn returned(&mut self, publish: &Pending) {
        self.pending -= 1;
        self.pending_times.end(publish.number, self.used);
        if self.pending == 0 && self.phase == ChannelPhase::Failing {
            self.minted = self.log.newest();
            self.reopen();
            self.roll_back_life();
        }
    }

    /// The journal has everything up to `newest`.
    pub(crate) fn kept_to(&mut self, newest: Seq) {
        self.kept = self.kept.max(newest);
    }

    /// A publish is shown before it is kept; [`written`](Self::written) will follow.
    pub(crate) fn shown(&mut self) {
        self.unkept += 1;
    }

    /// What was shown up to `newest`, of this incarnation, is kept now.
    pub(crate) fn written(&mut self, epoch: Epoch, newest: Seq) {
        self.unkept = self.unkept.saturating_sub(1);
        if epoch == self.epoch() {
            self.kept_to(newest);
        }
    }

    /// Whether something was shown that is not kept yet.
    pub(crate) fn is_ahead(&self) -> bool {
        self.unkept > 0
    }
}
