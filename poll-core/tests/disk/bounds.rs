//! Retained data stays within its limits: in the file, in memory, and at the start.

use std::sync::Arc;
use std::time::Duration;

use poll_core::environment::Environment;
use poll_core::journal::Tail;
use poll_core::journal::disk::{DiskJournal, Options};
use poll_core::{
    IdempotencyKey, JournalError, Kind, Memory, OverBudget, Payload, Position, Publish, PublishError,
    Retention, Store,
};

use crate::fake::FakeDisk;
use crate::fixture::{NOON, name, open, second, unbounded};

/// Publishes `count` messages of a kilobyte, some at once.
async fn fill(store: &crate::fixture::Disk, now: poll_core::Timestamp, channel: &str, count: usize) {
    let payload = Payload::text("x".repeat(1_000));
    for _ in 0..count / 50 {
        let publish = Publish::many(vec![payload.clone(); 50]);
        store.store.publish(now, &name(channel), publish).await.unwrap();
    }
}

#[tokio::test]
async fn the_file_does_not_grow_under_endless_publishing() {
    let bounds = [
        Retention { messages: 500, ..unbounded() },
        Retention { bytes: 500_000, ..unbounded() },
        Retention { age: Duration::from_secs(10), ..unbounded() },
    ];
    for retention in bounds {
        let disk = FakeDisk::default();
        let options = Options { segment_bytes: Some(256 << 10), ..Options::default() };
        let store = open(disk.port(), retention, options).await;
        let mut len = 0;
        for round in 0..60 {
            let now = second(round);
            fill(&store, now, "a", 100).await;
            store.store.sweep(now, 16);
            store.settle().await.unwrap();
            if round == 20 {
                len = disk.len();
            }
        }
        assert!(disk.len() <= len * 2, "{retention:?}: {len} grew to {}", disk.len());
    }
}

#[tokio::test]
async fn bytes_in_all_are_bounded_and_readers_are_told_what_went() {
    let disk = FakeDisk::default();
    let retention = Retention { bytes: 200_000, ..unbounded() };
    let store = open(disk.port(), retention, Options::default()).await;
    fill(&store, NOON, "quiet", 50).await;
    fill(&store, second(1), "loud", 2_000).await;
    store.settle().await.unwrap();
    let quiet = store.read(second(1), "quiet", Position::Start).await.read_state;
    assert_eq!((quiet.oldest.get(), quiet.missed()), (1, Some(0)), "one channel never erases others");
    let loud = store.read(second(1), "loud", Position::Start).await;
    let there = store.all(second(1), "loud").await;
    assert_eq!(there.len() as u64, 2_001 - loud.read_state.oldest.get());
    assert_eq!(loud.read_state.missed(), Some(loud.read_state.oldest.get() - 1));
    let kept = (there.len() + 50) * (1_000 + 128);
    assert!(kept <= 200_000 + 50 * 1_128, "{kept} bytes are retained");
    // Where the publisher's own channel has nothing to give, one that is long unused does.
    for channel in 0..10 {
        fill(&store, second(2), &channel.to_string(), 50).await;
    }
    store.settle().await.unwrap();
    let quiet = store.read(second(2), "quiet", Position::Start).await.read_state;
    let loud = store.read(second(2), "loud", Position::Start).await.read_state;
    assert!(quiet.missed() > Some(0) || loud.missed() > Some(1_900), "{quiet:?} {loud:?}");
}

#[tokio::test]
async fn memory_holds_the_tail_of_the_channels_in_use() {
    let disk = FakeDisk::default();
    let tail = Tail { bytes: 50_000, channels: 10, idle: Duration::from_secs(60) };
    let options = Options { tail, ..Options::default() };
    let store = open(disk.port(), unbounded(), options).await;
    for channel in 0..100 {
        fill(&store, second(channel), &channel.to_string(), 50).await;
        assert!(store.store.channels_in_memory() <= 11, "{}", store.store.channels_in_memory());
        assert!(store.store.weight() <= 50_000 + 50 * 1_128 + 11 * 1_128, "{}", store.store.weight());
    }
    assert_eq!(store.store.channels(), 100);
    for channel in 0..100 {
        assert_eq!(store.all(second(100), &channel.to_string()).await.len(), 50);
    }
    (0..100).for_each(|_| store.store.sweep(second(1_000), 16));
    assert_eq!((store.store.channels_in_memory(), store.store.weight()), (0, 0), "they are not used");
}

#[tokio::test]
async fn a_clock_that_leapt_ahead_and_came_back_keeps_no_channel_in_memory() {
    let disk = FakeDisk::default();
    let store = open(disk.port(), unbounded(), Options::default()).await;
    for channel in 0..10 {
        store.send(NOON, &channel.to_string(), "x").await;
        store.read(second(86_400), &channel.to_string(), Position::Start).await;
    }
    let sweep = |now| (0..100).for_each(|_| store.store.sweep(now, 16));
    sweep(second(1));
    assert_eq!(store.store.channels_in_memory(), 10, "used as lately as can be");
    sweep(second(60));
    assert_eq!(store.store.channels_in_memory(), 10);
    sweep(second(61));
    assert_eq!(store.store.channels_in_memory(), 0);
}

#[tokio::test]
async fn a_start_costs_the_same_with_many_channels_as_with_few() {
    let mut reads = Vec::new();
    for channels in [10, 3_000] {
        let disk = FakeDisk::default();
        let store = open(disk.port(), unbounded(), Options::default()).await;
        let publish = |channel: usize| {
            let store = store.store.clone();
            async move {
                let publish = Publish::many(vec![Payload::text("x"); 10]);
                store.publish(NOON, &name(&format!("channel {channel}")), publish).await.unwrap();
            }
        };
        // Loading more channels at once may exceed the memory account's share for archive reads.
        for first in (0..channels).step_by(100) {
            let publishes: Vec<_> =
                (first..channels.min(first + 100)).map(|channel| tokio::spawn(publish(channel))).collect();
            for publish in publishes {
                publish.await.unwrap();
            }
        }
        store.close().await;
        let before = disk.counts().reads;
        let again = open(disk.port(), unbounded(), Options::default()).await;
        assert_eq!(again.store.channels(), channels as u64);
        reads.push(disk.counts().reads - before);
    }
    assert!(reads[1] <= reads[0] * 4 + 40, "reads of the file at the start: {reads:?}");
}

#[tokio::test]
async fn questions_to_the_journal_are_charged_and_refused_beyond_the_account() {
    let disk = FakeDisk::default();
    let first = open(disk.port(), unbounded(), Options::default()).await;
    first.send(NOON, "a", "one").await;
    first.close().await;
    for (budget, room) in [(32 << 10, false), (16 << 20, true)] {
        let journal =
            DiskJournal::start(&Environment::system(), disk.port(), Options::default(), |_| {}).unwrap();
        journal.opened().await.unwrap();
        let memory = Memory::new(budget);
        let store = Store::with_memory(Arc::new(journal), unbounded(), memory.clone());
        let loaded = store.load(NOON, &name("a")).await;
        if room {
            assert_eq!(loaded, Ok(()));
        } else {
            assert_eq!(loaded, Err(JournalError::OverBudget(OverBudget(Kind::ArchiveReads))));
            assert!(memory.refused(Kind::ArchiveReads) > 0);
        }
        assert_eq!(memory.used(Kind::ArchiveReads), 0);
        store.shut_down().await.unwrap();
    }
}

#[tokio::test]
async fn a_channel_whose_first_key_has_no_room_does_not_count() {
    let journal =
        DiskJournal::start(&Environment::system(), FakeDisk::default().port(), Options::default(), |_| {})
            .unwrap();
    journal.opened().await.unwrap();
    let memory = Memory::new(128 << 10);
    let store = Store::with_memory(Arc::new(journal), unbounded(), memory.clone());
    let _full = memory.charge(Kind::Keys, memory.bound(Kind::Keys)).unwrap();
    for number in 0..3 {
        let publish = Publish::one(Payload::text("x")).under(IdempotencyKey::parse("k").unwrap());
        let refused = store.publish(NOON, &name(&format!("c{number}")), publish).await;
        assert_eq!(refused, Err(PublishError::OverBudget(OverBudget(Kind::Keys))));
    }
    assert_eq!(store.channels(), 0);
}
