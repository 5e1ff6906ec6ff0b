//! What is shown before it is kept: with interval durability, memory is ahead of the journal.

use std::time::Duration;

use poll_core::Position;
use poll_core::journal::Tail;
use poll_core::journal::disk::{Durability, Options};
use poll_core::life::{Bounds, Create, Deleted, ForkPoint};
use poll_core::{Ending, Payload};

use crate::fake::FakeDisk;
use crate::fixture::{Disk, NOON, name, open, unbounded};

/// A store that keeps nothing before it is closed, and little in memory, above what was sent to `a`.
async fn ahead(disk: &FakeDisk) -> Disk {
    let before = open(disk.port(), unbounded(), Options::default()).await;
    before.send(NOON, "a", "one").await;
    before.close().await;
    let durability = Durability::Interval(Duration::from_secs(3_600));
    let tail = Tail { channels: 1, ..Tail::default() };
    open(disk.port(), unbounded(), Options { durability, tail, ..Options::default() }).await
}

#[tokio::test]
async fn a_channel_that_was_deleted_does_not_come_back_before_the_journal_keeps_that() {
    let disk = FakeDisk::default();
    let store = ahead(&disk).await;
    assert_eq!(store.store.delete(NOON, &name("a")).await.unwrap(), Deleted::Gone);
    let view = store.read(NOON, "a", Position::Start).await;
    assert_eq!((view.batch.is_none(), view.read_state.newest.get()), (true, 0));
    store.send(NOON, "a", "new").await;
    let new = [(1, "new".to_owned())];
    assert_eq!(store.all(NOON, "a").await, new);
    store.close().await;
    let again = open(disk.port(), unbounded(), Options::default()).await;
    assert_eq!((again.all(NOON, "a").await, again.store.channels()), (new.to_vec(), 1));
}

#[tokio::test]
async fn a_source_is_known_to_have_a_fork_before_the_journal_keeps_that() {
    let disk = FakeDisk::default();
    let store = ahead(&disk).await;
    let fork = Create {
        content_type: None,
        lifetime: None,
        bounds: Bounds::SERVER,
        payloads: [Payload::json(b"2").unwrap()].into_iter().collect(),
        ending: Ending::Open,
        origin: Some(ForkPoint { source: name("a"), after: None, further: 0 }),
    };
    store.store.create(NOON, &name("b"), fork).await.unwrap();
    let later = NOON.after(Duration::from_secs(1));
    for channel in ["c", "d", "e", "f"] {
        store.read(later, channel, Position::Start).await;
    }
    assert_eq!(store.store.delete(later, &name("a")).await.unwrap(), Deleted::Hidden);
    let shared = [(1, "one".to_owned()), (2, "2".to_owned())];
    assert_eq!(store.all(later, "b").await, shared);
    store.close().await;
    let again = open(disk.port(), unbounded(), Options::default()).await;
    assert_eq!(again.all(NOON, "b").await, shared);
}
