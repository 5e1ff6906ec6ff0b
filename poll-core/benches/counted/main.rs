//! The core's hot paths, counted in instructions.
//!
//! Everything here is deterministic: time is a number that grows by a millisecond, there is no thread and no runtime.
//! How long a path takes is for `hot_paths`.

mod hot_path;

use std::hint::black_box;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use hot_path::HotPath;
use poll_core::{
    Batch, ChannelName, Cursor, Epoch, Form, Limit, Log, Message, Payload, Pinned, Position, Publish,
    Rendering, Retention, Seq, Store, Timestamp, Wait, mint_id,
};

const PATHS: &[HotPath] = &[
    HotPath { name: "publish", rounds: 2_000, operations: 1, run: publish },
    HotPath { name: "log-append-evict", rounds: 20_000, operations: 1, run: log_append_evict },
    HotPath { name: "read-tail", rounds: 5_000, operations: 1, run: read_tail },
    HotPath { name: "read-new-tail", rounds: 2_000, operations: 1, run: read_new_tail },
    HotPath { name: "wake-100", rounds: 200, operations: WAITERS as u64, run: wake },
    HotPath { name: "render-shared", rounds: 20_000, operations: 1, run: render_shared },
    HotPath { name: "cursor-parse", rounds: 20_000, operations: 1, run: cursor_parse },
    HotPath { name: "cursor-format", rounds: 20_000, operations: 1, run: cursor_format },
];

const WAITERS: usize = 100;

/// More messages than the channel retains and the store holds batches of, so that every round is like the next: one
/// comes, one goes.
const WARM: usize = 2_500;

fn main() {
    hot_path::run(PATHS);
}

/// A store with one channel, and its time.
struct World {
    store: Store,
    channel: ChannelName,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        Self {
            store: Store::in_memory(Retention::default()),
            channel: ChannelName::parse("counted").expect("a valid name"),
            now: Timestamp::from_millis(1_800_000_000_000),
        }
    }

    fn warm() -> Self {
        let mut world = Self::new();
        for _ in 0..WARM {
            let before = world.end();
            world.publish();
            world.read(&before);
        }
        world
    }

    /// Publishes 100 bytes, whose allocation is the caller's part.
    fn publish(&mut self) {
        self.now = Timestamp::from_micros(self.now.as_micros() + 1_000);
        let publish = Publish::one(Payload::text("x".repeat(100)));
        assert!(ready(self.store.publish(self.now, &self.channel, publish)).is_ok());
    }

    fn end(&self) -> Pinned {
        ready(self.store.pin(self.now, &self.channel, Position::End))
            .unwrap_or_else(|_| unreachable!("all is in memory"))
    }

    fn read(&self, pinned: &Pinned) -> Arc<Batch> {
        let view = ready(self.store.read(self.now, &self.channel, pinned, Limit::default()))
            .unwrap_or_else(|_| unreachable!("all is in memory"));
        view.batch.expect("a message after the position")
    }
}

/// The outcome of a future that has no reason to wait.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("the store in memory answers at once"),
    }
}

/// A message of 100 bytes is published to memory without waiters.
fn publish(rounds: u64) {
    let mut world = World::warm();
    (0..rounds).for_each(|_| world.publish());
}

/// A full log takes a message and evicts its oldest.
fn log_append_evict(rounds: u64) {
    let payload = Payload::text("x".repeat(100));
    let message = |number| {
        let at = Timestamp::from_micros(number);
        Arc::new(Message { seq: Seq::new(number), id: mint_id(at, number), at, payload: payload.clone() })
    };
    let mut log = Log::new(Epoch::new(1));
    (1..=1_000).for_each(|number| log.append(message(number)));
    for number in 1_001..=1_000 + rounds {
        log.append(message(number));
        black_box(log.evict());
    }
}

/// What every waiter but the first does: takes the batch of the newest message, which another reader asked for before.
fn read_tail(rounds: u64) {
    let mut world = World::warm();
    let before = world.end();
    world.publish();
    world.read(&before);
    for _ in 0..rounds {
        black_box(world.read(black_box(&before)));
    }
}

/// What the first waiter does, with the publish before it: makes the batch.
fn read_new_tail(rounds: u64) {
    let mut world = World::warm();
    for _ in 0..rounds {
        let before = world.end();
        world.publish();
        black_box(world.read(&before));
    }
}

/// Does the least that a worker's run queue does.
struct Nothing;

impl Wake for Nothing {
    fn wake(self: Arc<Self>) {}
}

/// A hundred waiters register with a driven lane, are notified, and find that they were.
fn wake(rounds: u64) {
    let world = World::warm();
    let (lane, pinned) = (world.store.lane(), world.end());
    let wakers: Vec<Waker> = (0..WAITERS).map(|_| Waker::from(Arc::new(Nothing))).collect();
    let mut drive = pin!(lane.drive());
    assert!(drive.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let mut waits: Vec<Wait> = Vec::with_capacity(WAITERS);
    for _ in 0..rounds {
        waits.extend((0..WAITERS).map(|_| world.store.wait(&world.channel, &pinned, &lane)));
        for (wait, waker) in waits.iter_mut().zip(&wakers) {
            assert!(Pin::new(wait).poll(&mut Context::from_waker(waker)).is_pending());
        }
        world.store.notifier().notify(&world.channel);
        assert!(drive.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        for (mut wait, waker) in waits.drain(..).zip(&wakers) {
            assert!(Pin::new(&mut wait).poll(&mut Context::from_waker(waker)).is_ready());
        }
    }
}

/// What every reader but the first does with a batch: takes a reference to its bytes.
fn render_shared(rounds: u64) {
    let mut world = World::new();
    let before = world.end();
    world.publish();
    let batch = world.read(&before);
    let render = |batch: &Batch| {
        let parts: Vec<&[u8]> = batch.messages().iter().map(|message| message.payload.as_bytes()).collect();
        Rendering { bytes: Bytes::from(parts.concat()), ends: Box::default() }
    };
    for _ in 0..rounds {
        black_box(black_box(&batch).render(Form::new("a"), render).bytes.clone());
    }
}

fn cursor() -> Cursor {
    Cursor { epoch: Epoch::new(0x0123_4567_89ab_cdef), seq: Seq::new(1_234) }
}

fn cursor_parse(rounds: u64) {
    let text = cursor().to_string();
    for _ in 0..rounds {
        assert!(black_box(&text[..]).parse::<Cursor>().is_ok());
    }
}

fn cursor_format(rounds: u64) {
    for _ in 0..rounds {
        black_box(black_box(cursor()).to_string());
    }
}
