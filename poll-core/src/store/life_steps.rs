//! The steps of a publish with an operation on its way to the journal.

use std::sync::Arc;

use super::handle::{Backing, Sole, Store};
use super::publish::{Attempt, Submitted};
use crate::channel::{Channel, ChannelPhase, ChannelState, Decision, ForkCount, Forks, Operation, Reason};
use crate::life::{Change, Existence};
use crate::types::{ChannelName, Ending, JournalError, Payload, Publish, PublishError, Timestamp};

/// What a decision leads to: the publish goes on, perhaps with a change, or it takes a step first.
pub(super) type Decided = Result<Option<Box<Change>>, Attempt>;

impl Store {
    /// Decides about a publish under the channel's lock.
    pub(super) fn decide(
        &self,
        sole: &Sole,
        now: Timestamp,
        channel: &Arc<Channel>,
        state: &mut ChannelState,
        publish: Option<&Publish>,
        operation: Option<&Operation>,
    ) -> Result<Decided, PublishError> {
        if state.phase == ChannelPhase::Failing {
            self.check_open(state.phase)?;
        }
        let ending = publish.map_or(Ending::Open, |publish| publish.ending);
        let count = if sole.archive.is_some() { ForkCount::InJournal } else { ForkCount::Here };
        let mut change = match state.decide(now, operation, ending, count) {
            Decision::Go(change) => change,
            Decision::Wait(outcome) => return Ok(Err(Attempt::Duplicate(outcome))),
            Decision::NeedsProducers => return Ok(Err(Attempt::NeedsProducers(channel.clone()))),
            Decision::NeedsForks(made) => return Ok(Err(Attempt::NeedsForks(made))),
            Decision::Over => return Ok(Err(Attempt::Over(channel.clone()))),
            Decision::Done(verdict) => return Ok(Err(Attempt::Settled(verdict))),
        };
        self.check_room(state, publish, change.as_deref())?;
        if let Some(change) = &mut change
            && let Err(verdict) = state.admit_producer(now, change, self.retention(), self.memory())
        {
            return Ok(Err(Attempt::Settled(verdict)));
        }
        Ok(Ok(change))
    }

    /// Fails if the channel is never evicted from, and all such channels together fill what may be retained. Above an
    /// archive that is the journal's to say.
    fn check_room(
        &self,
        state: &ChannelState,
        publish: Option<&Publish>,
        change: Option<&Change>,
    ) -> Result<(), PublishError> {
        let life = change.and_then(|change| change.life.as_deref());
        let own = state.ledger.as_ref().map(|ledger| ledger.life().as_ref());
        let keeps = life.or(own).is_some_and(|life| life.bounds.keep_everything());
        let payloads = publish.map_or(&[][..], |publish| &publish.payloads);
        let weight: u64 = payloads.iter().map(Payload::weight).sum();
        if !keeps
            || weight == 0
            || self.archive().is_some()
            || self.residents().has_room_for_unevictable(weight)
        {
            return Ok(());
        }
        let why = "channels without retention fill what may be retained".to_owned();
        Err(JournalError::Full(why).into())
    }

    /// Hands over a publish with an operation, and waits for its outcome.
    pub(super) async fn submit(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        publish: Publish,
        operation: Operation,
    ) -> Result<Submitted, PublishError> {
        let sole = match &self.0.backing {
            Backing::Sole(sole) => sole,
            Backing::Shared(journal) => {
                // Boxed so that what waits for a journal of this server's own is small.
                let surveyed =
                    Box::pin(self.carry_out(journal.as_ref(), channel, publish, operation, None)).await;
                return surveyed.map(|surveyed| surveyed.outcome);
            }
        };
        let _held = self.hold(sole, now, channel, &operation).await?;
        self.resume(sole, now, channel, Some(publish), None, Some(operation), None).await
    }

    /// Keeps a channel in memory while its journal is asked about it.
    async fn hold(
        &self,
        sole: &Sole,
        now: Timestamp,
        channel: &ChannelName,
        operation: &Operation,
    ) -> Result<Option<Hold>, PublishError> {
        let (Operation::End(..), Some(_), Some(archive)) = (operation, &sole.archive, self.archive()) else {
            return Ok(None);
        };
        loop {
            if let Some(hold) = Hold::of(self.resident(archive, now, channel).await?) {
                return Ok(Some(hold));
            }
        }
    }

    /// Asks the journal for the channel's forks.
    pub(super) async fn count_forks(
        &self,
        sole: &Sole,
        channel: &ChannelName,
        made: u64,
        operation: &mut Option<Operation>,
    ) -> Result<(), PublishError> {
        let Some(archive) = &sole.archive else { return Ok(()) };
        let any = self.ask(channel, |reply| archive.has_forks(channel, reply)).await?;
        if let Some(Operation::End(_, forks)) = operation {
            *forks = Some(Forks { made, any });
        }
        Ok(())
    }

    /// Asks the journal which producers it kept, for the channel as it is in memory now: see `load_keys`.
    pub(super) async fn load_producers(&self, sole: &Sole, channel: &Channel) -> Result<(), PublishError> {
        let (Some(archive), name) = (&sole.archive, channel.name()) else { return Ok(()) };
        let kept = self.ask(name, |reply| archive.producers(name, reply)).await?;
        Ok(channel.state.lock().ledger().producers.recall(kept, self.memory())?)
    }

    /// Removes a channel whose time is over, unless readers wait on it.
    pub(super) async fn remove_expired(
        &self,
        now: Timestamp,
        channel: &Arc<Channel>,
    ) -> Result<(), PublishError> {
        if self.is_prolonged(now, channel) {
            return Ok(());
        }
        let name = channel.name();
        let end = Box::pin(self.end(now, name, Reason::Over)).await?;
        if self.shared().is_some() && matches!(end, Submitted::Settled(_)) {
            // It was used on another server, or is gone already.
            self.residents().reset(name);
        }
        Ok(())
    }

    /// Lengthens the time of a channel that readers wait on; returns whether it is not over then.
    pub(super) fn is_prolonged(&self, now: Timestamp, channel: &Channel) -> bool {
        if !self.notifier().has_waiters(channel.name()) {
            return false;
        }
        let mut state = channel.state.lock();
        if let Some(ledger) = &mut state.ledger {
            ledger.prolong(now);
        }
        state.standing(now, false).0 != Existence::Over
    }

    /// Ends a channel for a reason, then its hidden ancestors that have no other forks.
    pub(super) async fn end(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        reason: Reason,
    ) -> Result<Submitted, PublishError> {
        if let Some(journal) = self.shared() {
            return self.end_shared(journal, channel, reason).await;
        }
        let mut origin = self.origin_of(now, channel).await?;
        let ended = self.submit(now, channel, nothing(), Operation::End(reason, None)).await?;
        while let (Submitted::Published(_), Some(source)) = (&ended, origin) {
            // What fails here is found by the sweep.
            let Ok(next) = self.origin_of(now, &source).await else { break };
            origin = next;
            match self.submit(now, &source, nothing(), Operation::End(Reason::NoForks, None)).await {
                Ok(Submitted::Published(_)) => {}
                // It has other forks, or can be reached.
                Ok(Submitted::Settled(_)) | Err(_) => break,
            }
        }
        Ok(ended)
    }

    /// What a channel was forked from. While the journal is away that is an error: what changes a channel does not wait for
    /// it.
    async fn origin_of(
        &self,
        now: Timestamp,
        channel: &ChannelName,
    ) -> Result<Option<ChannelName>, JournalError> {
        let found = match self.archive() {
            Some(archive) => Some(self.resident(archive, now, channel).await?),
            None => self.residents().get(channel),
        };
        let Some(found) = found else { return Ok(None) };
        let state = found.state.lock();
        let origin = state.ledger.as_ref().and_then(|ledger| ledger.life().origin.as_ref());
        Ok(origin.map(|origin| origin.source.clone()))
    }
}

/// A publish without messages.
pub(super) fn nothing() -> Publish {
    Publish::many(Vec::new())
}

/// Keeps a channel in memory.
pub(super) struct Hold(Arc<Channel>);

impl Hold {
    /// `None` where the channel has left memory already.
    fn of(channel: Arc<Channel>) -> Option<Self> {
        let mut state = channel.state.lock();
        if state.phase == ChannelPhase::Forgotten {
            return None;
        }
        state.ledger().holds += 1;
        drop(state);
        Some(Self(channel))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        let holds = &mut state.ledger().holds;
        // A channel that was removed has forgotten them.
        *holds = holds.saturating_sub(1);
    }
}
