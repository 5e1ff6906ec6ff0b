//! A channel whose newest part is in the log, and whose older part is in the database, is one channel.

use poll_core::journal::disk::Options;
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
