//! Shorthands for what every test needs: channels, times, payloads, and polling by hand.
//!
//! Nothing here sleeps or runs a reactor: a future is polled once, and either it is ready or it is not.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use poll_core::{
    Batch, ChannelName, Cursor, Epoch, Limit, Message, Payload, Pinned, Position, Publish, PublishError,
    Published, Seq, Store, Timestamp, View,
};

/// Some moment; tests count from it.
pub(crate) const NOON: Timestamp = Timestamp::from_millis(1_800_000_000_000);

pub(crate) fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap()
}

/// `seconds` after noon.
pub(crate) fn second(seconds: u64) -> Timestamp {
    NOON.after(std::time::Duration::from_secs(seconds))
}

pub(crate) fn text(bytes: usize) -> Payload {
    Payload::text("x".repeat(bytes))
}

pub(crate) fn cursor(epoch: Epoch, seq: u64) -> Cursor {
    Cursor { epoch, seq: Seq::new(seq) }
}

/// The outcome of a future that has no reason to wait.
pub(crate) fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

/// A waker that counts.
#[derive(Default)]
pub(crate) struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Count {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// Polls once; `count` is woken when it is worth polling again.
pub(crate) fn poll<F: Future + Unpin>(future: &mut F, count: &Arc<Count>) -> Poll<F::Output> {
    let waker = Waker::from(count.clone());
    std::pin::Pin::new(future).poll(&mut Context::from_waker(&waker))
}

/// Publishes one payload of one byte.
pub(crate) fn publish(store: &Store, now: Timestamp, channel: &str) -> Published {
    send(store, now, channel, Publish::one(text(1))).unwrap()
}

pub(crate) fn send(
    store: &Store,
    now: Timestamp,
    channel: &str,
    publish: Publish,
) -> Result<Published, PublishError> {
    ready(store.publish(now, &name(channel), publish))
}

pub(crate) fn pin_at(store: &Store, now: Timestamp, channel: &str, position: Position) -> Pinned {
    ready(store.pin(now, &name(channel), position)).unwrap()
}

/// What a reader that starts at `position` is given.
pub(crate) fn read(store: &Store, now: Timestamp, channel: &str, position: Position) -> View {
    read_on(store, now, channel, &pin_at(store, now, channel, position))
}

pub(crate) fn read_on(store: &Store, now: Timestamp, channel: &str, pinned: &Pinned) -> View {
    ready(store.read(now, &name(channel), pinned, Limit::default())).unwrap()
}

/// The numbers of the messages in a view.
pub(crate) fn numbers(view: &View) -> Vec<u64> {
    let numbers = |batch: &Arc<Batch>| batch.messages().iter().map(number).collect();
    view.batch.as_ref().map(numbers).unwrap_or_default()
}

pub(crate) fn number(message: &Arc<Message>) -> u64 {
    message.seq.get()
}
