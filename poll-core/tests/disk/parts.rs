//! A channel whose newest part is in the log, and whose older part is in the database, is one channel.

use poll_core::journal::disk::Options;
use poll_core::life::{Bound, Bounds};
use poll_core::{IdempotencyKey, Payload, Publish, Published, Retention};

use crate::fake::FakeDisk;
use crate::fixture::{Disk, NOON, cursor, name, open, second, unbounded};

async fn send_under(store: &Disk, key: &str) -> Published {
    let publish = Publish::one(Payload::text(key)).under(IdempotencyKey::parse(key).unwrap());
    store.store.publish(NOON, &name("a"), publish).await.unwrap()
}

/// No channel is in memory any more.
fn unload(store: &Disk) {
    (0..100).for_each(|_| store.store.sweep(second(120), 16));
    assert_eq!(store.store.channels_in_memory(), 0);
}

#[tokio::test]
async fn a_key_is_known_as_long_as_its_window_says_whatever_became_of_its_message() {
    for purges in [false, true] {
        let disk = FakeDisk::default();
        let store = open(disk.port(), Retention { messages: 3, ..unbounded() }, Options::default()).await;
        let first = send_under(&store, "key").await;
        store.settle().await.unwrap();
        for number in 0..10 {
            store.send(NOON, "a", &number.to_string()).await;
        }
        if purges {
            store.store.purge(NOON, &name("a")).await.unwrap();
        }
        unload(&store);
        let again = send_under(&store, "key").await;
        assert_eq!((again.repeated, again.gone), (true, vec![cursor(&first)]), "purged: {purges}");
    }
}

#[tokio::test]
async fn what_was_outgrown_between_two_segments_leaves_no_hole() {
    let disk = FakeDisk::default();
    let store = open(disk.port(), Retention { messages: 3, ..unbounded() }, Options::default()).await;
    // A sync with which the file grows would hold readers, too.
    store.send(NOON, "b", "x").await;
    store.settle().await.unwrap();
    for number in 1..=3 {
        store.send(NOON, "a", &number.to_string()).await;
    }
    // The database takes its time.
    disk.gate().hold_after(0);
    let journal = store.journal.clone();
    let settled = tokio::spawn(async move { journal.settle().await });
    tokio::task::yield_now().await;
    disk.gate().wait_for_sync();
    let sends = async {
        for number in 4..=20 {
            store.send(NOON, "a", &number.to_string()).await;
        }
        let bounds = Bounds { messages: Bound::Most(100), ..Bounds::SERVER };
        store.store.configure(NOON, &name("a"), bounds).await.unwrap();
    };
    sends.await;
    unload(&store);
    let all = store.all(second(120), "a").await;
    assert_eq!(all.first().map(|(seq, _)| *seq), Some(18), "{all:?}");
    disk.gate().free();
    settled.await.unwrap().unwrap();
}
