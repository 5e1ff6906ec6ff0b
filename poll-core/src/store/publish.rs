//! Publishing: hand over to the journal, which mints; apply, notify, answer; in this order.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{oneshot, watch};

use super::handle::{Backing, Sole, Store};
use crate::channel::{Channel, ChannelPhase, ChannelState, Lookup, Operation, Reason, Verdict};
use crate::journal::{Append, Envelope, Mint, Outcome, PublishReply, SharedJournal, SharedPublish, Taken};
use crate::notifier::Heard;
use crate::residents::Full;
use crate::sync::Mutex;
use crate::types::{
    ChannelName, Ending, Epoch, Fingerprint, IdempotencyKey, JournalError, Publish, PublishError, Published,
    SeqRange, Timestamp, fingerprint,
};

/// The outcome of a publish with an operation.
#[derive(Debug)]
pub(super) enum Submitted {
    Published(Published),
    /// Nothing was kept, for this reason.
    Settled(Verdict),
}

/// A publish that was started.
pub enum Publishing {
    /// It is done: all readers can see the messages.
    Done(Published),
    /// It waits for the journal or for another publish. Dropping the future does not undo what the journal has.
    Waiting(Pin<Box<dyn Future<Output = Result<Published, PublishError>> + Send>>),
}

/// The outcome of one attempt to publish without waiting.
pub(super) enum Attempt {
    Published(Published),
    /// The journal has it.
    Queued(oneshot::Receiver<Result<Published, PublishError>>),
    /// A publish under the same key is pending.
    Duplicate(watch::Receiver<()>),
    /// The journal has to be asked first which keys of this channel it kept.
    NeedsKeys(Arc<Channel>),
    /// It was published before, as these messages.
    Repeated(Epoch, SeqRange),
    /// The channel was forgotten between look-up and lock.
    Forgotten,
    /// The channel would be new, and the limit on channels is reached.
    TooManyChannels,
    /// The journal has to be asked first which producers of this channel it knows.
    NeedsProducers(Arc<Channel>),
    /// The journal has to be asked first whether there are forks; so many had been made in this process.
    NeedsForks(u64),
    /// The time of the channel is over, and it has to be removed first.
    Over(Arc<Channel>),
    /// There is nothing to keep.
    Settled(Verdict),
}

impl Store {
    /// Appends to a channel, which begins with its first message. When this returns, all readers can see the messages,
    /// and they are as safe as the journal makes them. Dropping the future does not undo a publish that the
    /// journal has.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub async fn publish(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        publish: Publish,
    ) -> Result<Published, PublishError> {
        match self.start_publish(now, channel, publish)? {
            Publishing::Done(published) => Ok(published),
            Publishing::Waiting(published) => published.await,
        }
    }

    /// The same as [`publish`](Self::publish), as far as it gets without waiting: with logs in memory alone nearly
    /// always to the end. Above an archive, nothing starts before the returned future is polled.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub fn start_publish(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        publish: Publish,
    ) -> Result<Publishing, PublishError> {
        if publish.payloads.is_empty() && publish.ending == Ending::Open {
            return Err(PublishError::Nothing);
        }
        let key = publish.key.as_ref().map(|key| (key.clone(), fingerprint(&publish.payloads)));
        let mut publish = Some(publish);
        let mut attempt = None;
        while let Backing::Sole(sole @ Sole { archive: None, .. }) = &self.0.backing {
            let found = self.channel_for(sole, now, channel)?;
            match self.begin(sole, now, &found, &mut publish, key.as_ref(), None)? {
                Attempt::Published(published) => return Ok(Publishing::Done(published)),
                Attempt::Repeated(epoch, numbers) => {
                    if let Some(published) = self.repeated_resident(now, channel, epoch, numbers) {
                        return Ok(Publishing::Done(published));
                    }
                    attempt = Some(Attempt::Repeated(epoch, numbers));
                    break;
                }
                Attempt::Forgotten => {}
                Attempt::Settled(_) => return Err(PublishError::Hidden),
                waiting => {
                    attempt = Some(waiting);
                    break;
                }
            }
        }
        let (store, channel) = (self.clone(), channel.clone());
        let rest = async move {
            match &store.0.backing {
                Backing::Sole(sole) => {
                    let resumed = store.resume(sole, now, &channel, publish, key.as_ref(), None, attempt);
                    match resumed.await? {
                        Submitted::Published(published) => Ok(published),
                        Submitted::Settled(_) => Err(PublishError::Hidden),
                    }
                }
                Backing::Shared(journal) => {
                    store.publish_shared(journal.as_ref(), now, &channel, publish, key).await
                }
            }
        };
        Ok(Publishing::Waiting(Box::pin(rest)))
    }

    /// Completes a publish after its first attempt.
    #[expect(clippy::too_many_arguments, reason = "the parts of one attempt")]
    pub(super) async fn resume(
        &self,
        sole: &Sole,
        now: Timestamp,
        channel: &ChannelName,
        mut publish: Option<Publish>,
        key: Option<&(IdempotencyKey, Fingerprint)>,
        mut operation: Option<Operation>,
        mut attempt: Option<Attempt>,
    ) -> Result<Submitted, PublishError> {
        loop {
            match attempt.take() {
                None | Some(Attempt::Forgotten) => {}
                Some(Attempt::Published(published)) => return Ok(Submitted::Published(published)),
                Some(Attempt::Queued(reply)) => {
                    let outcome = reply.await.unwrap_or_else(|_| Err(JournalError::unanswered().into()));
                    return outcome.map(Submitted::Published);
                }
                Some(Attempt::Settled(verdict)) => return Ok(Submitted::Settled(verdict)),
                Some(Attempt::NeedsProducers(found)) => self.load_producers(sole, &found).await?,
                Some(Attempt::NeedsForks(made)) => {
                    self.count_forks(sole, channel, made, &mut operation).await?;
                }
                Some(Attempt::Over(over)) => self.remove_expired(now, &over).await?,
                // Any outcome wakes this publish; looking the key up again tells which it was.
                Some(Attempt::Duplicate(mut outcome)) => drop(outcome.changed().await),
                Some(Attempt::TooManyChannels) => self.evict_for_new_channel(sole, now).await?,
                Some(Attempt::NeedsKeys(found)) => self.load_keys(sole, now, &found).await?,
                Some(Attempt::Repeated(epoch, numbers)) => {
                    // Boxed because it is rare and large: every publish would carry room for it.
                    let repeated = Box::pin(self.repeated(now, channel, epoch, numbers)).await;
                    return Ok(Submitted::Published(repeated));
                }
            }
            let found = match self.archive() {
                None if operation.as_ref().is_none_or(Operation::begins) => {
                    self.channel_for(sole, now, channel)?
                }
                None => match self.residents().get(channel) {
                    Some(found) => found,
                    None => return Ok(Submitted::Settled(Verdict::Absent)),
                },
                Some(archive) => self.resident(archive, now, channel).await?,
            };
            attempt = Some(self.begin(sole, now, &found, &mut publish, key, operation.as_ref())?);
        }
    }

    /// Hands a publish to a journal that gives out numbers itself. Nothing of the channel is needed here, nor loaded.
    async fn publish_shared(
        &self,
        journal: &dyn SharedJournal,
        now: Timestamp,
        channel: &ChannelName,
        publish: Option<Publish>,
        key: Option<(IdempotencyKey, Fingerprint)>,
    ) -> Result<Published, PublishError> {
        let Some(Publish { payloads, ending, .. }) = publish else { return Err(PublishError::Nothing) };
        let publish = SharedPublish { payloads, ending, key };
        loop {
            match self.hand_to_shared(|reply| journal.publish(channel, publish.clone(), reply)).await? {
                Outcome::Kept(_, stamps) => {
                    self.residents().count_published(stamps.len());
                    self.notifier().tell(Heard::Changed(channel));
                    return Ok(Published { stamps, gone: Vec::new(), repeated: false });
                }
                Outcome::Repeated(epoch, numbers) => {
                    // It was perhaps published on another server, and just now. What cannot be read then counts as gone.
                    drop(self.arrive(journal, now, channel).await);
                    return Ok(self.repeated(now, channel, epoch, numbers).await);
                }
                Outcome::Over => drop(self.end_shared(journal, channel, Reason::Over).await?),
                Outcome::Outdated => {}
            }
        }
    }

    /// Hands a publish to a shared journal, and waits for what becomes of it.
    pub(super) async fn hand_to_shared(
        &self,
        hand: impl FnOnce(PublishReply),
    ) -> Result<Outcome, PublishError> {
        let (reply, outcome) = oneshot::channel();
        hand(Box::new(move |outcome| drop(reply.send(outcome))));
        outcome.await.unwrap_or_else(|_| {
            Err(JournalError::OutcomeUnknown("it stopped before it answered".to_owned()).into())
        })
    }

    /// Ends a channel: waiters are answered, and no more publishes are accepted. Closing a closed channel changes nothing.
    ///
    /// # Errors
    /// When the journal does not keep it, or the channel would be one too many.
    pub async fn close(&self, now: Timestamp, channel: &ChannelName) -> Result<(), PublishError> {
        match self.publish(now, channel, Publish::many(Vec::new()).closing()).await {
            Ok(_) | Err(PublishError::Closed) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) fn begin(
        &self,
        sole: &Sole,
        now: Timestamp,
        channel: &Arc<Channel>,
        publish: &mut Option<Publish>,
        key: Option<&(IdempotencyKey, Fingerprint)>,
        operation: Option<&Operation>,
    ) -> Result<Attempt, PublishError> {
        let mut state = channel.state.lock();
        if state.phase == ChannelPhase::Forgotten {
            return Ok(Attempt::Forgotten);
        }
        state.used = state.used.max(now);
        if let Some(known) = key.map(|key| self.known(now, channel, &mut state, key)).transpose()?.flatten() {
            return Ok(known);
        }
        let is_plain = operation.is_none() && state.ledger.is_none();
        let change = if is_plain && !state.is_close_pending() {
            None
        } else {
            match self.decide(sole, now, channel, &mut state, publish.as_ref(), operation)? {
                Ok(change) => change,
                Err(attempt) => return Ok(attempt),
            }
        };
        if change.is_none() {
            self.check_open(state.phase)?;
        }
        let admitting = sole.archive.as_ref().filter(|_| state.is_new());
        if admitting.is_some_and(|archive| !archive.admit(self.retention().channels())) {
            return Ok(Attempt::TooManyChannels);
        }
        let take = |(key, fingerprint): &(_, _)| state.keys.take(now, key, fingerprint, self.memory());
        // If there is no memory for the key, the channel that was admitted does not come into being.
        let duplicates = key
            .map(take)
            .transpose()
            .inspect_err(|_| admitting.into_iter().for_each(|archive| archive.dismiss()))?;
        let Some(Publish { payloads, ending, .. }) = publish.take() else {
            return Err(PublishError::Nothing);
        };
        let pending = state.hand_over(now, ending, key.cloned(), change, operation);
        let number = pending.number;
        let (reply, answer) = sole.journal.queues().then(oneshot::channel).unzip();
        let envelope = Envelope {
            residents: Arc::downgrade(&self.0.residents),
            channel: channel.clone(),
            pending,
            admitted: admitting.map(Arc::downgrade),
            duplicates,
            fork: operation.and_then(Operation::pin),
            reply: Mutex::new(reply),
        };
        let mut mint = Mint::of(&self.residents().environment, &mut state);
        match sole.journal.append(Append::new(envelope, payloads), &mut mint) {
            Taken::Queued => {
                let earliest = mint.earliest();
                state.pending_times.begin(number, earliest);
                let never = || {
                    JournalError::Unavailable(
                        "the journal queued an append although `queues()` is false".to_owned(),
                    )
                };
                Ok(Attempt::Queued(answer.ok_or_else(never)?))
            }
            Taken::Kept(append) => {
                if sole.archive.is_some() {
                    state.shown();
                }
                Ok(Attempt::Published(append.show(self.residents(), state)))
            }
            Taken::Refused(append, error) => {
                append.refuse(state);
                Err(error.into())
            }
        }
    }

    /// The state of an earlier publish under this key; `None` if there was none.
    fn known(
        &self,
        now: Timestamp,
        channel: &Arc<Channel>,
        state: &mut ChannelState,
        (key, fingerprint): &(IdempotencyKey, Fingerprint),
    ) -> Result<Option<Attempt>, PublishError> {
        state.keys.forget(now, self.retention());
        match state.keys.look(key, fingerprint) {
            Lookup::New => Ok(None),
            Lookup::NotLoaded => Ok(Some(Attempt::NeedsKeys(channel.clone()))),
            Lookup::Pending(outcome) => Ok(Some(Attempt::Duplicate(outcome))),
            Lookup::Doubtful => {
                let why = "the journal has the same publish, and failed".to_owned();
                Err(JournalError::OutcomeUnknown(why).into())
            }
            Lookup::Kept(numbers) => Ok(Some(Attempt::Repeated(state.epoch(), numbers))),
            Lookup::OtherPayload => Err(PublishError::KeyReused),
        }
    }

    /// Asks the journal which of a channel's keys it kept. The answer is for the channel as it is in memory now. If it is
    /// unloaded meanwhile, the one that is loaded after it may know of more, and is asked for its keys again.
    async fn load_keys(&self, sole: &Sole, now: Timestamp, channel: &Channel) -> Result<(), PublishError> {
        let (Some(archive), name) = (&sole.archive, channel.name()) else { return Ok(()) };
        let kept = self.ask(name, |reply| archive.keys(name, now, reply)).await?;
        Ok(channel.state.lock().keys.recall(&kept, self.memory())?)
    }

    /// Fails unless a channel in this phase accepts publishes.
    pub(super) fn check_open(&self, phase: ChannelPhase) -> Result<(), PublishError> {
        match phase {
            ChannelPhase::Open | ChannelPhase::Forgotten | ChannelPhase::Changing => Ok(()),
            ChannelPhase::Closing => Err(PublishError::Closed),
            ChannelPhase::Failing => {
                // The journal may know a better reason.
                if let Some(archive) = self.archive() {
                    archive.health().borrow().check_writable()?;
                }
                let why = "it failed, and has publishes of the channel to give back".to_owned();
                Err(JournalError::Unavailable(why).into())
            }
        }
    }

    /// Makes the journal forget a channel to make room for another.
    async fn evict_for_new_channel(&self, sole: &Sole, now: Timestamp) -> Result<(), PublishError> {
        let retry_after = self.retention().idempotency;
        let full = PublishError::TooManyChannels { retry_after };
        let Some(archive) = &sole.archive else { return Err(full) };
        let (reply, answer) = oneshot::channel();
        archive.make_room(now, Box::new(move |made| drop(reply.send(made))));
        match answer.await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(full),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(JournalError::unanswered().into()),
        }
    }

    /// The channel of this name, made if there is none.
    fn channel_for(
        &self,
        sole: &Sole,
        now: Timestamp,
        name: &ChannelName,
    ) -> Result<Arc<Channel>, PublishError> {
        if let Some(channel) = self.residents().get(name) {
            return Ok(channel);
        }
        let full = || PublishError::TooManyChannels { retry_after: self.retention().idempotency };
        let make = || self.residents().get_or_make(name).map_err(|Full| full());
        make().or_else(|full| if self.forget_one(sole, now) { make() } else { Err(full) })
    }
}
