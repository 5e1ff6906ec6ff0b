//! Everything in the file counts towards its size, not only messages, and the file stays within its limit.

use std::time::Duration;

use poll_core::environment::Directory;
use poll_core::journal::disk::Options;
use poll_core::{
    IdempotencyKey, JournalError, Payload, Publish, PublishError, Published, Retention, Timestamp,
};
use redb::{ReadableTable, TableDefinition};

use crate::fake::FakeDisk;
use crate::fixture::{Disk, NOON, name, open, second, unbounded};

const RETAINED: u64 = 32 << 20;
/// What README.md promises.
const LONGEST: u64 = 2 * RETAINED + (32 << 20);

/// Publishes so many bytes, in publishes of about 512 KiB, and gives how long the file was at the most.
async fn churn(total: u64, channels: usize, sizes: impl Fn(usize) -> usize) -> u64 {
    let disk = FakeDisk::default();
    let retention = Retention { bytes: RETAINED, ..unbounded() };
    let store = open(disk.port(), retention, Options::default()).await;
    let (mut published, mut count, mut longest) = (0, 0, 0);
    while published < total {
        let mut payloads = Vec::new();
        let mut bytes = 0;
        while bytes < 512 << 10 {
            let size = sizes(count);
            payloads.push(Payload::text("x".repeat(size)));
            bytes += size + 128;
            count += 1;
        }
        published += bytes as u64;
        let channel = name(&format!("channel {}", count % channels));
        store.store.publish(second(count as u64), &channel, Publish::many(payloads)).await.unwrap();
        longest = longest.max(disk.len() as u64);
    }
    longest
}

#[tokio::test]
async fn messages_that_fill_half_of_their_pages_leave_the_file_within_its_length() {
    let longest = churn(RETAINED * 5 / 2, 97, |_| 4_100).await;
    assert!(longest <= LONGEST, "{longest} bytes");
}

#[tokio::test]
async fn large_messages_leave_the_file_within_its_length() {
    let longest = churn(RETAINED * 5 / 2, 7, |_| 66_000).await;
    assert!(longest <= LONGEST, "{longest} bytes");
}

#[tokio::test]
async fn messages_of_many_sizes_leave_the_file_within_its_length() {
    let longest = churn(RETAINED * 5 / 2, 97, |count| count * 7_919 % 19_000).await;
    assert!(longest <= LONGEST, "{longest} bytes");
}

#[tokio::test]
async fn small_messages_of_many_channels_leave_the_file_within_its_length() {
    let longest = churn(RETAINED * 3 / 2, 997, |_| 400).await;
    assert!(longest <= LONGEST, "{longest} bytes");
}

fn small() -> Retention {
    Retention { bytes: 100_000, ..unbounded() }
}

async fn keyed(store: &Disk, now: Timestamp, number: usize) -> Result<Published, PublishError> {
    let key = IdempotencyKey::parse(&format!("{number:0>255}")).unwrap();
    store.store.publish(now, &name("a"), Publish::one(Payload::text("x")).under(key)).await
}

/// Publishes under new keys until that is refused; gives how many were taken.
async fn fill_with_keys(store: &Disk) -> usize {
    for number in 0..10_000 {
        match keyed(store, NOON, number).await {
            Ok(_) => {}
            Err(PublishError::Journal(JournalError::Full(_))) => return number,
            Err(error) => panic!("{error:?}"),
        }
    }
    panic!("all keys were taken")
}

#[tokio::test]
async fn keys_in_the_file_are_bounded_and_none_is_forgotten_in_its_window() {
    let disk = FakeDisk::default();
    let store = open(disk.port(), small(), Options::default()).await;
    let taken = fill_with_keys(&store).await;
    assert!((1_000..2_000).contains(&taken), "{taken}");
    // What is known is still answered, and what has no key is still taken; all of it over a restart.
    store.close().await;
    let store = open(disk.port(), small(), Options::default()).await;
    keyed(&store, second(1), 0).await.unwrap();
    keyed(&store, second(1), 9_999).await.unwrap_err();
    store.send(second(1), "a", "x").await;
    // When their window is over they make room.
    let later = NOON.after(Duration::from_secs(1_000));
    store.settle().await.unwrap();
    for _ in 0..4 {
        store.store.sweep(later, 16);
        store.settle().await.unwrap();
    }
    store.send(later, "a", "x").await;
    keyed(&store, later, 9_999).await.unwrap();
}

#[tokio::test]
async fn channels_in_the_file_are_bounded_by_what_their_names_take() {
    let disk = FakeDisk::default();
    let store = open(disk.port(), small(), Options::default()).await;
    let long = |number: usize| format!("{number:0>1024}");
    let mut born = 0;
    while store.try_send(NOON, &long(born), "x").await.is_ok() {
        born += 1;
    }
    assert!((200..300).contains(&born), "{born}");
    let full = store.try_send(NOON, &long(born), "x").await;
    assert!(matches!(full, Err(PublishError::TooManyChannels { .. })), "{full:?}");
    store.send(NOON, &long(0), "x").await;
}

const TOTALS: TableDefinition<'_, (), &[u8]> = TableDefinition::new("totals");

#[tokio::test]
async fn what_an_earlier_version_did_not_count_is_counted_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let place = Directory::new(dir.path());
    let store = open(place.clone(), small(), Options::default()).await;
    fill_with_keys(&store).await;
    store.close().await;
    {
        let database = redb::Database::open(place.file()).unwrap();
        let txn = database.begin_write().unwrap();
        let mut totals = txn.open_table(TOTALS).unwrap();
        let old = totals.get(()).unwrap().unwrap().value()[..49].to_vec();
        totals.insert((), old.as_slice()).unwrap();
        drop(totals);
        txn.commit().unwrap();
    }
    let store = open(place, small(), Options::default()).await;
    keyed(&store, second(1), 9_999).await.unwrap_err();
    store.send(second(1), "a", "x").await;
}
