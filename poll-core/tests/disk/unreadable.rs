//! One damaged or unreadable region costs its own channel, and nothing else.

use poll_core::journal::Archive;
use poll_core::journal::disk::{Options, Progress};
use poll_core::{Continuity, IdempotencyKey, JournalError, Payload, Position, Publish, Retention};

use crate::fake::{FakeDisk, Fault};
use crate::fixture::{Disk, NOON, cursor, name, open, unbounded};

/// A journal that holds a channel `bad` beside others, was closed and is open again; nothing of it is in memory.
async fn journal(disk: &FakeDisk) -> Disk {
    fill(disk).await;
    open(disk.port(), unbounded(), uncached()).await
}

/// So that damage is met however lately a page was read.
fn uncached() -> Options {
    Options { cache_bytes: 0, ..Options::default() }
}

async fn fill(disk: &FakeDisk) {
    let store = open(disk.port(), unbounded(), Options::default()).await;
    for channel in ["good", "bad", "other"] {
        for number in 0..20 {
            store.send(NOON, channel, &format!("{channel} {number} {}", "x".repeat(3_000))).await;
        }
    }
    store.close().await;
}

async fn load(store: &Disk, channel: &str) -> Result<(), JournalError> {
    store.store.load(NOON, &name(channel)).await
}

#[tokio::test]
async fn damage_is_its_channels_own_error_and_opens_nothing_again() {
    let disk = FakeDisk::default();
    let store = journal(&disk).await;
    assert!(disk.spoil("bad 10 ") > 0);
    let opens = disk.counts().opens;
    for round in 0..20 {
        let there = store.all(NOON, "bad").await.len();
        assert!((10..20).contains(&there), "what is whole is given: {there}");
        assert!(store.journal.health().borrow().check_writable().is_ok(), "round {round}");
        store.send(NOON, "good", "more").await;
    }
    assert_eq!(disk.counts().opens, opens);
    assert_eq!(store.all(NOON, "good").await.len(), 40);
    assert_eq!(store.all(NOON, "other").await.len(), 20);
}

#[tokio::test]
async fn a_failed_read_opens_the_file_again_once_however_many_meet_it() {
    let disk = FakeDisk::default();
    let store = journal(&disk).await;
    let opens = disk.counts().opens;
    store.send(NOON, "born", "in the log").await;
    // But not the one with which the file grows.
    disk.gate().hold_after(1);
    let journal = store.journal.clone();
    let settling = tokio::spawn(async move { journal.settle().await });
    // That of the database.
    while !disk.gate().is_waited_at() {
        tokio::task::yield_now().await;
    }
    // The readers, then the indexer: all of them meet what one of them met first.
    disk.fail(Fault::Read(0));
    for channel in ["good", "bad", "other"] {
        let failed = load(&store, channel).await;
        assert!(matches!(failed, Err(JournalError::Unavailable(_))), "{failed:?}");
    }
    disk.fail(Fault::Sync(0));
    disk.gate().free();
    let _ = settling.await.unwrap();
    store.until_writable().await;
    assert_eq!(store.all(NOON, "born").await.len(), 1);
    for channel in ["good", "bad", "other"] {
        assert_eq!(store.all(NOON, channel).await.len(), 20);
    }
    assert_eq!(disk.counts().opens, opens + 1);
    store.send(NOON, "good", "more").await;
}

#[tokio::test]
async fn a_place_that_cannot_be_read_opens_the_file_again_once_and_is_damage_from_then_on() {
    let disk = FakeDisk::default();
    let store = journal(&disk).await;
    disk.break_sector("bad 10 ");
    let opens = disk.counts().opens;
    for _ in 0..20 {
        let _ = load(&store, "bad").await;
        store.until_writable().await;
        store.send(NOON, "good", "more").await;
    }
    assert!(matches!(load(&store, "bad").await, Err(JournalError::Damaged(_))));
    assert_eq!(disk.counts().opens, opens + 1);
}

#[tokio::test]
async fn a_channel_that_turns_out_to_be_damaged_loses_no_publish_and_harms_no_other() {
    let disk = FakeDisk::default();
    let store = journal(&disk).await;
    for channel in ["good", "bad", "other"] {
        load(&store, channel).await.unwrap();
    }
    assert!(disk.spoil("bad 19 ") > 0);
    let opens = disk.counts().opens;
    for round in 0..5 {
        for channel in ["good", "bad", "other"] {
            store.send(NOON, channel, &format!("{channel} {round}")).await;
        }
        store.settle().await.unwrap();
    }
    for channel in ["good", "other"] {
        assert_eq!(store.all(NOON, channel).await.len(), 25);
    }
    assert!(store.journal.damage().borrow().rows > 0);
    assert_eq!(disk.counts().opens, opens);
    store.close().await;
    let again = open(disk.port(), unbounded(), uncached()).await;
    let there = again.all(NOON, "bad").await;
    let new: Vec<_> = (21..).zip((0..5).map(|round| format!("bad {round}"))).collect();
    assert!(there.ends_with(&new), "{there:?}");
}

#[tokio::test]
async fn a_channel_that_cannot_be_read_begins_anew_once() {
    let disk = FakeDisk::default();
    let store = journal(&disk).await;
    for channel in ["good", "bad"] {
        load(&store, channel).await.unwrap();
    }
    disk.break_sector("bad 19 ");
    for round in 0..5 {
        for channel in ["good", "bad"] {
            store.send(NOON, channel, &format!("{channel} {round}")).await;
        }
        // The first one meets the place.
        let _ = store.settle().await;
        store.until_writable().await;
        store.settle().await.unwrap();
    }
    store.close().await;
    let again = open(disk.port(), unbounded(), uncached()).await;
    assert_eq!(again.all(NOON, "good").await.len(), 25);
    let new: Vec<_> = (21..).zip((0..5).map(|round| format!("bad {round}"))).collect();
    assert_eq!(again.all(NOON, "bad").await, new);
}

#[tokio::test]
async fn numbers_that_damage_hides_are_not_given_out_again_in_their_epoch() {
    let disk = FakeDisk::default();
    let store = open(disk.port(), unbounded(), uncached()).await;
    store.send(NOON, "bad", "first").await;
    store.settle().await.unwrap();
    let mut hidden = None;
    for number in 0..20 {
        let text = format!("bad {number} {}", "x".repeat(3_000));
        hidden = Some(cursor(&store.send(NOON, "bad", &text).await));
    }
    store.settle().await.unwrap();
    // The row of the channel does not say how far it goes.
    disk.crash(|_| false);
    assert!(disk.spoil("bad 19 ") > 0);
    let again = open(disk.port(), unbounded(), uncached()).await;
    let position = Position::After(hidden.unwrap());
    for text in ["a", "b"] {
        let read = again.read(NOON, "bad", position).await;
        assert_eq!(read.read_state.continuity, Continuity::Reset);
        again.send(NOON, "bad", text).await;
        again.settle().await.unwrap();
    }
}

#[tokio::test]
async fn a_damaged_channel_can_be_deleted() {
    for is_born_again in [false, true] {
        let disk = FakeDisk::default();
        let store = journal(&disk).await;
        load(&store, "bad").await.unwrap();
        assert!(disk.spoil("bad 19 ") > 0);
        store.store.delete(NOON, &name("bad")).await.unwrap();
        store.settle().await.unwrap();
        if is_born_again {
            store.send(NOON, "bad", "again").await;
        }
        store.close().await;
        let again = open(disk.port(), unbounded(), uncached()).await;
        assert_eq!(again.all(NOON, "bad").await.len(), usize::from(is_born_again));
        assert_eq!(again.all(NOON, "other").await.len(), 20);
        assert_eq!(again.store.channels(), 2 + u64::from(is_born_again));
    }
}

/// A length that is wrong makes redb panic where the row is used, not where it is found.
#[tokio::test]
async fn rows_that_overrun_their_page_cost_no_more_than_themselves() {
    let disk = FakeDisk::default();
    let under = |key: &str| Publish::one(Payload::text("x")).under(IdempotencyKey::parse(key).unwrap());
    let store = open(disk.port(), unbounded(), Options::default()).await;
    for number in 0..3 {
        store.store.publish(NOON, &name("keyed"), under(&format!("key {number}"))).await.unwrap();
    }
    for number in 0..20 {
        store.send(NOON, "long", &format!("long {number} {}", "x".repeat(300))).await;
    }
    store.close().await;
    disk.overrun("key 1");
    disk.overrun("long 10 ");
    let again = open(disk.port(), unbounded(), uncached()).await;
    assert!(again.store.publish(NOON, &name("keyed"), under("key 2")).await.unwrap().repeated);
    assert!(again.journal.damage().borrow().last.contains("idempotency key"));
    // What the damaged key belonged to is published once more.
    let published = again.store.publish(NOON, &name("keyed"), under("key 1")).await.unwrap();
    assert!(!published.repeated && published.stamps[0].cursor.seq.get() == 4);
    let there = again.all(NOON, "long").await;
    assert!((1..20).contains(&there.len()), "{there:?}");
    again.send(NOON, "long", "more").await;
}

#[tokio::test]
async fn what_cannot_be_deleted_stays_and_leaves_nothing_to_repair() {
    let disk = FakeDisk::default();
    fill(&disk).await;
    let retention = Retention { messages: 20, ..unbounded() };
    let store = open(disk.port(), retention, uncached()).await;
    for channel in ["good", "bad", "other"] {
        load(&store, channel).await.unwrap();
    }
    assert!(disk.spoil("bad 1 ") > 0);
    for number in 20..40 {
        for channel in ["good", "bad"] {
            store.send(NOON, channel, &format!("{channel} {number}")).await;
        }
        store.settle().await.unwrap();
    }
    assert!(store.journal.damage().borrow().rows > 0, "nothing was to be deleted");
    assert_eq!(store.all(NOON, "good").await.len(), 20);
    store.close().await;
    let again = open(disk.port(), retention, uncached()).await;
    let repaired = |step: &Progress| matches!(step, Progress::Repairing(_));
    assert!(!again.progress.lock().unwrap().iter().any(repaired));
    assert_eq!(again.all(NOON, "good").await.len(), 20);
}

#[tokio::test]
async fn a_read_that_fails_once_while_a_segment_is_moved_costs_nothing() {
    for at in 0..40 {
        let disk = FakeDisk::default();
        let store = journal(&disk).await;
        for channel in ["good", "bad", "other", "born"] {
            store.send(NOON, channel, "in the log").await;
        }
        disk.fail(Fault::Read(at));
        // It fails if the read does.
        let _ = store.settle().await;
        disk.heal();
        store.until_writable().await;
        store.settle().await.unwrap();
        store.close().await;
        let again = open(disk.port(), unbounded(), uncached()).await;
        for (channel, count) in [("good", 21), ("bad", 21), ("other", 21), ("born", 1)] {
            assert_eq!(again.all(NOON, channel).await.len(), count, "{channel}, after {at} reads");
        }
    }
}
