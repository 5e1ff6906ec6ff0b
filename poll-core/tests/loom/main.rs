//! The notifier under every interleaving of threads that loom finds, through the store that uses it.
//!
//! Only built for this: `RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom LOOM_MAX_PREEMPTIONS=2 cargo test
//! -p poll-core --release --test loom`. A wake that is lost leaves its worker asleep for good, which loom reports
//! as a deadlock; so most tests here assert by coming to their end.
#![cfg(loom)]
#![expect(clippy::unwrap_used, reason = "a model fails by panicking")]

mod following;
mod lanes;
mod lists;
mod wakes;
mod worker;

use poll_core::{ChannelName, Limit, Payload, Pinned, Position, Publish, Retention, Store, Timestamp};

use worker::ready;

fn now() -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000)
}

fn channel() -> ChannelName {
    ChannelName::parse("a").unwrap()
}

fn store() -> Store {
    Store::in_memory(Retention::default())
}

fn publish(store: &Store) {
    ready(store.publish(now(), &channel(), Publish::one(Payload::text("x")))).unwrap();
}

fn start(store: &Store) -> Pinned {
    ready(store.pin(now(), &channel(), Position::Start)).unwrap()
}

/// The numbers of the messages after `pinned`, and the position behind them.
fn read(store: &Store, pinned: &Pinned) -> (Vec<u64>, Pinned) {
    let view = ready(store.read(now(), &channel(), pinned, Limit::default())).unwrap();
    let messages = view.batch.iter().flat_map(|batch| batch.messages());
    (messages.map(|message| message.seq.get()).collect(), Pinned::after(view.next))
}
