//! A publish that needs room for a new channel is answered, whatever becomes of the log and the database meanwhile.

use std::time::Duration;

use poll_core::journal::Archive;
use poll_core::journal::disk::Options;
use poll_core::{JournalError, PublishError, Published, Retention};
use tokio::time::timeout;

use crate::fake::{FakeDisk, Fault};
use crate::fixture::{Disk, NOON, open, second, unbounded};

/// A store in which another channel is one too many.
async fn full(disk: &FakeDisk) -> Disk {
    let store = open(disk.port(), Retention { channels: 1, ..unbounded() }, Options::default()).await;
    store.send(NOON, "a", "one").await;
    store
}

async fn another(store: &Disk) -> Result<Published, PublishError> {
    timeout(Duration::from_secs(60), store.try_send(NOON, "b", "one")).await.expect("it waits forever")
}

#[tokio::test]
async fn a_log_that_cannot_be_written_keeps_no_publish_waiting_for_room() {
    let disk = FakeDisk::default();
    let store = full(&disk).await;
    disk.set_free(Some(1_000));
    assert!(store.try_send(NOON, "a", "two").await.is_err());
    assert!(store.journal.health().borrow().check_writable().is_err());
    let refused = another(&store).await;
    assert!(matches!(refused, Err(PublishError::TooManyChannels { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_database_that_is_away_keeps_no_publish_waiting_for_room() {
    let disk = FakeDisk::default();
    let store = full(&disk).await;
    disk.fail(Fault::Sync(0));
    disk.fail(Fault::Shut(1_000_000));
    let refused = another(&store).await;
    assert!(matches!(refused, Err(PublishError::Journal(JournalError::Unavailable(_)))), "{refused:?}");
}

/// The end of the log is in doubt, so it cannot be moved to the database either.
#[tokio::test]
async fn a_log_that_is_in_doubt_keeps_no_publish_waiting_for_room() {
    let disk = FakeDisk::default();
    let store = full(&disk).await;
    disk.fail(Fault::Sync(0));
    disk.fail(Fault::Shut(1_000_000));
    assert!(store.try_send(NOON, "a", "two").await.is_err());
    let refused = another(&store).await;
    assert!(matches!(refused, Err(PublishError::Journal(JournalError::Unavailable(_)))), "{refused:?}");
    disk.heal();
    store.until_writable().await;
    assert!(store.try_send(NOON, "a", "three").await.is_ok());
}

/// A commit that happened counts with all that it did, also where that is found out only when the file is open again.
#[tokio::test]
async fn a_channel_that_was_forgotten_without_a_word_leaves_its_room() {
    for number in 0..4 {
        let disk = FakeDisk::default();
        let retention = Retention { channels: 1, age: Duration::from_secs(60), ..unbounded() };
        let store = open(disk.port(), retention, Options::default()).await;
        store.send(second(0), "a", "one").await;
        store.settle().await.unwrap();
        disk.fail(Fault::SyncDone(number, 0));
        let late = second(1_000_000);
        let _ = store.try_send(late, "b", "one").await;
        disk.heal();
        // It may be refused until the file is open again.
        let until_sent = async {
            while store.try_send(late, "b", "two").await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(60), until_sent).await.expect("there is never room");
        assert_eq!(store.store.channels(), 1, "after sync {number}");
    }
}
