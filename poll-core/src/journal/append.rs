//! A publish as a journal has it, and how its messages get their numbers.

use std::ops::DerefMut;
use std::sync::{Arc, Weak};

use smallvec::SmallVec;
use tokio::sync::{oneshot, watch};

use super::archive::SoleArchive;
use crate::channel::{Channel, ChannelState, ForkPin, Messages, Pending};
use crate::environment::Environment;
use crate::life::{Bounds, Change};
use crate::residents::Residents;
use crate::sync::Mutex;
use crate::types::{
    ChannelName, Ending, Epoch, IdempotencyKey, JournalError, Message, Payload, PublishError, Published, Seq,
    Timestamp,
};

/// A publish handed to a journal. It arrives without numbers; a journal that accepts it has it [minted](Mint::mint).
/// Dropping it unanswered fails it; during a panic, the outcome counts as unknown.
pub struct Append<Content = Unminted> {
    envelope: Envelope,
    content: Content,
}

/// The content of an [`Append`] whose messages have no numbers yet.
pub struct Unminted(SmallVec<[Payload; 1]>);

/// The content of an [`Append`] whose messages have their numbers, ids and times.
pub struct Minted {
    epoch: Epoch,
    after: Seq,
    messages: Messages,
}

/// Gives out numbers, ids and times in this process. It borrows the channel's state, so messages are numbered in the
/// order in which the journal accepts the publishes.
pub struct Mint<'a> {
    environment: &'a Environment,
    state: &'a mut ChannelState,
    /// No message of the publish has an earlier time; `None` if it has no messages.
    earliest: Option<Timestamp>,
}

/// A publish's channel, and how its outcome is reported.
pub(crate) struct Envelope {
    pub(crate) residents: Weak<Residents>,
    pub(crate) channel: Arc<Channel>,
    pub(crate) pending: Pending,
    /// The archive that admitted the channel for this publish, which is its first.
    pub(crate) admitted: Option<Weak<dyn SoleArchive>>,
    /// Duplicates under the same key wait for this to change or be dropped. Both wake them, so neither may happen under
    /// a lock.
    pub(crate) duplicates: Option<watch::Sender<()>>,
    /// The source of the fork that this makes, which stays until there is an outcome.
    pub(crate) fork: Option<Arc<ForkPin>>,
    /// Gone once the publisher is answered. Locked to take it out, because a publisher is told of a doubt while the
    /// publish itself is with the thread that commits it.
    pub(crate) reply: Mutex<Option<Answer>>,
}

/// Where a publisher waits for the outcome.
pub(crate) type Answer = oneshot::Sender<Result<Published, PublishError>>;

/// A publish that readers see before the journal has kept it.
pub struct WriteBehind {
    channel: Arc<Channel>,
    epoch: Epoch,
    newest: Seq,
}

impl<Content> Append<Content> {
    /// The channel that this is for.
    #[must_use]
    pub fn channel(&self) -> &ChannelName {
        self.envelope.channel.name()
    }

    /// When the publish was taken, by the caller's clock.
    #[must_use]
    pub fn taken(&self) -> Timestamp {
        self.envelope.pending.taken
    }

    /// Whether this closes the channel.
    #[must_use]
    pub fn ending(&self) -> Ending {
        self.envelope.pending.ending
    }

    /// The publisher's idempotency key, and the hash of the payload.
    #[must_use]
    pub fn key(&self) -> Option<&(IdempotencyKey, [u8; 32])> {
        self.envelope.pending.key.as_ref()
    }

    /// What it changes of the channel's life; to be kept in the same commit.
    #[must_use]
    pub fn change(&self) -> Option<&Change> {
        self.envelope.pending.change.as_deref()
    }

    /// The channel's own bounds, if it has any.
    #[must_use]
    pub fn bounds(&self) -> Option<Bounds> {
        self.envelope.pending.bounds
    }

    /// The publish is not kept. If it was minted, all publishes of the channel that were minted after it must fail as
    /// well: they [follow](Append::after) a message that never existed.
    pub fn failed(self, error: JournalError) {
        self.envelope.fail();
        self.envelope.answer(Err(error.into()));
    }

    /// It is not known whether the publish is kept, nor when that will be known. Tells the publisher, and those who ask
    /// again under its key. Readers see nothing of it, and the channel takes no other publish, until it is kept or
    /// [fails](Self::failed) after all. If it is dropped from now on, it stays in doubt.
    pub fn doubtful(&self, why: &str) {
        self.envelope.doubt(why);
    }
}

impl Append {
    pub(crate) fn new(envelope: Envelope, payloads: SmallVec<[Payload; 1]>) -> Self {
        Self { envelope, content: Unminted(payloads) }
    }

    /// Takes back a publish that the journal refused. For the store, which holds the channel's lock.
    pub(crate) fn refuse(mut self, mut state: impl DerefMut<Target = ChannelState>) {
        self.envelope.reply = Mutex::default();
        state.refuse(&self.envelope.pending);
        drop(state);
        self.envelope.dismiss();
    }

    /// What to append, in this order; empty if the publish only [ends](Self::ending) the channel.
    #[must_use]
    pub fn payloads(&self) -> &[Payload] {
        &self.content.0
    }

    /// What retention will count for its messages, in bytes.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.payloads().iter().map(Payload::weight).sum()
    }
}

impl Append<Minted> {
    /// The channel's incarnation.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.content.epoch
    }

    /// The number of the last message before this publish.
    #[must_use]
    pub fn after(&self) -> Seq {
        self.content.after
    }

    /// The number of the last message of this publish.
    #[must_use]
    pub fn newest(&self) -> Seq {
        self.content.messages.last().map_or(self.content.after, |message| message.seq)
    }

    /// The messages, numbered without holes.
    #[must_use]
    pub fn messages(&self) -> &[Arc<Message>] {
        &self.content.messages
    }

    /// The publish is kept: shows it to readers, then answers the publisher. To be called in the order in which a
    /// channel's publishes were minted.
    pub fn kept(self) {
        let Self { envelope, content: Minted { epoch, messages, .. } } = self;
        let Some(residents) = envelope.residents.upgrade() else { return };
        match residents.show_kept(&envelope.channel, &envelope.pending, epoch, messages) {
            Some(published) => {
                envelope.made();
                envelope.answer(Ok(published));
            }
            None => envelope.doubt("what the journal kept does not follow what it kept before"),
        }
    }

    /// For a journal that answers [`Taken::Kept`](crate::journal::Taken::Kept) before it has kept anything: memory
    /// holds the messages until the journal says that they [are kept](WriteBehind::kept).
    #[must_use]
    pub fn write_behind(&self) -> WriteBehind {
        WriteBehind {
            channel: self.envelope.channel.clone(),
            epoch: self.content.epoch,
            newest: self.newest(),
        }
    }

    /// A copy for a journal that shows the publish before it keeps it; no publisher is answered through it. The source of a
    /// fork stays in memory for it: the journal does not know the fork yet.
    #[cfg(feature = "disk")]
    pub(crate) fn copy(&self) -> Self {
        let envelope = Envelope {
            residents: Weak::new(),
            channel: self.envelope.channel.clone(),
            pending: self.envelope.pending.clone(),
            admitted: None,
            duplicates: None,
            fork: self.envelope.fork.clone(),
            reply: Mutex::default(),
        };
        let Minted { epoch, after, ref messages } = self.content;
        Self { envelope, content: Minted { epoch, after, messages: messages.clone() } }
    }

    /// Shows a publish that was kept at once. For the store, which holds the channel's lock.
    pub(crate) fn show(
        self,
        residents: &Residents,
        state: impl DerefMut<Target = ChannelState>,
    ) -> Published {
        let Self { mut envelope, content } = self;
        envelope.reply = Mutex::default();
        let published = residents.show(&envelope.channel, state, &envelope.pending, content.messages);
        envelope.made();
        published
    }
}

impl<'a> Mint<'a> {
    /// Gives each message the next number, and a later time and id than all before. To be called once, when the publish
    /// has its place in the journal's order: a minted publish can no longer be refused.
    pub fn mint(&mut self, append: Append) -> Append<Minted> {
        let Append { envelope, content: Unminted(payloads) } = append;
        let (epoch, after) = (self.state.epoch(), self.state.minted());
        let messages = self.state.mint(self.environment, envelope.pending.taken, payloads);
        self.earliest = messages.first().map(|message| message.at);
        Append { envelope, content: Minted { epoch, after, messages } }
    }

    /// For one publish.
    pub(crate) fn of(environment: &'a Environment, state: &'a mut ChannelState) -> Self {
        Self { environment, state, earliest: None }
    }

    /// No message of the publish has an earlier time; `None` if it has no messages.
    pub(crate) fn earliest(&self) -> Option<Timestamp> {
        self.earliest
    }
}

impl Envelope {
    /// The publish is kept.
    fn made(&self) {
        if let Some(fork) = &self.fork {
            fork.made();
        }
    }

    /// The publish is not kept.
    fn fail(&self) {
        let settled = {
            let mut state = self.channel.state.lock();
            state.fail(&self.pending);
            state.settled()
        };
        drop(settled);
        self.dismiss();
    }

    fn doubt(&self, why: &str) {
        // Only the one that takes the reply answers the publisher.
        let Some(reply) = self.reply.lock().take() else { return };
        let settled = {
            let mut state = self.channel.state.lock();
            state.doubt(&self.pending);
            state.settled()
        };
        drop(settled);
        if let Some(duplicates) = &self.duplicates {
            duplicates.send_replace(());
        }
        // The publisher may have left.
        let _ = reply.send(Err(JournalError::OutcomeUnknown(why.to_owned()).into()));
    }

    /// The channel that was admitted for this publish does not come into being.
    fn dismiss(&self) {
        if let Some(archive) = self.admitted.as_ref().and_then(Weak::upgrade) {
            archive.dismiss();
        }
    }

    fn answer(&self, answer: Result<Published, PublishError>) {
        let reply = self.reply.lock().take();
        if let Some(reply) = reply {
            // The publisher may have left; its publish is stored all the same.
            let _ = reply.send(answer);
        }
    }
}

impl Drop for Envelope {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.doubt("the journal ended before it answered");
        }
        let reply = self.reply.lock().take();
        if let Some(reply) = reply {
            self.fail();
            drop(reply);
        }
        drop(self.duplicates.take());
    }
}

impl WriteBehind {
    /// The publish is kept.
    pub fn kept(self) {
        self.channel.state.lock().written(self.epoch, self.newest);
    }
}

impl<Content> std::fmt::Debug for Append<Content> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Append").field("channel", self.channel()).finish_non_exhaustive()
    }
}
