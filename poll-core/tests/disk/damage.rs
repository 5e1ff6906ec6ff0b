//! Damaged data is never served: a damaged message counts as missed, a damaged channel is an error, and nothing else is
//! affected.

use std::task::{Context, Waker};
use std::time::Duration;

use poll_core::environment::Directory;
use poll_core::journal::disk::Options;
use poll_core::journal::{Archive, Health, Tail};
use poll_core::{
    Found, JournalError, Limit, Locator, Pinned, Position, PublishError, Retention, Seq, Timestamp, View,
};
use uuid::Uuid;

use crate::fake::FakeDisk;
use crate::fixture::{Disk, NOON, cursor, name, open, second, texts, unbounded};

/// A store with `count` messages in each channel, closed in order.
async fn written(channels: &[&str], count: u64) -> FakeDisk {
    let disk = FakeDisk::default();
    let store = open(disk.port(), unbounded(), Options::default()).await;
    for channel in channels {
        for number in 1..=count {
            store.send(NOON, channel, &format!("<{channel} {number}>")).await;
        }
    }
    store.close().await;
    disk
}

/// One message each second in one channel, some of them damaged, and the ids of all.
async fn damaged_by_the_second(count: u64, damaged: &[u64]) -> (FakeDisk, Vec<Uuid>) {
    let disk = FakeDisk::default();
    let store = open(disk.port(), unbounded(), Options::default()).await;
    let mut ids = Vec::new();
    for number in 1..=count {
        ids.push(store.send(second(number), "a", &format!("<a {number}>")).await.stamps[0].id);
    }
    store.close().await;
    for number in damaged {
        disk.damage(format!("<a {number}>").as_bytes());
    }
    (disk, ids)
}

async fn reopened(disk: &FakeDisk) -> Disk {
    open(disk.port(), unbounded(), Options::default()).await
}

fn damaged(store: &Disk) -> u64 {
    store.journal.damage().borrow().rows
}

fn numbers(view: &View) -> Vec<u64> {
    view.batch.iter().flat_map(|batch| texts(batch)).map(|(number, _)| number).collect()
}

async fn read_after(store: &Disk, pinned: &Pinned) -> View {
    store.store.read(NOON, &name("a"), pinned, Limit::default()).await.unwrap()
}

#[tokio::test]
async fn an_answer_ends_in_front_of_a_damaged_message_and_the_next_begins_behind_it() {
    let disk = written(&["a", "b"], 5).await;
    disk.damage(b"<a 3>");
    let store = reopened(&disk).await;

    let first = store.read(NOON, "a", Position::Start).await;
    assert_eq!((numbers(&first), first.read_state.missed()), (vec![1, 2], Some(0)));
    let second = read_after(&store, &Pinned::after(first.next)).await;
    assert_eq!((numbers(&second), second.read_state.missed()), (vec![4, 5], Some(1)));
    let third = read_after(&store, &Pinned::after(second.next)).await;
    assert_eq!((numbers(&third), third.read_state.missed()), (vec![], Some(0)));

    let (a, by) = (name("a"), |seq| Locator::Seq(Seq::new(seq)));
    assert_eq!(store.store.message(NOON, &a, by(3)).await.unwrap(), Found::Gone);
    let found = store.store.message(NOON, &a, by(4)).await.unwrap();
    assert!(matches!(found, Found::Message(message, ..) if message.seq.get() == 4));
    assert_eq!(damaged(&store), 1, "however often it is read");
    assert_eq!(store.all(NOON, "b").await.len(), 5, "the other channel is whole");
    assert_eq!(store.send(NOON, "a", "six").await.stamps[0].cursor.seq.get(), 6);
}

#[tokio::test]
async fn damage_at_the_ends_and_in_a_row_is_counted_to_the_message() {
    let disk = written(&["a"], 9).await;
    for number in [1, 2, 5, 6, 9] {
        disk.damage(format!("<a {number}>").as_bytes());
    }
    let store = reopened(&disk).await;
    let mut given = Vec::new();
    let mut pinned = store.store.pin(NOON, &name("a"), Position::Start).await.unwrap();
    loop {
        let view = read_after(&store, &pinned).await;
        given.push((numbers(&view), view.read_state.missed().unwrap()));
        if view.batch.is_none() {
            break;
        }
        pinned = Pinned::after(view.next);
    }
    assert_eq!(given, [(vec![3, 4], 2), (vec![7, 8], 2), (vec![], 1)]);
    let end = store.read(NOON, "a", Position::End).await;
    assert_eq!(
        (end.next.seq.get(), end.read_state.missed()),
        (9, Some(0)),
        "its number is not given out again"
    );
    assert_eq!(damaged(&store), 5);
}

#[tokio::test]
async fn a_reader_that_waits_behind_a_damaged_end_is_not_woken_by_it() {
    let disk = written(&["a"], 3).await;
    disk.damage(b"<a 3>");
    let store = reopened(&disk).await;
    let view = store.read(NOON, "a", Position::AfterSeq(Seq::new(2))).await;
    assert_eq!((numbers(&view), view.read_state.missed(), view.next.seq.get()), (vec![], Some(1), 3));
    let pinned = store.store.pin(NOON, &name("a"), Position::AfterSeq(Seq::new(2))).await.unwrap();
    let lane = store.store.lane();
    let (channel, mut cx) = (name("a"), Context::from_waker(Waker::noop()));
    let mut wait = Box::pin(store.store.wait(&channel, &pinned, &lane));
    assert!(wait.as_mut().poll(&mut cx).is_pending());
    store.send(NOON, "a", "four").await;
    assert!(wait.as_mut().poll(&mut cx).is_ready());
    let view = store.store.read_resident(NOON, &channel, &pinned, Limit::default()).unwrap();
    assert_eq!((numbers(&view), view.read_state.missed()), (vec![4], Some(1)), "from memory");
}

#[tokio::test]
async fn a_reader_behind_a_time_or_an_id_does_not_look_again_and_again_at_a_damaged_end() {
    let (channel, mut cx) = (name("a"), Context::from_waker(Waker::noop()));
    for by_id in [false, true] {
        let (disk, ids) = damaged_by_the_second(4, &[3, 4]).await;
        let position = if by_id { Position::AfterId(ids[1]) } else { Position::AfterTime(second(2)) };
        let store = reopened(&disk).await;
        let pinned = store.store.pin(second(9), &channel, position).await.unwrap();
        let view = store.store.read(second(9), &channel, &pinned, Limit::default()).await.unwrap();
        assert_eq!((numbers(&view), view.read_state.missed()), (vec![], Some(2)), "{position:?}");
        let lane = store.store.lane();
        let mut wait = Box::pin(store.store.wait(&channel, &pinned, &lane));
        assert!(wait.as_mut().poll(&mut cx).is_pending(), "{position:?}");
        let sent = store.send(second(10), "a", "next").await.stamps[0].cursor.seq.get();
        assert!(wait.as_mut().poll(&mut cx).is_ready(), "{position:?}");
        let mut late = Box::pin(store.store.wait(&channel, &pinned, &lane));
        assert!(late.as_mut().poll(&mut cx).is_ready(), "it came before the reader waited: {position:?}");
        let view = store.store.read(second(10), &channel, &pinned, Limit::default()).await.unwrap();
        assert_eq!((numbers(&view), view.read_state.missed()), (vec![sent], Some(2)), "{position:?}");
    }
}

#[tokio::test]
async fn readers_by_time_and_id_stand_behind_the_last_that_is_whole() {
    let (disk, ids) = damaged_by_the_second(6, &[3, 4]).await;
    let store = reopened(&disk).await;
    for (position, missed, given) in [
        (Position::AfterTime(second(2)), 2, 5),
        (Position::AfterTime(second(3)), 2, 5),
        (Position::AfterId(ids[3]), 2, 5),
        (Position::AfterId(ids[4]), 0, 6),
        (Position::AfterTime(Timestamp::ZERO), 0, 1),
    ] {
        let view = store.read(second(9), "a", position).await;
        assert_eq!((view.read_state.missed(), numbers(&view)[0]), (Some(missed), given), "{position:?}");
    }
}

/// What came after the damage is in the log, and not in memory but for the newest.
#[tokio::test]
async fn a_damaged_end_hides_nothing_that_came_after_it() {
    let (disk, _) = damaged_by_the_second(4, &[3, 4]).await;
    let retention = Retention { age: Duration::from_secs(300), ..unbounded() };
    let tail = Tail { bytes: 1, ..Tail::default() };
    let store = open(disk.port(), retention, Options { tail, ..Options::default() }).await;
    for number in 5..=7 {
        store.send(second(100 + number), "a", &number.to_string()).await;
    }
    let view = store.read(second(110), "a", Position::AfterTime(second(105))).await;
    assert_eq!((numbers(&view), view.read_state.missed()), (vec![6, 7], Some(0)), "it has 5");
    let view = store.read(second(110), "a", Position::AfterTime(second(2))).await;
    assert_eq!((numbers(&view), view.read_state.missed()), (vec![5, 6, 7], Some(2)));
    // What is before the damage is too old by now.
    assert_eq!(store.all(second(310), "a").await.first().map(|(seq, _)| *seq), Some(5));
}

#[tokio::test]
async fn a_damaged_channel_is_told_so_and_others_go_on() {
    let disk = written(&["alpha", "bravo"], 3).await;
    // The end of a channel's row: mark, oldest, checksum, name.
    disk.damage_where(22, |row| row[0] == 0xA2 && row.ends_with(b"alpha"));

    let store = reopened(&disk).await;
    let told = store.store.pin(NOON, &name("alpha"), Position::Start).await;
    assert!(matches!(told, Err(JournalError::Damaged(_))), "{told:?}");
    let refused = store.try_send(NOON, "alpha", "x").await;
    assert!(matches!(refused, Err(PublishError::Journal(JournalError::Damaged(_)))), "{refused:?}");
    for _ in 0..20 {
        assert!(store.store.pin(NOON, &name("alpha"), Position::Start).await.is_err());
        store.send(NOON, "bravo", "on").await;
    }
    assert_eq!(damaged(&store), 1);
    assert_eq!(store.all(NOON, "bravo").await.len(), 23);
    assert_eq!(*store.journal.health().borrow(), Health::Ready);
}

#[tokio::test]
async fn a_file_of_version_1_is_read_as_it_is_and_goes_on_as_version_3() {
    let directory = tempfile::tempdir().unwrap();
    let place = Directory::new(directory.path());
    let (id, at) = (uuid(7), NOON.as_micros());
    {
        let numbers = |numbers: &[u64]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
        let database = redb::Database::create(place.file()).unwrap();
        let txn = database.begin_write().unwrap();
        let table = redb::TableDefinition::<&str, u64>::new;
        txn.open_table(table("format")).unwrap().insert("poll", 1).unwrap();
        txn.open_table(table("names")).unwrap().insert("a", 0).unwrap();
        let totals = [numbers(&[1, 1, 1, 131, 0]), vec![0]].concat();
        txn.open_table(redb::TableDefinition::<(), &[u8]>::new("totals"))
            .unwrap()
            .insert((), &*totals)
            .unwrap();
        let row = [numbers(&[77, 0, 1, at]), b"\0a".to_vec()].concat();
        txn.open_table(redb::TableDefinition::<u64, &[u8]>::new("channels"))
            .unwrap()
            .insert(0, &*row)
            .unwrap();
        let message = [&[1][..], &at.to_le_bytes(), id.as_bytes(), b"old"].concat();
        let messages = redb::TableDefinition::<(u64, u64), &[u8]>::new("messages");
        txn.open_table(messages).unwrap().insert((0, 1), &*message).unwrap();
        txn.open_table(redb::TableDefinition::<(u64, u64, u64), &[u8]>::new("keys")).unwrap();
        txn.commit().unwrap();
    }
    let store = open(place.clone(), unbounded(), Options::default()).await;
    assert_eq!(cursor(&store.send(second(1), "a", "new").await).to_string()[..16], format!("{:016x}", 77));
    let both = [(1, "old".to_owned()), (2, "new".to_owned())];
    assert_eq!(store.all(second(1), "a").await, both);
    store.close().await;
    let store = open(place, unbounded(), Options::default()).await;
    assert_eq!(store.all(second(1), "a").await, both);
    assert_eq!(damaged(&store), 0);
}

fn uuid(random: u128) -> Uuid {
    let millis = u128::from(NOON.as_millis());
    Uuid::from_u128(millis << 80 | 0x7 << 76 | 0b10 << 62 | random)
}
