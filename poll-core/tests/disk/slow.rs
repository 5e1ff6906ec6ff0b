//! Commits that take too long: publishers are told, whatever the writer waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use poll_core::journal::disk::Options;
use poll_core::journal::{Archive, FaultKind};
use tokio::time::timeout;

use crate::fake::{DATABASE, Event, FakeDisk};
use crate::fixture::{NOON, is_unavailable, is_unknown, name, open, unbounded};

#[tokio::test]
async fn a_commit_that_takes_too_long_is_told_and_goes_on() {
    let disk = FakeDisk::default();
    let stall = Duration::ZERO;
    let store = open(disk.port(), unbounded(), Options { stall, ..Options::default() }).await;
    store.send(NOON, "a", "before").await;
    store.journal.verify();
    assert!(store.try_send(NOON, "b", "no commit takes too long").await.is_ok());
    disk.gate().hold_after(0);
    let slow = store.start("a", "slow").await;
    disk.gate().wait_for_sync();
    let behind = store.start("a", "behind").await;
    store.journal.verify();
    let health = store.journal.health().borrow().clone();
    assert_eq!(health.fault().map(|fault| fault.kind), Some(FaultKind::Stalled));
    assert!(health.check_readable().is_ok(), "what is kept can be read");
    assert!(is_unknown(&slow.await.unwrap()));
    assert!(is_unavailable(&behind.await.unwrap()), "it was not begun");
    assert!(is_unavailable(&store.try_send(NOON, "b", "refused").await));
    assert!(is_unknown(&store.start("a", "slow").await.await.unwrap()), "it is the same publish");
    assert_eq!(store.all(NOON, "a").await.len(), 1, "no reader sees it yet");
    disk.gate().free();
    store.until_writable().await;
    let again = store.start("a", "slow").await.await.unwrap().unwrap();
    assert_eq!((again.repeated, again.stamps[0].cursor.seq.get()), (true, 2));
    assert_eq!(store.send(NOON, "a", "after").await.stamps[0].cursor.seq.get(), 3);
}

/// The log is far ahead of a database whose sync does not end; the writer waits for that before its next commit.
#[tokio::test]
async fn a_publish_behind_a_slow_database_is_told_as_one_behind_a_slow_commit_is() {
    let is_slow = Arc::new(AtomicBool::new(false));
    let slow = is_slow.clone();
    let disk = FakeDisk::watched(move |event| {
        while matches!(event, Event::Sync(DATABASE)) && slow.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
    });
    let options = Options { stall: Duration::ZERO, segment_bytes: Some(1_000), ..Options::default() };
    let store = open(disk.port(), unbounded(), options).await;
    store.send(NOON, "b", "before").await;
    is_slow.store(true, Ordering::Relaxed);
    let mut kept = 0;
    while !disk.segments().contains(&2) || disk.segment_len(2) < 2_000 {
        store.send(NOON, "a", "one more").await;
        kept += 1;
    }
    let behind = store.start("a", "behind").await;
    let deadline = Instant::now() + Duration::from_secs(60);
    while !behind.is_finished() {
        assert!(Instant::now() < deadline, "it waits, and nothing says so");
        store.journal.verify();
        tokio::task::yield_now().await;
    }
    let behind = behind.await.unwrap();
    assert!(is_unavailable(&behind), "{behind:?}");
    let health = store.journal.health().borrow().clone();
    assert_eq!(health.fault().map(|fault| fault.kind), Some(FaultKind::Stalled));
    assert!(is_unavailable(&store.try_send(NOON, "b", "refused").await));
    assert_eq!(store.all(NOON, "a").await.len(), kept);
    is_slow.store(false, Ordering::Relaxed);
    store.until_writable().await;
    store.send(NOON, "a", "after").await;
    store.settle().await.unwrap();
    assert_eq!(store.all(NOON, "a").await.len(), kept + 1);
}

#[tokio::test]
async fn what_waits_for_a_change_is_told_when_that_is_in_doubt() {
    let disk = FakeDisk::default();
    let options = Options { stall: Duration::ZERO, ..Options::default() };
    let store = open(disk.port(), unbounded(), options).await;
    store.send(NOON, "a", "before").await;
    disk.gate().hold_after(0);
    let journal = store.store.clone();
    let deleting = tokio::spawn(async move { journal.delete(NOON, &name("a")).await });
    while !disk.gate().is_waited_at() {
        tokio::task::yield_now().await;
    }
    let behind = store.start("a", "behind").await;
    assert!(!behind.is_finished());
    store.journal.verify();
    assert!(deleting.await.unwrap().is_err(), "its outcome is unknown");
    let behind =
        timeout(Duration::from_secs(60), behind).await.expect("it waits for as long as the disk does");
    assert!(is_unavailable(&behind.unwrap()));
    disk.gate().free();
    store.until_writable().await;
    store.send(NOON, "a", "after").await;
    assert_eq!(store.all(NOON, "a").await, [(1, "after".to_owned())]);
}
