//! What survives a stop, clean or not.

use poll_core::environment::{Directory, Environment};
use poll_core::journal::disk::{DiskJournal, Durability, Options, Progress, Recovered};
use poll_core::journal::{Archive, FaultKind, Health, Tail};
use poll_core::life::Deleted;
use poll_core::{
    Continuity, IdempotencyKey, JournalError, Kind, Payload, Pinned, Position, Publish, PublishError,
    Publishing, Retention, Timestamp,
};

use crate::fake::{FakeDisk, Fault};
use crate::fixture::{Disk, NOON, cursor, name, open, second, unbounded};
use crate::forks::stream;

#[tokio::test]
async fn everything_is_where_it_was_after_a_clean_stop() {
    let disk = FakeDisk::default();
    let first = open(disk.port(), unbounded(), Options::default()).await;
    let created = [Progress::Opening, Progress::Creating, Progress::Ready(Recovered::default())];
    assert_eq!(*first.progress.lock().unwrap(), created);
    let one = first.send(NOON, "a", "one").await;
    first.send(NOON, "a", "two").await;
    first.store.close(NOON, &name("b")).await.unwrap();
    first.close().await;

    let second = open(disk.port(), unbounded(), Options::default()).await;
    let recovered = Recovered { channels: 2, messages: 2 };
    assert_eq!(*second.progress.lock().unwrap(), [Progress::Opening, Progress::Ready(recovered)]);
    assert_eq!(second.store.channels(), 2);
    assert_eq!(second.store.channels_in_memory(), 0, "nothing is loaded before it is asked for");
    let after = second.read(NOON, "a", Position::After(cursor(&one))).await;
    assert_eq!(after.read_state.continuity, Continuity::Kept);
    assert_eq!(crate::fixture::texts(&after.batch.unwrap()), [(2, "two".to_owned())]);
    assert_eq!(second.try_send(NOON, "b", "x").await, Err(PublishError::Closed));
    assert!(second.read(NOON, "b", Position::Start).await.is_closed());
    let three = second.send(NOON, "a", "three").await;
    assert_eq!((cursor(&three).epoch, cursor(&three).seq.get()), (cursor(&one).epoch, 3));
    second.close().await;
}

#[tokio::test]
async fn times_grow_over_a_restart_with_the_clock_set_back() {
    let disk = FakeDisk::default();
    let first = open(disk.port(), unbounded(), Options::default()).await;
    let before = first.send(second(100), "a", "one").await;
    first.close().await;
    let second = open(disk.port(), unbounded(), Options::default()).await;
    let after = second.send(NOON, "a", "two").await;
    assert!(after.stamps[0].at > before.stamps[0].at);
    assert!(after.stamps[0].id > before.stamps[0].id);
}

/// What was sealed for readers is not kept, so a channel begins behind the millisecond of its newest message. Where that
/// is ahead of the clock, because the clock went back or many messages came at once, the channel is no farther ahead for
/// the restart, and the clock catches up.
#[tokio::test]
async fn a_channel_ahead_of_the_clock_goes_on_in_the_next_millisecond_after_a_restart() {
    let disk = FakeDisk::default();
    let first = open(disk.port(), unbounded(), Options::default()).await;
    let mut newest = first.send(second(100), "a", "0").await.stamps[0].at;
    first.close().await;
    for number in 0..10 {
        let again = open(disk.port(), unbounded(), Options::default()).await;
        let one = again.send(second(number), "a", "x").await.stamps[0].at;
        assert_eq!(one, Timestamp::from_millis(newest.as_millis() + 1));
        newest = again.send(second(number), "a", "x").await.stamps[0].at;
        assert_eq!(newest, one.next());
        again.close().await;
    }
    let caught_up = open(disk.port(), unbounded(), Options::default()).await;
    assert_eq!(caught_up.send(second(101), "a", "x").await.stamps[0].at, second(101));
}

/// A seal is dropped with an unloaded channel; later messages have later times all the same.
#[tokio::test]
async fn a_sealed_millisecond_stays_sealed_when_the_channel_is_let_go_of() {
    let disk = FakeDisk::default();
    let options = Options { tail: Tail { channels: 1, ..Tail::default() }, ..Options::default() };
    let store = open(disk.port(), unbounded(), options).await;
    let orders = name("orders");
    for number in 1..20 {
        let now = second(number);
        let before = now.before(std::time::Duration::from_millis(5));
        store.send(before, "orders", "x").await;
        let newest = store.read(now, "orders", Position::End).await;
        assert_eq!(newest.read_state.newest_at, before);
        assert_eq!(store.store.settle(now, &orders, now.as_millis()).await.unwrap(), now.as_millis());
        store.send(now.after(std::time::Duration::from_micros(999)), "other", "x").await;
        let late = store.send(now, "orders", "late").await.stamps[0].at;
        assert!(late.as_millis() > now.as_millis(), "{late}");
        store.send(now.after(std::time::Duration::from_millis(2)), "another", "x").await;
        let later = store.send(now, "orders", "later").await.stamps[0].at;
        assert!(later.as_millis() > late.as_millis(), "it was loaded: {later}");
    }
}

#[tokio::test]
async fn a_key_is_known_after_a_restart_and_forgotten_after_its_window() {
    let disk = FakeDisk::default();
    let keyed = |text: &str| {
        Publish::many(vec![Payload::text(text), Payload::text("and")])
            .under(IdempotencyKey::parse("once").unwrap())
    };
    let first = open(disk.port(), Retention::default(), Options::default()).await;
    let published = first.store.publish(NOON, &name("a"), keyed("it")).await.unwrap();
    first.close().await;
    let again = open(disk.port(), Retention::default(), Options::default()).await;
    again.read(second(299), "a", Position::Start).await;
    assert_eq!(again.store.memory().used(Kind::Keys), 0, "a read does not load keys");
    let repeated = again.store.publish(second(299), &name("a"), keyed("it")).await.unwrap();
    assert!(repeated.repeated);
    assert_eq!(repeated.stamps, published.stamps);
    let other = again.store.publish(second(299), &name("a"), keyed("other")).await;
    assert_eq!(other, Err(PublishError::KeyReused));
    again.close().await;
    let later = open(disk.port(), Retention::default(), Options::default()).await;
    let anew = later.store.publish(second(301), &name("a"), keyed("it")).await.unwrap();
    assert_eq!((anew.repeated, cursor(&anew).seq.get()), (false, 4));
}

#[tokio::test]
async fn interval_durability_loses_nothing_in_silence() {
    let disk = FakeDisk::default();
    let interval = Options {
        durability: Durability::Interval(std::time::Duration::from_secs(3_600)),
        ..Options::default()
    };
    let first = open(disk.port(), unbounded(), interval).await;
    let shown = first.send(NOON, "a", "shown").await;
    assert_eq!(first.all(NOON, "a").await.len(), 1, "it is shown before it is kept");
    // A clean stop keeps it, though its time has not come.
    first.close().await;
    let second = open(disk.port(), unbounded(), interval).await;
    assert_eq!(second.all(NOON, "a").await, [(1, "shown".to_owned())]);
    let lost = second.send(NOON, "a", "lost").await;
    assert_eq!(cursor(&lost).epoch, cursor(&shown).epoch);
    disk.crash(|_| false);

    let third = open(disk.port(), unbounded(), interval).await;
    assert_eq!(third.all(NOON, "a").await, [(1, "shown".to_owned())]);
    third.send(NOON, "a", "other").await;
    let view = third.read(NOON, "a", Position::After(cursor(&lost))).await;
    assert_eq!(view.read_state.continuity, Continuity::Reset, "its number is another message's now");
}

#[tokio::test]
async fn a_directory_takes_one_server() {
    let directory = tempfile::tempdir().unwrap();
    let place = Directory::new(directory.path().join("poll-data"));
    let first = open(place.clone(), unbounded(), Options::default()).await;
    let second = DiskJournal::open(&Environment::system(), place.clone(), Options::default(), |_| {}).await;
    assert_eq!(second.unwrap_err().kind, FaultKind::InUse);
    first.send(NOON, "a", "one").await;
    first.close().await;
    let third = open(place, unbounded(), Options::default()).await;
    assert_eq!(third.all(NOON, "a").await.len(), 1);
}

#[tokio::test]
async fn what_is_no_journal_is_refused_in_one_line() {
    for content in [&b"x"[..], &[0; 9_000], &[7; 100_000]] {
        let directory = tempfile::tempdir().unwrap();
        let place = Directory::new(directory.path());
        std::fs::write(place.file(), content).unwrap();
        let opened =
            DiskJournal::open(&Environment::system(), place.clone(), Options::default(), |_| {}).await;
        let fault = opened.unwrap_err();
        assert_eq!((fault.kind, fault.why.lines().count()), (FaultKind::Damaged, 1), "{fault}");
        assert_eq!(std::fs::read(place.file()).unwrap(), content, "it is left as it was");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_made_is_refused_in_one_line() {
    let opened = DiskJournal::open(
        &Environment::system(),
        Directory::new("/proc/poll-data"),
        Options::default(),
        |_| {},
    )
    .await;
    assert_eq!(opened.unwrap_err().kind, FaultKind::Failing);
}

#[tokio::test]
async fn another_version_is_refused_in_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let place = Directory::new(directory.path());
    open(place.clone(), unbounded(), Options::default()).await.close().await;
    {
        let database = redb::Database::open(place.file()).unwrap();
        let txn = database.begin_write().unwrap();
        txn.open_table(redb::TableDefinition::<&str, u64>::new("format")).unwrap().insert("poll", 5).unwrap();
        txn.commit().unwrap();
    }
    let opened = DiskJournal::open(&Environment::system(), place, Options::default(), |_| {}).await;
    let fault = opened.unwrap_err();
    assert!(fault.kind == FaultKind::Version && fault.why.contains("version 5"), "{fault:?}");
}

#[tokio::test]
async fn after_a_crash_there_is_nothing_to_repair() {
    let disk = FakeDisk::default();
    let first = open(disk.port(), unbounded(), Options::default()).await;
    first.send(NOON, "a", "one").await;
    disk.crash(|_| false);
    let second = open(disk.port(), unbounded(), Options::default()).await;
    let steps = second.progress.lock().unwrap().clone();
    assert_eq!(steps, [Progress::Opening, Progress::Ready(Recovered { channels: 1, messages: 1 })]);
    assert_eq!(second.all(NOON, "a").await, [(1, "one".to_owned())]);
}

#[tokio::test]
async fn readers_wait_where_there_is_no_channel_yet_and_are_woken_by_its_birth() {
    let disk = FakeDisk::default();
    let store = open(disk.port(), unbounded(), Options::default()).await;
    let (lane, orders) = (store.store.lane(), name("orders"));
    let pinned = store.store.pin(NOON, &orders, Position::Start).await.unwrap();
    assert_eq!(store.store.channels(), 0, "reading creates nothing");
    let wait = store.store.wait(&orders, &pinned, &lane);
    let (published, ()) = tokio::join!(store.send(NOON, "orders", "one"), wait);
    let view = store.store.read(NOON, &orders, &pinned, poll_core::Limit::default()).await.unwrap();
    assert_eq!(view.next, cursor(&published));
}

#[tokio::test]
async fn a_channel_that_ends_and_one_that_goes_are_counted() {
    let disk = FakeDisk::default();
    let few = Retention { channels: 2, ..Retention::default() };
    let store = open(disk.port(), few, Options::default()).await;
    store.send(NOON, "a", "one").await;
    store.send(second(1_000), "b", "one").await;
    let third = store.try_send(second(100), "c", "one").await;
    assert!(matches!(third, Err(PublishError::TooManyChannels { .. })), "{third:?}");
    // By now the first holds nothing and was unused for longer than anything is promised.
    store.send(second(1_100), "c", "one").await;
    assert_eq!(store.store.channels(), 2);
    assert!(store.all(second(1_100), "a").await.is_empty());
    let reborn = Publish::many(Vec::new()).closing();
    let again = store.store.publish(second(1_100), &name("a"), reborn).await;
    assert!(matches!(again, Err(PublishError::TooManyChannels { .. })), "{again:?}");
    store.close().await;
    let after = open(disk.port(), few, Options::default()).await;
    assert_eq!(after.store.channels(), 2);
}

#[tokio::test]
async fn a_position_of_a_lost_life_is_reset() {
    let disk = FakeDisk::default();
    let store = open(disk.port(), unbounded(), Options::default()).await;
    let published = store.send(NOON, "a", "one").await;
    let strange = Pinned::after(poll_core::Cursor { epoch: poll_core::Epoch::new(1), ..cursor(&published) });
    let read_state = store.store.read_state(Timestamp::ZERO, &name("a"), &strange).await.unwrap();
    assert_eq!(read_state.continuity, Continuity::Reset);
}

#[tokio::test]
async fn a_publish_that_was_only_started_is_not_kept() {
    let disk = FakeDisk::default();
    let store = open(disk.port(), unbounded(), Options::default()).await;
    let publish = || Publish::one(Payload::text("one"));
    let started = store.store.start_publish(NOON, &name("a"), publish()).unwrap();
    assert!(matches!(started, Publishing::Waiting(_)));
    drop(started);
    assert_eq!(store.send(NOON, "a", "two").await.stamps[0].cursor.seq.get(), 1);
    let Publishing::Waiting(waiting) = store.store.start_publish(NOON, &name("a"), publish()).unwrap() else {
        panic!("it cannot be kept yet");
    };
    assert_eq!(waiting.await.unwrap().stamps[0].cursor.seq.get(), 2);
    store.close().await;
}

#[tokio::test]
async fn what_an_earlier_version_left_in_a_crash_is_repaired_with_progress() {
    let root = tempfile::tempdir().unwrap();
    let (before, after) =
        (Directory::new(root.path().join("before")), Directory::new(root.path().join("after")));
    let first = open(before.clone(), unbounded(), Options::default()).await;
    first.send(NOON, "a", "one").await;
    first.close().await;
    let database = redb::Database::open(before.file()).unwrap();
    let txn = database.begin_write().unwrap();
    txn.open_table(redb::TableDefinition::<&str, u64>::new("format")).unwrap().insert("poll", 2).unwrap();
    txn.commit().unwrap();
    std::fs::create_dir(root.path().join("after")).unwrap();
    std::fs::copy(before.file(), after.file()).unwrap();
    let second = open(after, unbounded(), Options::default()).await;
    let steps = second.progress.lock().unwrap().clone();
    assert!(steps.iter().any(|step| matches!(step, Progress::Repairing(_))), "{steps:?}");
    assert_eq!(second.all(NOON, "a").await, [(1, "one".to_owned())]);
}

/// However often a channel is removed and created again in one segment, the segment is moved in one commit.
#[tokio::test]
async fn a_crash_after_many_removals_of_one_channel_costs_one_commit() {
    let syncs_to_open = async |times| {
        let disk = FakeDisk::default();
        let first = open(disk.port(), unbounded(), Options::default()).await;
        for _ in 0..times {
            first.store.create(NOON, &name("a"), stream("x", None)).await.unwrap();
            assert_eq!(first.store.delete(NOON, &name("a")).await, Ok(Deleted::Gone));
        }
        first.store.create(NOON, &name("a"), stream("x", None)).await.unwrap();
        disk.crash(|_| false);
        let before = disk.counts().syncs;
        let again = open(disk.port(), unbounded(), Options::default()).await;
        again.settle().await.unwrap();
        let syncs = disk.counts().syncs - before;
        assert_eq!(again.all(NOON, "a").await.len(), 1);
        again.close().await;
        syncs
    };
    assert_eq!(syncs_to_open(100).await, syncs_to_open(1).await);
}

/// The database has no room for what the log has: everything can be read all the same, and is moved once there is room.
#[tokio::test]
async fn a_start_does_not_wait_until_the_database_has_what_a_crash_left() {
    let disk = FakeDisk::default();
    let first = open(disk.port(), unbounded(), Options::default()).await;
    for channel in ["old", "gone"] {
        first.store.create(NOON, &name(channel), stream("x", None)).await.unwrap();
    }
    first.close().await;
    let second = open(disk.port(), unbounded(), Options::default()).await;
    assert_eq!(second.store.delete(NOON, &name("gone")).await, Ok(Deleted::Gone));
    let big = "x".repeat(20_000);
    for channel in ["old", "new", "new", "new"].iter().cycle().take(100) {
        second.send(NOON, channel, &big).await;
    }
    let contents = async |store: &Disk| (store.all(NOON, "old").await, store.all(NOON, "new").await);
    let there = contents(&second).await;
    assert_eq!((there.0.len(), there.1.len()), (26, 75));
    disk.crash(|_| false);

    disk.set_room(Some(disk.len()));
    let third = open(disk.port(), unbounded(), Options::default()).await;
    let mut health = third.journal.health();
    let is_full =
        |health: &Health| matches!(health, Health::Refusing(fault) if fault.kind == FaultKind::Full);
    health.wait_for(is_full).await.unwrap();
    assert_eq!(third.store.channels(), 2);
    assert_eq!(
        third.progress.lock().unwrap().last(),
        Some(&Progress::Ready(Recovered { channels: 2, messages: 102 }))
    );
    assert_eq!(contents(&third).await, there);
    assert!(matches!(
        third.try_send(NOON, "old", "x").await,
        Err(PublishError::Journal(JournalError::Full(_)))
    ));
    disk.set_room(None);
    third.until_writable().await;
    third.settle().await.unwrap();
    assert_eq!(contents(&third).await, there);
    third.send(NOON, "old", "more").await;
    third.close().await;
    let last = open(disk.port(), unbounded(), Options::default()).await;
    assert_eq!((last.store.channels(), contents(&last).await.0.len()), (2, 27));
}

/// Each crash leaves a segment, and all of them are more than a start takes into memory.
#[tokio::test]
async fn what_many_crashes_left_is_there() {
    let disk = FakeDisk::default();
    let options = Options { segment_bytes: Some(1_000), ..Options::default() };
    let mut there = Vec::new();
    for life in 1..=10 {
        let store = open(disk.port(), unbounded(), options).await;
        assert_eq!(store.all(NOON, "a").await, there);
        for number in 0..3 {
            there.push((there.len() as u64 + 1, format!("{life}.{number}")));
            store.send(NOON, "a", &there.last().unwrap().1).await;
            store.store.create(NOON, &name(&format!("{life}.{number}")), stream("x", None)).await.unwrap();
        }
        // Nothing of the database either, where it is just written.
        disk.crash(|_| false);
    }
    let store = open(disk.port(), unbounded(), options).await;
    assert_eq!((store.all(NOON, "a").await, store.store.channels()), (there.clone(), 31));
    store.settle().await.unwrap();
    assert_eq!((store.all(NOON, "a").await, store.store.channels()), (there, 31));
}

/// The server that is started next shows two messages, and keeps them and its own where the power fails.
async fn what_is_shown_outlives_the_power(disk: &FakeDisk) {
    let second = open(disk.port(), unbounded(), Options::default()).await;
    let shown = second.all(NOON, "a").await;
    assert_eq!(shown, [(1, "one".to_owned()), (2, "two".to_owned())]);
    second.send(NOON, "a", "three").await;
    disk.crash(|_| false);
    let third = open(disk.port(), unbounded(), Options::default()).await;
    let there = third.all(NOON, "a").await;
    assert_eq!((&there[..2], there.len()), (&shown[..], 3));
}

/// A server is killed behind a write that is not synced yet. The next one shows what was written, and the power fails.
#[tokio::test]
async fn what_a_killed_server_did_not_sync_is_synced_before_it_is_shown() {
    // In most rounds before the database has it.
    for _ in 0..10 {
        let disk = FakeDisk::default();
        let first = open(disk.port(), unbounded(), Options::default()).await;
        first.send(NOON, "a", "one").await;
        disk.gate().hold_after(0);
        let unsynced = first.start("a", "two").await;
        disk.gate().wait_for_sync();
        disk.process_ended();
        disk.gate().free();
        drop((first, unsynced));
        what_is_shown_outlives_the_power(&disk).await;
    }
}

/// The same, and the sync has failed: for the kernel it is written, so that to sync it again writes nothing.
#[tokio::test]
async fn what_a_failed_sync_left_is_written_again_before_it_is_shown() {
    for _ in 0..10 {
        let disk = FakeDisk::default();
        let first = open(disk.port(), unbounded(), Options::default()).await;
        first.send(NOON, "a", "one").await;
        disk.fail(Fault::Sync(0));
        // Nor can it be cut off.
        disk.fail(Fault::Shut(1_000));
        first.try_send(NOON, "a", "two").await.unwrap_err();
        disk.process_ended();
        disk.heal();
        drop(first);
        what_is_shown_outlives_the_power(&disk).await;
    }
}
