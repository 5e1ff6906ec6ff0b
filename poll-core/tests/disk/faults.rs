//! When the disk fails, publishers get an error, readers are not affected, and nothing is lost or duplicated.

use std::time::Duration;

use poll_core::journal::disk::{Durability, Options};
use poll_core::{JournalError, PublishError};

use crate::fake::{FakeDisk, Fault};
use crate::fixture::{NOON, name, open, unbounded};

#[tokio::test]
async fn every_single_fault_is_told_and_gone_with_the_next_try() {
    for fault in (0..12).flat_map(|at| [Fault::Write(at), Fault::ShortWrite(at), Fault::Sync(at / 4)]) {
        let disk = FakeDisk::default();
        let store = open(disk.port(), unbounded(), Options::default()).await;
        let mut kept = vec!["before".to_owned()];
        store.send(NOON, "a", "before").await;
        disk.fail(fault);
        for round in 0..8 {
            let text = format!("{round}");
            match store.try_send(NOON, "a", &text).await {
                Ok(published) => {
                    kept.push(text);
                    assert_eq!(published.stamps[0].cursor.seq.get(), kept.len() as u64, "{fault:?}");
                }
                Err(PublishError::Journal(JournalError::Unavailable(_))) => store.until_writable().await,
                Err(error) => panic!("{fault:?}: {error:?}"),
            }
        }
        let numbered: Vec<_> = (1..).zip(kept).collect();
        assert_eq!(store.all(NOON, "a").await, numbered, "{fault:?}");
        // Even what only looks as if it had been written.
        disk.heal();
        disk.crash(|_| false);
        let after = open(disk.port(), unbounded(), Options::default()).await;
        assert_eq!(after.all(NOON, "a").await, numbered, "{fault:?}");
    }
}

#[tokio::test]
async fn what_a_failed_sync_left_in_the_cache_is_not_taken_for_kept() {
    let disk = FakeDisk::default();
    let store = open(disk.port(), unbounded(), Options::default()).await;
    store.send(NOON, "a", "before").await;
    disk.fail(Fault::Sync(0));
    let kept = store.try_send(NOON, "a", "doubtful").await.is_ok();
    disk.crash(|_| false);
    let again = open(disk.port(), unbounded(), Options::default()).await;
    assert_eq!(again.all(NOON, "a").await.len(), 1 + usize::from(kept));
}

#[tokio::test]
async fn a_batch_whose_sync_failed_has_failed_even_if_it_had_reached_the_disk() {
    for shut in 0..4 {
        let disk = FakeDisk::default();
        let store = open(disk.port(), unbounded(), Options::default()).await;
        store.send(NOON, "a", "before").await;
        disk.fail(Fault::SyncDone(0, shut));
        let mut publishes = Vec::new();
        for (channel, text) in [("a", "one"), ("a", "two"), ("born", "three")] {
            publishes.push((text, store.start(channel, text).await));
        }
        let mut expected = vec!["before"];
        for (text, publish) in publishes {
            match publish.await.unwrap() {
                Ok(_) => expected.push(text),
                // Until the log could be cut back.
                Err(PublishError::Journal(JournalError::OutcomeUnknown(_))) if shut > 0 => {}
                Err(PublishError::Journal(JournalError::Unavailable(_))) => {}
                Err(error) => panic!("{shut}: {error:?}"),
            }
        }
        store.until_writable().await;
        let next = store.send(NOON, "a", "after").await;
        let there = store.all(NOON, "a").await;
        assert_eq!(next.stamps[0].cursor.seq.get(), there.len() as u64);
        let born = store.all(NOON, "born").await;
        let texts: Vec<_> = there.iter().chain(&born).map(|(_, text)| text.as_str()).collect();
        expected.insert(there.len() - 1, "after");
        assert_eq!(texts, expected, "{shut}");
        let channels = 1 + born.len() as u64;
        assert_eq!(store.store.channels(), channels);
        disk.crash(|_| false);
        let again = open(disk.port(), unbounded(), Options::default()).await;
        assert_eq!(again.all(NOON, "a").await, there);
        assert_eq!((again.all(NOON, "born").await, again.store.channels()), (born, channels));
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_publishing_goes_on_when_there_is_room() {
    let disk = FakeDisk::default();
    let store = open(disk.port(), unbounded(), Options::default()).await;
    let mut kept = 0;
    // It says nothing of it before.
    disk.set_free(Some(1 << 30));
    disk.set_room(Some(disk.len()));
    let big = "x".repeat(20_000);
    let mut unknown = 0;
    let error = loop {
        match store.try_send(NOON, "a", &big).await {
            Ok(_) => kept += 1,
            // While the disk is full the file cannot even be opened again, which would tell.
            Err(PublishError::Journal(JournalError::OutcomeUnknown(_))) => unknown += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, PublishError::Journal(JournalError::Full(_))), "{error:?}");
    assert!(unknown <= 1, "{unknown}");
    assert_eq!(store.all(NOON, "a").await.len(), kept, "reading goes on");
    disk.set_room(None);
    store.until_writable().await;
    let published = store.send(NOON, "a", "again").await;
    assert_eq!(published.stamps[0].cursor.seq.get(), kept as u64 + 1);
}

#[tokio::test]
async fn publishes_are_refused_before_the_disk_is_full() {
    let disk = FakeDisk::default();
    disk.set_free(Some(1 << 30));
    let store = open(disk.port(), unbounded(), Options::default()).await;
    store.send(NOON, "a", "one").await;
    disk.set_free(Some(1_000));
    let writes = disk.counts().writes;
    let refused = store.try_send(NOON, "a", "two").await;
    assert!(matches!(refused, Err(PublishError::Journal(JournalError::Full(_)))), "{refused:?}");
    assert_eq!(disk.counts().writes, writes, "the file is not touched");
    assert!(store.store.load(NOON, &name("b")).await.is_ok(), "what is there can be read");
    disk.set_free(Some(1 << 30));
    store.until_writable().await;
    assert_eq!(store.send(NOON, "a", "two").await.stamps[0].cursor.seq.get(), 2);
}

#[tokio::test]
async fn a_store_without_room_for_what_was_shown_can_be_closed() {
    let disk = FakeDisk::default();
    disk.set_free(Some(1 << 30));
    let durability = Durability::Interval(Duration::from_secs(3_600));
    let store = open(disk.port(), unbounded(), Options { durability, ..Options::default() }).await;
    store.send(NOON, "a", "shown, and not written yet").await;
    // Enough for nothing, and not for this.
    disk.set_free(Some((1 << 20) + 10));
    let closed = tokio::time::timeout(Duration::from_secs(60), store.store.shut_down()).await;
    assert!(matches!(closed, Ok(Err(JournalError::Full(_)))), "{closed:?}");
}

#[tokio::test]
async fn one_commit_is_one_sync() {
    let disk = FakeDisk::default();
    let store = open(disk.port(), unbounded(), Options::default()).await;
    store.send(NOON, "a", "warm").await;
    let (syncs, commits) = (disk.counts().syncs, store.journal.figures().commits);
    for _ in 0..20 {
        store.send(NOON, "a", "x").await;
    }
    assert_eq!(store.journal.figures().commits - commits, 20);
    assert_eq!(disk.counts().syncs - syncs, 20);
}
