//! What one message costs on its way through the core: the log, ten thousand waiters, a shared batch, and the text of
//! its cursor.
//!
//! `cargo bench -p poll-core`. Timings of one machine are for comparing two commits on it, and nothing else; what holds
//! on any machine is counted by `cargo xtask bench instructions`.

use std::hint::black_box;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use poll_core::{
    ChannelName, Cursor, Epoch, Form, Limit, Log, Message, Payload, Pinned, Position, Publish, Rendering,
    Retention, Seq, Store, Timestamp, Wait, mint_id,
};

const WAITERS: usize = 10_000;

fn now() -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000)
}

fn message(number: u64) -> Arc<Message> {
    let at = Timestamp::from_micros(number);
    let payload = Payload::text("x".repeat(100));
    Arc::new(Message { seq: Seq::new(number), id: mint_id(at, number), at, payload })
}

fn log_of(messages: u64) -> Log {
    let mut log = Log::new(Epoch::new(1));
    (1..=messages).for_each(|number| log.append(message(number)));
    log
}

/// The outcome of a future that has no reason to wait.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("the store in memory answers at once"),
    }
}

fn log(criterion: &mut Criterion) {
    let thousand: Vec<_> = (1..=1_000).map(message).collect();
    criterion.bench_function("log: append 1000 messages", |bencher| {
        let append = |mut log: Log| {
            thousand.iter().for_each(|message| log.append(message.clone()));
            log
        };
        bencher.iter_batched(|| Log::new(Epoch::new(1)), append, BatchSize::SmallInput);
    });
    let mut full = log_of(1_000);
    criterion.bench_function("log: append to 1000 and evict one", |bencher| {
        bencher.iter(|| {
            full.append(message(full.newest().next().get()));
            full.evict()
        });
    });
    let log = log_of(1_000);
    for (name, after) in [("the newest message", 999), ("all 1000 messages", 0)] {
        criterion.bench_function(&format!("log: after, {name}"), |bencher| {
            bencher.iter(|| log.after(black_box(Seq::new(after)), Limit::default()).count());
        });
    }
    criterion.bench_function("log: the place of a time among 1000", |bencher| {
        bencher.iter(|| log.seq_at(black_box(Timestamp::from_micros(500))));
    });
}

/// Does the least that a worker's run queue does.
struct Nothing;

impl Wake for Nothing {
    fn wake(self: Arc<Self>) {}
}

fn notifier(criterion: &mut Criterion) {
    let store = Store::in_memory(Retention::default());
    let channel = ChannelName::parse("bench").unwrap_or_else(|_| unreachable!("a valid name"));
    let (lane, pinned) = (store.lane(), ready(store.pin(now(), &channel, Position::End)));
    let pinned = pinned.unwrap_or_else(|_| unreachable!("all is in memory"));
    let wakers: Vec<Waker> = (0..WAITERS).map(|_| Waker::from(Arc::new(Nothing))).collect();
    criterion.bench_function("notifier: register and notify 10000 waiters", |bencher| {
        let waits = || (0..WAITERS).map(|_| store.wait(&channel, &pinned, &lane)).collect::<Vec<_>>();
        let register_and_ring = |mut waits: Vec<Wait>| {
            for (wait, waker) in waits.iter_mut().zip(&wakers) {
                assert!(Pin::new(wait).poll(&mut Context::from_waker(waker)).is_pending());
            }
            store.notifier().notify(&channel);
            waits
        };
        bencher.iter_batched(waits, register_and_ring, BatchSize::LargeInput);
    });
}

fn batch(criterion: &mut Criterion) {
    let store = Store::in_memory(Retention::default());
    let channel = ChannelName::parse("bench").unwrap_or_else(|_| unreachable!("a valid name"));
    let pinned = Pinned::after(Cursor::ZERO);
    let publish = Publish::many((0..10).map(|_| Payload::text("x".repeat(100))).collect());
    assert!(ready(store.publish(now(), &channel, publish)).is_ok());
    let render = |batch: &poll_core::Batch| {
        let parts = batch.messages().iter().map(|message| message.payload.as_bytes());
        Rendering { bytes: Bytes::from(parts.collect::<Vec<_>>().concat()), ends: Box::default() }
    };
    criterion.bench_function("batch: read and take the shared rendering", |bencher| {
        bencher.iter(|| {
            let view = ready(store.read(now(), &channel, &pinned, Limit::default()));
            let view = view.unwrap_or_else(|_| unreachable!("all is in memory"));
            view.batch.map(|batch| batch.render(Form::new("a"), render).bytes.clone())
        });
    });
}

fn cursor(criterion: &mut Criterion) {
    let cursor = Cursor { epoch: Epoch::new(0x0123_4567_89ab_cdef), seq: Seq::new(1_234) };
    let text = cursor.to_string();
    criterion.bench_function("cursor: parse", |bencher| {
        bencher.iter(|| black_box(&text[..]).parse::<Cursor>());
    });
    criterion.bench_function("cursor: format", |bencher| bencher.iter(|| black_box(cursor).to_string()));
}

/// Long enough for a steady figure of things this small.
fn short() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2))
}

criterion_group!(name = benches; config = short(); targets = log, notifier, batch, cursor);
criterion_main!(benches);
