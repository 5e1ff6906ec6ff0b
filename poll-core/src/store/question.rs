//! Asking the journal, and waiting while it cannot answer.

use std::sync::Arc;

use tokio::sync::{oneshot, watch};

use super::handle::{Inner, Store};
use crate::journal::{Archive, Health, Reply};
use crate::memory::Kind;
use crate::types::{ChannelName, JournalError};

/// The size of a pending question in bytes, besides the channel's name: its entries in queues, and its share of what the
/// journal's readers hold.
const QUESTION_BYTES: u64 = 4 * 1024;

/// The size of a small pending question in bytes: its reply, and its entry in a queue.
const BRIEF_BYTES: u64 = 256;

impl Store {
    /// Asks the journal something about a channel: `send` hands the question over, `take` is called with the answer.
    /// All questions go through here, so that every pending one is charged; if there is no memory for it, that is the
    /// answer.
    pub(super) fn question<T: 'static>(
        &self,
        channel: &ChannelName,
        take: impl FnOnce(&Arc<Inner>, Result<T, JournalError>) + Send + 'static,
        send: impl FnOnce(Reply<T>),
    ) {
        let bytes = QUESTION_BYTES + channel.as_str().len() as u64;
        let charge = match self.memory().charge(Kind::ArchiveReads, bytes) {
            Ok(charge) => charge,
            Err(over) => return take(&self.0, Err(over.into())),
        };
        let store = Arc::downgrade(&self.0);
        send(Box::new(move |answer| {
            // Before the answer is passed on: its receivers should find the memory free.
            drop(charge);
            if let Some(store) = store.upgrade() {
                take(&store, answer);
            }
        }));
    }

    /// The same, and waits for the answer.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        channel: &ChannelName,
        send: impl FnOnce(Reply<T>),
    ) -> Result<T, JournalError> {
        let (sender, answer) = oneshot::channel();
        self.question(channel, |_, answered| drop(sender.send(answered)), send);
        answer.await.unwrap_or_else(|_| Err(JournalError::unanswered()))
    }
}

impl Store {
    /// The same for a small question, of which every reader has at most one.
    pub(super) async fn ask_briefly<T: Send + 'static>(
        &self,
        send: impl FnOnce(Reply<T>),
    ) -> Result<T, JournalError> {
        let charge = self.memory().charge_unbounded(Kind::ArchiveReads, BRIEF_BYTES);
        let (sender, answer) = oneshot::channel();
        send(Box::new(move |answered| drop(sender.send(answered))));
        let answer = answer.await.unwrap_or_else(|_| Err(JournalError::unanswered()));
        drop(charge);
        answer
    }
}

/// How a caller waits before it asks the journal again.
#[derive(Default)]
pub(super) struct Retry {
    health: Option<watch::Receiver<Health>>,
    failed: bool,
}

impl Retry {
    /// To be called before the journal is asked.
    pub(super) fn begin(&mut self, archive: &dyn Archive) {
        if let Some(health) = &mut self.health {
            health.mark_unchanged();
        } else {
            self.health = Some(archive.health());
        }
    }

    /// To be called after it failed: waits until there is a reason to ask again.
    ///
    /// # Errors
    /// The same one, if there never will be.
    pub(super) async fn after(&mut self, error: JournalError) -> Result<(), JournalError> {
        let Some(health) = &mut self.health else { return Err(error) };
        let is_final = matches!(error, JournalError::Damaged(_) | JournalError::OverBudget(_));
        if is_final || matches!(*health.borrow(), Health::Lost(_)) {
            return Err(error);
        }
        // The failed question may have been another caller's, from before the journal came back. The next one is not.
        if std::mem::replace(&mut self.failed, true) {
            // This cannot fail: the store holds the journal.
            drop(health.changed().await);
        }
        let settled = |health: &Health| health.check_readable().is_ok() || matches!(health, Health::Lost(_));
        match health.wait_for(settled).await.as_deref() {
            Ok(Health::Lost(_)) | Err(_) => Err(error),
            Ok(_) => Ok(()),
        }
    }
}
