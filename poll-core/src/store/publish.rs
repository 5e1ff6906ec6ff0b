//! Publishing: hand to the journal, which mints; apply, ring, answer; in this order.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{oneshot, watch};

use super::append::Handed;
use super::channel::{Channel, Room, Stage, State};
use super::{Append, Inner, Mint, Minted, Store, View};
use crate::idempotency::{self, Fingerprint, IdempotencyKey, Known, Numbers};
use crate::journal::{Archive, Taken};
use crate::log::Limit;
use crate::position::Pinned;
use crate::sync::Mutex;
use crate::types::{
    ChannelName, Cursor, Ending, Epoch, JournalError, Message, Publish, PublishError, Published, Seq, Stamp,
    Stamps, Timestamp,
};

/// A publish that was started.
pub enum Publishing {
    /// It is over: all readers can see the messages.
    Done(Published),
    /// It has to wait, for the journal or for another publish. Dropping the future does not take back what the
    /// journal has.
    Waiting(Pin<Box<dyn Future<Output = Result<Published, PublishError>> + Send>>),
}

/// Reads back what a publish was answered that is repeated.
struct Repetition {
    epoch: Epoch,
    /// Up to here it was read.
    read: Seq,
    last: Seq,
    published: Published,
}

impl Repetition {
    fn new(epoch: Epoch, numbers: Numbers) -> Self {
        let last = Seq::new(numbers.after.get() + u64::from(numbers.count));
        let published = Published { stamps: Stamps::new(), gone: Vec::new(), repeated: true };
        Self { epoch, read: numbers.after, last, published }
    }

    /// What to read next; `None` at the end.
    fn next(&self) -> Option<(Pinned, Limit)> {
        let left = usize::try_from(self.last.get() - self.read.get()).unwrap_or(usize::MAX);
        (left > 0).then(|| (Pinned::after(self.cursor(self.read)), Limit::messages(left)))
    }

    /// What is retained has a stamp, what is not is gone. Every view takes this further.
    fn take(&mut self, view: &View) {
        let batch = view.batch.as_ref().filter(|batch| batch.end().epoch == self.epoch);
        let messages = batch.map_or(&[][..], |batch| batch.messages());
        let last = self.last;
        for message in messages.iter().take_while(|message| message.seq <= last) {
            self.skip_to(message.seq.previous());
            let Message { seq, id, at, .. } = **message;
            self.published.stamps.push(Stamp { cursor: self.cursor(seq), id, at });
            self.read = seq;
        }
        if messages.last().is_none_or(|message| message.seq > self.last) {
            self.skip_to(self.last);
        }
    }

    fn skip_to(&mut self, seq: Seq) {
        while self.read < seq {
            self.read = self.read.next();
            self.published.gone.push(self.cursor(self.read));
        }
    }

    fn cursor(&self, seq: Seq) -> Cursor {
        Cursor { epoch: self.epoch, seq }
    }

    fn published(self) -> Published {
        self.published
    }
}

/// How far a publish came without waiting.
enum Begun {
    Published(Published),
    /// The journal has it.
    Queued(oneshot::Receiver<Result<Published, PublishError>>),
    /// A publish under the same key is on its way.
    Duplicate(watch::Receiver<()>),
    /// The journal has to say first which keys it kept.
    NeedsKeys,
    /// It was published before, as these.
    Repeated(Epoch, Numbers),
    /// The channel was forgotten between look-up and lock.
    Forgotten,
    /// The channel would be born, and there are as many as there may be.
    Crowded,
}

impl Store {
    /// Appends to a channel, which is born if this is its first message. When this returns, all readers can
    /// see the messages, and they are kept as the journal promises. Dropping the future does not take a
    /// publish back that the journal has.
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

    /// The same as [`publish`](Self::publish), as far as it goes without waiting: with a log in memory alone that is
    /// nearly always to the end. Above a journal with an archive nothing begins before what is returned is polled.
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
        let key = publish.key.as_ref().map(|key| (key.clone(), idempotency::fingerprint(&publish.payloads)));
        let mut publish = Some(publish);
        let mut begun = None;
        while self.0.journal.archive().is_none() {
            let found = self.channel_for(now, channel)?;
            match self.begin(now, &found, &mut publish, key.as_ref())? {
                Begun::Published(published) => return Ok(Publishing::Done(published)),
                Begun::Repeated(epoch, numbers) => {
                    if let Some(published) = self.repeated_resident(now, channel, epoch, numbers) {
                        return Ok(Publishing::Done(published));
                    }
                }
                Begun::Forgotten => {}
                waiting => {
                    begun = Some(waiting);
                    break;
                }
            }
        }
        let (store, channel) = (self.clone(), channel.clone());
        let rest = async move { store.go_on(now, &channel, publish, key.as_ref(), begun).await };
        Ok(Publishing::Waiting(Box::pin(rest)))
    }

    /// Takes a publish to its end from wherever it has come to.
    async fn go_on(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        mut publish: Option<Publish>,
        key: Option<&(IdempotencyKey, Fingerprint)>,
        mut begun: Option<Begun>,
    ) -> Result<Published, PublishError> {
        loop {
            match begun.take() {
                None | Some(Begun::Forgotten) => {}
                Some(Begun::Published(published)) => return Ok(published),
                Some(Begun::Queued(reply)) => {
                    let lost = || JournalError::Unavailable("it stopped before it answered".to_owned());
                    return reply.await.unwrap_or_else(|_| Err(lost().into()));
                }
                // Every outcome wakes this one; the table then says which it was.
                Some(Begun::Duplicate(mut outcome)) => drop(outcome.changed().await),
                Some(Begun::Crowded) => self.make_way(now).await?,
                Some(Begun::NeedsKeys) => self.load_keys(now, channel).await?,
                Some(Begun::Repeated(epoch, numbers)) => {
                    return Ok(self.repeated(now, channel, epoch, numbers).await);
                }
            }
            let found = match self.0.journal.archive() {
                None => self.channel_for(now, channel)?,
                Some(archive) => self.resident(archive, now, channel).await?,
            };
            begun = Some(self.begin(now, &found, &mut publish, key)?);
        }
    }

    /// Ends a channel: who waits is told, and nothing more is taken. Closing a closed channel changes nothing.
    ///
    /// # Errors
    /// When the journal does not keep it, or the channel would be one too many.
    pub async fn close(&self, now: Timestamp, channel: &ChannelName) -> Result<(), PublishError> {
        match self.publish(now, channel, Publish::many(Vec::new()).closing()).await {
            Ok(_) | Err(PublishError::Closed) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn begin(
        &self,
        now: Timestamp,
        channel: &Arc<Channel>,
        publish: &mut Option<Publish>,
        key: Option<&(IdempotencyKey, Fingerprint)>,
    ) -> Result<Begun, PublishError> {
        let mut state = channel.state.lock();
        state.log.fetch();
        if state.stage == Stage::Forgotten {
            return Ok(Begun::Forgotten);
        }
        state.used = state.used.max(now);
        if let Some(known) = key.map(|key| self.known(now, &mut state, key)).transpose()?.flatten() {
            return Ok(known);
        }
        self.takes_more(state.stage)?;
        let archive = self.0.journal.archive();
        let unborn = archive.filter(|_| state.is_unborn());
        if unborn.is_some_and(|archive| !archive.admit(self.0.retention.channels())) {
            return Ok(Begun::Crowded);
        }
        let take = |(key, fingerprint): &(_, _)| state.keys.take(now, key, fingerprint, &self.0.memory);
        // A channel that was admitted is not born where its key has no room.
        let duplicates =
            key.map(take).transpose().inspect_err(|_| unborn.into_iter().for_each(Archive::dismiss))?;
        let Some(Publish { payloads, ending, .. }) = publish.take() else {
            return Err(PublishError::Nothing);
        };
        let pending = state.hand_over(ending, key.cloned());
        let number = pending.number;
        let (reply, answer) = self.0.journal.queues().then(oneshot::channel).unzip();
        let handed = Handed {
            store: Arc::downgrade(&self.0),
            channel: channel.clone(),
            pending,
            taken: now,
            admitted: unborn.is_some(),
            duplicates,
            reply: Mutex::new(reply),
        };
        let mut mint = Mint::of(&mut state, payloads.len());
        match self.0.journal.append(Append::new(handed, payloads), &mut mint) {
            Taken::Queued => {
                let earliest = mint.earliest();
                state.transit.begin(number, earliest);
                let never = || JournalError::Unavailable("it queues what it said it never would".to_owned());
                Ok(Begun::Queued(answer.ok_or_else(never)?))
            }
            Taken::Kept(mut append) => {
                append.handed.reply = Mutex::default();
                if archive.is_some() {
                    state.shown();
                }
                Ok(Begun::Published(self.0.show(&mut append, state)))
            }
            Taken::Refused(mut append, error) => {
                append.handed.reply = Mutex::default();
                state.refuse(&append.handed.pending);
                drop(state);
                append.handed.dismiss();
                Err(error.into())
            }
        }
    }

    /// What became of a publish under this key before; `None` where there was none.
    fn known(
        &self,
        now: Timestamp,
        state: &mut State,
        (key, fingerprint): &(IdempotencyKey, Fingerprint),
    ) -> Result<Option<Begun>, PublishError> {
        state.keys.forget(now, &self.0.retention);
        match state.keys.look(key, fingerprint) {
            Known::New => Ok(None),
            Known::NotLoaded => Ok(Some(Begun::NeedsKeys)),
            Known::Pending(outcome) => Ok(Some(Begun::Duplicate(outcome))),
            Known::Doubtful => {
                let why = "the same publish is in the journal's hands, which failed".to_owned();
                Err(JournalError::OutcomeUnknown(why).into())
            }
            Known::Kept(numbers) => Ok(Some(Begun::Repeated(state.epoch(), numbers))),
            Known::OtherPayload => Err(PublishError::KeyReused),
        }
    }

    /// Asks the journal which keys of a channel it kept.
    async fn load_keys(&self, now: Timestamp, name: &ChannelName) -> Result<(), PublishError> {
        let Some(archive) = self.0.journal.archive() else { return Ok(()) };
        let (sender, answer) = oneshot::channel();
        let take = move |_: &Arc<Inner>, keys| drop(sender.send(keys));
        self.question(name, take, |reply| archive.keys(name, now, reply));
        let stopped = |_| Err(JournalError::Unavailable("it stopped before it answered".to_owned()));
        let kept = answer.await.unwrap_or_else(stopped)?;
        // A channel that was let go of meanwhile is loaded again, and asked for its keys again.
        let Some(channel) = self.0.directory.get(name) else { return Ok(()) };
        Ok(channel.state.lock().keys.recall(&kept, &self.0.memory)?)
    }

    /// The answer to a publish that is repeated, as far as its messages are still retained.
    async fn repeated(
        &self,
        now: Timestamp,
        name: &ChannelName,
        epoch: Epoch,
        numbers: Numbers,
    ) -> Published {
        let mut repetition = Repetition::new(epoch, numbers);
        while let Some((position, limit)) = repetition.next() {
            match self.read(now, name, &position, limit).await {
                Ok(view) => repetition.take(&view),
                // What cannot be read counts as no longer retained: that it was published is certain.
                Err(_) => repetition.skip_to(repetition.last),
            }
        }
        repetition.published()
    }

    /// The same at once, where everything is in memory.
    fn repeated_resident(
        &self,
        now: Timestamp,
        name: &ChannelName,
        epoch: Epoch,
        numbers: Numbers,
    ) -> Option<Published> {
        let mut repetition = Repetition::new(epoch, numbers);
        while let Some((position, limit)) = repetition.next() {
            repetition.take(&self.read_resident(now, name, &position, limit)?);
        }
        Some(repetition.published())
    }

    /// Whether a channel in this stage takes a publish.
    fn takes_more(&self, stage: Stage) -> Result<(), PublishError> {
        match stage {
            Stage::Open | Stage::Forgotten => Ok(()),
            Stage::Closing => Err(PublishError::Closed),
            Stage::Failing => {
                // The journal may know better why.
                if let Some(archive) = self.0.journal.archive() {
                    archive.health().borrow().keeps()?;
                }
                let why = "it failed, and has publishes of the channel to give back".to_owned();
                Err(JournalError::Unavailable(why).into())
            }
        }
    }

    /// Finds room for another channel, where the journal keeps them.
    async fn make_way(&self, now: Timestamp) -> Result<(), PublishError> {
        let retry_after = self.0.retention.idempotency;
        let full = PublishError::TooManyChannels { retry_after };
        let Some(archive) = self.0.journal.archive() else { return Err(full) };
        let (reply, answer) = oneshot::channel();
        archive.make_room(now, Box::new(move |made| drop(reply.send(made))));
        match answer.await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(full),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(JournalError::Unavailable("it stopped before it answered".to_owned()).into()),
        }
    }

    /// The channel of a name, for somebody who publishes to it.
    fn channel_for(&self, now: Timestamp, name: &ChannelName) -> Result<Arc<Channel>, PublishError> {
        if let Some(channel) = self.0.directory.get(name) {
            return Ok(channel);
        }
        let most = self.0.retention.channels();
        let make = || self.0.directory.get_or_make(name, most, self.0.room.for_channels());
        let full = |_| PublishError::TooManyChannels { retry_after: self.0.retention.idempotency };
        make().or_else(|_| {
            if self.forget_one(now) { make().map_err(full) } else { Err(full(super::directory::Full)) }
        })
    }
}

impl Inner {
    /// Makes a publish visible that the journal kept later; `None` where it does not come next.
    pub(super) fn apply(&self, append: &mut Append<Minted>) -> Option<Published> {
        let channel = append.handed.channel.clone();
        let mut state = channel.state.lock();
        if !state.is_next(append.epoch(), append.messages()) {
            return None;
        }
        state.kept_to(append.newest());
        Some(self.show(append, state))
    }

    /// Makes a publish visible, and does what follows: this channel's bounds, the bell, the bounds of all.
    fn show(
        &self,
        append: &mut Append<Minted>,
        mut state: impl std::ops::DerefMut<Target = super::channel::State>,
    ) -> Published {
        let messages = append.take_messages();
        let (published, added) = state.apply(&append.handed.pending, messages);
        let count = published.stamps.len();
        let freed = state.retain(append.taken(), &self.retention, &self.memory);
        self.weight.fetch_add(added, Ordering::Relaxed);
        self.lighten(freed);
        // An ending alone adds nothing, so nothing has to go for it.
        let over = if added > 0 { self.over() } else { 0 };
        // The publisher's own channel gives first, down to what was published just now.
        let own = state.give(self.room, over, count, &self.memory);
        self.lighten(own);
        drop(state);
        self.published.fetch_add(count as u64, Ordering::Relaxed);
        self.notifier.ring(append.channel());
        if over > own {
            self.make_room(append.channel());
        }
        published
    }

    /// By how much channels and their logs are heavier than they may be.
    pub(super) fn over(&self) -> u64 {
        let channels = self.directory.weight().saturating_sub(Room::UNCOUNTED);
        self.weight.load(Ordering::Relaxed).saturating_add(channels).saturating_sub(self.room.bytes())
    }

    pub(super) fn lighten(&self, freed: u64) {
        if freed > 0 {
            self.weight.fetch_sub(freed, Ordering::Relaxed);
        }
    }
}
