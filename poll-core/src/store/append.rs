//! One publish on its way: what the publisher asks, what the journal is handed, what the publisher hears.

use std::sync::{Arc, Weak};

use smallvec::{SmallVec, smallvec};
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

use super::Inner;
use super::channel::Channel;
use crate::batch::Messages;
use crate::channel::ChannelName;
use crate::cursor::{Cursor, Epoch, Seq};
use crate::error::{JournalError, PublishError};
use crate::idempotency::{Fingerprint, IdempotencyKey};
use crate::message::{Message, Payload};
use crate::sync::Mutex;
use crate::time::Timestamp;

/// What a publisher asks: all of it is kept, or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// What to append, in this order; mostly one.
    pub payloads: SmallVec<[Payload; 1]>,
    /// The publisher's name for this publish, so that sending it again does not publish it again.
    pub key: Option<IdempotencyKey>,
    /// Whether this is the channel's last.
    pub ending: Ending,
}

/// Whether a channel goes on after a publish.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ending {
    /// More may follow.
    #[default]
    Open,
    /// Nothing follows: the channel is closed with it.
    Close,
}

/// The answer to a publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// One stamp a payload, in their order.
    pub stamps: Stamps,
    /// Of a publish that is answered again: the positions after those of its messages that are no longer retained, of
    /// which no more is known. They have no stamp.
    pub gone: Vec<Cursor>,
    /// Whether this is the answer to an earlier publish under the same key.
    pub repeated: bool,
}

/// Where and when the messages of one publish were taken; mostly one.
pub type Stamps = SmallVec<[Stamp; 1]>;

/// Where and when a message was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The position after the message; its number is in it.
    pub cursor: Cursor,
    /// The message's id.
    pub id: Uuid,
    /// When it was taken.
    pub at: Timestamp,
}

/// A minted publish in the hands of a journal. One that is dropped unanswered has failed; in a panic, nobody knows.
pub struct Append {
    pub(super) store: Weak<Inner>,
    pub(super) channel: Arc<Channel>,
    pub(super) epoch: Epoch,
    pub(super) after: Seq,
    pub(super) taken: Timestamp,
    pub(super) messages: Messages,
    pub(super) ending: Ending,
    pub(super) key: Option<(IdempotencyKey, Fingerprint)>,
    /// Twins under the same key wait for this to change or be dropped, which wakes them: so never under a lock.
    pub(super) twins: Option<watch::Sender<()>>,
    /// Gone once the publisher is answered. Held to take it out, because a publisher is told of a doubt while the
    /// publish itself is with the thread that commits it.
    pub(super) reply: Mutex<Option<Answer>>,
}

/// Where a publisher hears how its publish ended.
pub(super) type Answer = oneshot::Sender<Result<Published, PublishError>>;

/// Says of a publish that was shown before it was kept, that it is kept now.
pub struct Receipt {
    channel: Arc<Channel>,
    newest: Seq,
}

impl Publish {
    /// One payload, and the channel stays open.
    #[must_use]
    pub fn one(payload: Payload) -> Self {
        Self { payloads: smallvec![payload], key: None, ending: Ending::Open }
    }

    /// Some payloads, all or none of them.
    #[must_use]
    pub fn many(payloads: Vec<Payload>) -> Self {
        Self { payloads: payloads.into(), key: None, ending: Ending::Open }
    }

    /// The same under a key.
    #[must_use]
    pub fn under(self, key: IdempotencyKey) -> Self {
        Self { key: Some(key), ..self }
    }

    /// The same as the channel's last.
    #[must_use]
    pub fn closing(self) -> Self {
        Self { ending: Ending::Close, ..self }
    }
}

impl Append {
    /// Whose log this is for.
    #[must_use]
    pub fn channel(&self) -> &ChannelName {
        self.channel.name()
    }

    /// The life of the channel.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The number that the channel's publish before this one ended with.
    #[must_use]
    pub fn after(&self) -> Seq {
        self.after
    }

    /// The number that this publish ends with.
    #[must_use]
    pub fn newest(&self) -> Seq {
        self.messages.last().map_or(self.after, |message| message.seq)
    }

    /// For a journal that answers [`Taken::Kept`](crate::journal::Taken::Kept) before it has kept anything.
    /// Until the receipt is [given](Receipt::kept), memory holds the messages.
    #[must_use]
    pub fn receipt(&self) -> Receipt {
        Receipt { channel: self.channel.clone(), newest: self.newest() }
    }

    /// The same publish, for a journal that shows it before it keeps it; nobody is answered through it.
    #[cfg(feature = "disk")]
    pub(crate) fn copy(&self) -> Self {
        Self {
            store: Weak::new(),
            channel: self.channel.clone(),
            epoch: self.epoch,
            after: self.after,
            taken: self.taken,
            messages: self.messages.clone(),
            ending: self.ending,
            key: self.key.clone(),
            twins: None,
            reply: Mutex::default(),
        }
    }

    /// When the publish was taken, by the caller's clock.
    #[must_use]
    pub fn taken(&self) -> Timestamp {
        self.taken
    }

    /// The messages, numbered without holes behind those of the channel's publish before.
    #[must_use]
    pub fn messages(&self) -> &[Arc<Message>] {
        &self.messages
    }

    /// Whether the channel is closed with this.
    #[must_use]
    pub fn ending(&self) -> Ending {
        self.ending
    }

    /// The publisher's key and what tells its payload from others.
    #[must_use]
    pub fn key(&self) -> Option<&(IdempotencyKey, [u8; 32])> {
        self.key.as_ref()
    }

    /// The publish is kept: shows it to readers, then answers the publisher. To be called in the order in
    /// which a channel's publishes were handed over.
    pub fn kept(mut self) {
        let Some(store) = self.store.upgrade() else { return };
        let published = store.apply(&mut self);
        self.answer(Ok(published));
    }

    /// The publish is not kept. All publishes of the channel that were handed over since must fail as well:
    /// their [`after`](Self::after) names a message that never was.
    pub fn failed(self, error: JournalError) {
        self.channel.state.lock().fail(&self);
        self.dismiss();
        self.answer(Err(error.into()));
    }

    /// It is not known whether the publish is kept, nor when that will be known: tells the publisher, and those who
    /// ask again under its key. Readers see nothing of it, and the channel takes no other, until it is
    /// [kept](Self::kept) or has [failed](Self::failed) after all. One that is dropped from now on stays in doubt.
    pub fn doubtful(&self, why: &str) {
        // Whoever takes the reply may tell; all others come too late.
        let Some(reply) = self.reply.lock().take() else { return };
        self.channel.state.lock().doubt(self);
        if let Some(twins) = &self.twins {
            twins.send_replace(());
        }
        // The publisher may have left.
        let _ = reply.send(Err(JournalError::OutcomeUnknown(why.to_owned()).into()));
    }

    /// A channel that would have been born with this is not.
    pub(super) fn dismiss(&self) {
        if self.after != Seq::ZERO {
            return;
        }
        if let Some(archive) = self.store.upgrade().as_ref().and_then(|store| store.journal.archive()) {
            archive.dismiss();
        }
    }

    fn answer(&self, answer: Result<Published, PublishError>) {
        let reply = self.reply.lock().take();
        if let Some(reply) = reply {
            // The publisher may have left; what is kept is kept.
            let _ = reply.send(answer);
        }
    }
}

impl Drop for Append {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.doubtful("the journal ended before it answered");
        }
        let reply = self.reply.lock().take();
        if let Some(reply) = reply {
            self.channel.state.lock().fail(self);
            self.dismiss();
            drop(reply);
        }
        drop(self.twins.take());
    }
}

impl Receipt {
    /// The publish is kept.
    pub fn kept(self) {
        self.channel.state.lock().received(self.newest);
    }
}

impl std::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receipt").field("channel", self.channel.name()).field("newest", &self.newest).finish()
    }
}

impl std::fmt::Debug for Append {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Append")
            .field("channel", self.channel())
            .field("messages", &self.messages.len())
            .finish_non_exhaustive()
    }
}
