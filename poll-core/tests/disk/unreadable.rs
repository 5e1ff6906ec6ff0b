//! One damaged or unreadable region costs its own channel, and nothing else.

use poll_core::journal::disk::{Options, Progress};
use poll_core::journal::{Archive, FaultKind};
use poll_core::life::{
    AppendError, Appended, Bound, Bounds, Condition, ContentType, Create, ProducerId, ProducerStamp,
    Standing, Use,
};
use poll_core::{Continuity, Ending, IdempotencyKey, JournalError, Payload, Position, Publish, Retention};

use crate::fake::{FakeDisk, Fault};
use crate::fixture::{Disk, NOON, cursor, is_unavailable, name, open, unbounded};
use crate::salvage::{imported, looked, salvaged};

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

/// Rows of new channels come after these.
async fn fill_the_end(store: &Disk) {
    for _ in 0..2 {
        store.send(NOON, "end", &"x".repeat(3_000)).await;
    }
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
    fill_the_end(&store).await;
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
async fn where_no_channel_can_begin_anew_what_was_acknowledged_stays_in_the_log() {
    let disk = FakeDisk::default();
    let store = journal(&disk).await;
    load(&store, "other").await.unwrap();
    assert!(disk.spoil("other 19 ") > 0);
    for channel in ["good", "other", "born"] {
        store.send(NOON, channel, &format!("{channel} later")).await;
    }
    assert!(matches!(store.settle().await, Err(JournalError::Unavailable(_))));
    let health = store.journal.health().borrow().clone();
    assert_eq!(health.fault().map(|fault| fault.kind), Some(FaultKind::Damaged));
    let refused = store.try_send(NOON, "good", "refused").await;
    assert!(is_unavailable(&refused), "{refused:?}");
    assert_eq!(store.all(NOON, "good").await.len(), 21);
    disk.crash(|_| true);
    let lines = salvaged(&disk);
    for channel in ["good", "other", "born"] {
        let later = format!("\"{channel} later\"");
        assert_eq!(lines.iter().filter(|line| line.contains(&later)).count(), 1, "{channel}");
    }
}

/// An append of a producer, which numbers it.
async fn produce(store: &Disk, seq: u64) -> Result<Appended, AppendError> {
    let producer = Some(ProducerStamp { id: ProducerId::parse("p").unwrap(), epoch: 0, seq });
    let condition = Condition { producer, ..Condition::default() };
    let payload = Payload::text(format!("bad {seq} {}", "x".repeat(3_000)));
    store.store.append(NOON, &name("bad"), Publish::one(payload), condition).await
}

#[tokio::test]
async fn a_damaged_channel_that_begins_anew_takes_along_what_is_left_of_it() {
    let few = Retention { messages: 5, ..unbounded() };
    let bounds = Bounds { messages: Bound::Unlimited, seconds: Bound::Unlimited, bytes: Bound::Server };
    let keyed = |key: &str| Publish::one(Payload::text("keyed")).under(IdempotencyKey::parse(key).unwrap());
    for is_closed in [false, true] {
        let (disk, bad) = (FakeDisk::default(), name("bad"));
        let store = open(disk.port(), few, Options::default()).await;
        let create = Create {
            content_type: Some(ContentType::parse("text/plain").unwrap()),
            lifetime: None,
            bounds,
            payloads: [].into_iter().collect(),
            ending: Ending::Open,
            origin: None,
        };
        store.store.create(NOON, &bad, create).await.unwrap();
        store.store.publish(NOON, &bad, keyed("early")).await.unwrap();
        for seq in 0..20 {
            produce(&store, seq).await.unwrap();
        }
        store.store.publish(NOON, &bad, keyed("hidden")).await.unwrap();
        if is_closed {
            store.store.close(NOON, &bad).await.unwrap();
        }
        fill_the_end(&store).await;
        store.close().await;

        let store = open(disk.port(), few, uncached()).await;
        load(&store, "bad").await.unwrap();
        assert!(disk.spoil("bad 19 ") > 0);
        if is_closed {
            store.store.configure(NOON, &bad, bounds).await.unwrap();
        } else {
            for _ in 0..10 {
                store.send(NOON, "bad", "later").await;
            }
        }
        store.close().await;

        let store = open(disk.port(), few, uncached()).await;
        let Ok(Standing::Live(found)) = store.store.describe(NOON, &bad, Use::Look).await else {
            panic!("it is there")
        };
        assert_eq!(found.life.content_type, Some(ContentType::parse("text/plain").unwrap()));
        assert!(found.life.bounds.keep_everything());
        if is_closed {
            assert!(matches!(produce(&store, 20).await, Err(AppendError::Closed { .. })));
        } else {
            assert_eq!(store.all(NOON, "bad").await.len(), 10);
            assert!(matches!(produce(&store, 19).await, Ok(Appended::Duplicate { last: 19, .. })));
            assert!(matches!(produce(&store, 20).await, Ok(Appended::New { .. })));
            assert!(store.store.publish(NOON, &bad, keyed("early")).await.unwrap().repeated);
        }
        store.close().await;
        assert!(looked(&disk).1.iter().any(|line| line.contains("before it began anew")));
        let copy = open(imported(&salvaged(&disk)).port(), few, Options::default()).await;
        assert_eq!(copy.all(NOON, "bad").await.len(), if is_closed { 0 } else { 11 });
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
