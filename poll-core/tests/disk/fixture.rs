//! Shorthand for what every test needs: stores on a disk, channels, times, publishes and reads.
//!
//! The journal has its own threads, so tests wait for its answers; they never sleep.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use poll_core::environment::{Environment, Location};
use poll_core::journal::disk::{DiskJournal, Options, Progress};
use poll_core::journal::{Archive, Loaded};
use poll_core::{
    Batch, ChannelName, Cursor, IdempotencyKey, JournalError, Limit, Payload, Pinned, Position, Publish,
    PublishError, Published, Retention, Store, Timestamp, View,
};

/// Some moment; tests count from it.
pub(crate) const NOON: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// Bounds that nothing reaches.
pub(crate) fn unbounded() -> Retention {
    Retention { messages: 0, age: Duration::ZERO, bytes: 0, channels: 0, ..Retention::default() }
}

pub(crate) fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap()
}

/// `seconds` after noon.
pub(crate) fn second(seconds: u64) -> Timestamp {
    NOON.after(Duration::from_secs(seconds))
}

/// A publish that was started.
pub(crate) type Publishing = tokio::task::JoinHandle<Result<Published, PublishError>>;

/// A store above a journal that is open.
pub(crate) struct Disk {
    pub(crate) store: Store,
    pub(crate) journal: DiskJournal,
    pub(crate) progress: Arc<Mutex<Vec<Progress>>>,
}

pub(crate) async fn open(location: impl Location, retention: Retention, options: Options) -> Disk {
    let progress = Arc::new(Mutex::new(Vec::new()));
    let seen = progress.clone();
    let journal = DiskJournal::start(&Environment::system(), location, options, move |step| {
        seen.lock().unwrap().push(step);
    })
    .unwrap();
    journal.opened().await.unwrap();
    let store = Store::new(Arc::new(journal.clone()), retention);
    Disk { store, journal, progress }
}

impl Disk {
    pub(crate) async fn close(self) {
        self.store.shut_down().await.unwrap();
    }

    pub(crate) async fn send(&self, now: Timestamp, channel: &str, text: &str) -> Published {
        self.try_send(now, channel, text).await.unwrap()
    }

    pub(crate) async fn try_send(
        &self,
        now: Timestamp,
        channel: &str,
        text: &str,
    ) -> Result<Published, PublishError> {
        self.store.publish(now, &name(channel), Publish::one(Payload::text(text))).await
    }

    /// Starts a publish under a key, and comes back when the journal has it, or has refused it.
    pub(crate) async fn start(&self, channel: &str, text: &str) -> Publishing {
        let (store, channel) = (self.store.clone(), name(channel));
        // What is not in memory would have to be read first.
        drop(store.load(NOON, &channel).await);
        let publish = Publish::one(Payload::text(text)).under(IdempotencyKey::parse(text).unwrap());
        let publishing = tokio::spawn(async move { store.publish(NOON, &channel, publish).await });
        tokio::task::yield_now().await;
        publishing
    }

    /// What the file says of a channel, past all that is in memory.
    pub(crate) async fn load(&self, channel: &str) -> Result<Option<Loaded>, JournalError> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.journal.load(
            &name(channel),
            NOON,
            Box::new(move |loaded| reply.send(loaded).unwrap_or_default()),
        );
        answer.await.unwrap()
    }

    pub(crate) async fn read(&self, now: Timestamp, channel: &str, position: Position) -> View {
        let pinned = self.store.pin(now, &name(channel), position).await.unwrap();
        self.store.read(now, &name(channel), &pinned, Limit::default()).await.unwrap()
    }

    /// All that is retained, read from the start, batch after batch.
    pub(crate) async fn all(&self, now: Timestamp, channel: &str) -> Vec<(u64, String)> {
        let mut view = self.read(now, channel, Position::Start).await;
        let mut given = Vec::new();
        while let Some(batch) = view.batch {
            given.extend(texts(&batch));
            let pinned = Pinned::after(view.next);
            view = self.store.read(now, &name(channel), &pinned, Limit::default()).await.unwrap();
        }
        given
    }

    /// Waits until the database has everything.
    pub(crate) async fn settle(&self) -> Result<(), JournalError> {
        self.journal.settle().await
    }

    /// Waits until the journal keeps again.
    pub(crate) async fn until_writable(&self) {
        let mut health = self.journal.health();
        health.wait_for(|health| health.check_writable().is_ok()).await.unwrap();
    }
}

pub(crate) fn texts(batch: &Batch) -> Vec<(u64, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    batch.messages().iter().map(|message| (message.seq.get(), text(message.payload.as_bytes()))).collect()
}

pub(crate) fn cursor(published: &Published) -> Cursor {
    published.stamps.last().unwrap().cursor
}

pub(crate) fn is_unavailable<T>(answer: &Result<T, PublishError>) -> bool {
    matches!(answer, Err(PublishError::Journal(JournalError::Unavailable(_))))
}

pub(crate) fn is_unknown<T>(answer: &Result<T, PublishError>) -> bool {
    matches!(answer, Err(PublishError::Journal(JournalError::OutcomeUnknown(_))))
}
