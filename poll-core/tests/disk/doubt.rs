//! Commits of unknown outcome: nothing is read from the file, and no outcome is reported, before it is known.

use std::collections::BTreeMap;

use poll_core::journal::disk::Options;
use poll_core::journal::{Archive, Tail};
use poll_core::{JournalError, PublishError};

use crate::fake::{FakeDisk, Fault};
use crate::fixture::{NOON, is_unknown, open, unbounded};

#[tokio::test]
async fn what_a_reader_is_given_stays_while_a_doubtful_commit_is_settled() {
    let disk = FakeDisk::default();
    // Nothing that is not on its way stays in memory.
    let tail = Tail { channels: 1, ..Tail::default() };
    let store = open(disk.port(), unbounded(), Options { tail, ..Options::default() }).await;
    store.send(NOON, "a", "before").await;
    disk.gate().hold_after(0);
    let publishing = store.start("a", "doubtful").await;
    disk.gate().wait_for_sync();
    disk.fail(Fault::SyncDone(0, 3));
    disk.gate().pass_one();
    let mut seen = BTreeMap::new();
    while !publishing.is_finished() || store.journal.health().borrow().check_writable().is_err() {
        if !disk.gate().is_waited_at() {
            tokio::task::yield_now().await;
            continue;
        }
        if let Ok(Some(loaded)) = store.load("a").await {
            for message in loaded.tail {
                let text = String::from_utf8(message.payload.as_bytes().to_vec()).unwrap();
                seen.insert((loaded.epoch.get(), message.seq.get()), text);
            }
        }
        disk.gate().pass_one();
    }
    publishing.await.unwrap().unwrap_err();
    disk.gate().free();
    for text in ["after", "and after"] {
        store.send(NOON, "a", text).await;
    }
    let epoch = store.load("a").await.unwrap().unwrap().epoch.get();
    let there: BTreeMap<u64, String> = store.all(NOON, "a").await.into_iter().collect();
    for ((life, seq), text) in &seen {
        assert_eq!((*life, there.get(seq)), (epoch, Some(text)), "a number was given out twice: {there:?}");
    }
}

#[tokio::test]
async fn a_publisher_is_told_that_the_outcome_is_unknown_and_hears_it_when_it_asks_again() {
    for shut in 1..4 {
        let disk = FakeDisk::default();
        let store = open(disk.port(), unbounded(), Options::default()).await;
        store.send(NOON, "a", "before").await;
        disk.gate().hold_after(0);
        let first = store.start("a", "doubtful").await;
        disk.gate().wait_for_sync();
        // These come too late for the commit, and are none of it.
        let behind = store.start("a", "behind").await;
        let twin = store.start("a", "doubtful").await;
        let other = store.start("b", "other").await;
        disk.fail(Fault::SyncDone(0, shut));
        disk.gate().free();
        assert!(is_unknown(&first.await.unwrap()));
        assert!(is_unknown(&twin.await.unwrap()), "it is the same publish");
        for answer in [behind.await.unwrap(), other.await.unwrap()] {
            let refused = matches!(answer, Err(PublishError::Journal(JournalError::Unavailable(_))));
            assert!(refused, "{answer:?}");
        }
        store.until_writable().await;
        let again = store.start("a", "doubtful").await.await.unwrap().unwrap();
        assert_eq!((again.repeated, again.stamps[0].cursor.seq.get()), (false, 2), "it had failed");
        store.send(NOON, "a", "after").await;
        let there = store.all(NOON, "a").await;
        let texts = ["before", "doubtful", "after"].map(str::to_owned);
        assert_eq!(there, (1..).zip(texts).collect::<Vec<_>>());
        assert!(store.all(NOON, "b").await.is_empty());
        assert_eq!(store.store.channels(), 1);
        disk.crash(|_| false);
        let restarted = open(disk.port(), unbounded(), Options::default()).await;
        assert_eq!(restarted.all(NOON, "a").await, there);
    }
}

#[tokio::test]
async fn while_the_log_is_cut_back_the_journal_refuses_at_once_and_can_be_read() {
    let disk = FakeDisk::default();
    let store = open(disk.port(), unbounded(), Options::default()).await;
    store.send(NOON, "a", "before").await;
    disk.gate().hold_after(0);
    let first = store.start("a", "lost").await;
    disk.gate().wait_for_sync();
    disk.fail(Fault::Sync(0));
    disk.gate().pass_one();
    // The next sync is that of the log cut back to where it was.
    disk.gate().wait_for_sync();
    let health = store.journal.health().borrow().clone();
    assert!(health.check_writable().is_err() && health.check_readable().is_ok(), "{health:?}");
    let refused = store.try_send(NOON, "a", "refused").await;
    assert!(matches!(refused, Err(PublishError::Journal(JournalError::Unavailable(_)))), "{refused:?}");
    disk.gate().free();
    store.until_writable().await;
    let kept = first.await.unwrap().is_ok();
    assert_eq!(store.all(NOON, "a").await.len(), 1 + usize::from(kept));
}
