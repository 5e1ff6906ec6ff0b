//! Checking a file, and salvaging what is intact.

use poll_core::environment::Environment;
use poll_core::journal::disk::{
    BackupError, Condition, DiskJournal, Options, check, export, import, salvage,
};
use poll_core::journal::{Archive, FaultKind};
use poll_core::life::{
    Appended, Bounds, Condition as When, ContentType, Create, Deleted, ForkPoint, ProducerId, ProducerStamp,
};
use poll_core::{Continuity, Ending, Payload, Pinned, Position, Publish, Retention};

use crate::fake::{DATABASE, FakeDisk};
use crate::fixture::{Disk, NOON, cursor, name, open, second, unbounded};

async fn reopened(disk: &FakeDisk) -> Disk {
    open(disk.port(), unbounded(), Options::default()).await
}

/// What a look through the disk says: a summary, and a line a damage.
pub(crate) fn looked(disk: &FakeDisk) -> (Condition, Vec<String>) {
    let mut lines = Vec::new();
    let condition = check(&Environment::system(), &disk.port(), |line| lines.push(line.to_owned())).unwrap();
    (condition, lines)
}

pub(crate) fn exported(disk: &FakeDisk) -> Vec<String> {
    let mut lines = Vec::new();
    let take = |record: &poll_core::journal::disk::Record| {
        lines.push(record.to_line()?);
        Ok(())
    };
    export(&Environment::system(), disk.port(), |_| {}, take).unwrap();
    lines
}

pub(crate) fn salvaged(disk: &FakeDisk) -> Vec<String> {
    let mut lines = Vec::new();
    let take = |record: &poll_core::journal::disk::Record| {
        lines.push(record.to_line()?);
        Ok(())
    };
    salvage(&Environment::system(), &disk.port(), |_| {}, take).unwrap();
    lines
}

pub(crate) fn imported(lines: &[String]) -> FakeDisk {
    let copy = FakeDisk::default();
    import(&Environment::system(), copy.port(), |_| {}, lines.iter().cloned().map(Ok)).unwrap();
    copy
}

/// Some messages of all kinds in some channels, one of them ended, one of them empty by now.
async fn written() -> FakeDisk {
    let disk = FakeDisk::default();
    let few = Retention { messages: 8, ..unbounded() };
    let store = open(disk.port(), few, Options::default()).await;
    for number in 1..=20 {
        store.send(second(number), "evicts", &format!("<evicts {number}>")).await;
    }
    let payloads = vec![
        Payload::json(br#"{"a": [1, "\u00e9"]}"#).unwrap(),
        Payload::text("x".repeat(9_000)),
        Payload::bytes(&b"\xff\x00"[..]),
    ];
    store.store.publish(NOON, &name("a"), Publish::many(payloads)).await.unwrap();
    store.store.close(NOON, &name("done")).await.unwrap();
    for number in 1..=5 {
        store.send(NOON, "b", &format!("<b {number}>")).await;
    }
    store.close().await;
    disk
}

#[tokio::test]
async fn a_whole_file_is_whole_and_comes_out_as_it_would_be_exported() {
    let disk = written().await;
    let (condition, lines) = looked(&disk);
    assert_eq!((condition.is_whole(), condition.opens, condition.channels), (true, true, 4));
    assert_eq!(lines, Vec::<String>::new());
    let exported = exported(&disk);
    assert_eq!(salvaged(&disk), exported);
    assert_eq!(
        condition.messages,
        exported.iter().filter(|line| line.starts_with("{\"seq\"")).count() as u64
    );

    let store = reopened(&disk).await;
    store.send(NOON, "b", "six").await;
    disk.crash(|_| true);
    let (condition, _) = looked(&disk);
    assert!(condition.is_whole() && condition.opens, "a crash damages nothing: {condition:?}");
    let empty = FakeDisk::default();
    reopened(&empty).await.close().await;
    assert!(looked(&empty).0.is_whole());
}

#[tokio::test]
async fn a_damaged_message_is_named_and_the_rest_keeps_numbers_and_cursors() {
    let disk = written().await;
    let store = reopened(&disk).await;
    let before = store.send(NOON, "b", "six").await;
    store.close().await;
    disk.damage(b"<b 3>");
    let (condition, lines) = looked(&disk);
    assert_eq!((condition.damages, condition.opens), (1, true));
    assert_eq!(lines, ["channel \"b\": messages 3 to 3"]);
    let refused = export(&Environment::system(), disk.port(), |_| {}, |_| Ok(())).unwrap_err();
    assert!(refused.to_string().contains("message 3 of channel \"b\" is damaged"), "{refused}");

    let lines = salvaged(&disk);
    assert!(lines.contains(&r#"{"lost_from":3,"lost_to":3}"#.to_owned()), "{lines:?}");
    let copy = imported(&lines);
    assert!(looked(&copy).0.is_whole(), "what is lost is known, and no damage");
    assert_eq!(exported(&copy), lines);
    assert_eq!(exported(&imported(&lines)), lines);
    let store = reopened(&copy).await;
    let view = store.read(NOON, "b", Position::After(cursor(&before))).await;
    assert_eq!((view.read_state.continuity, view.read_state.missed()), (Continuity::Kept, Some(0)));
    let start = store.read(NOON, "b", Position::Start).await;
    let pinned = Pinned::after(start.next);
    let view = store.store.read(NOON, &name("b"), &pinned, poll_core::Limit::default()).await.unwrap();
    assert_eq!((start.next.seq.get(), view.read_state.missed(), view.next.seq.get()), (2, Some(1), 6));
    assert_eq!(store.send(NOON, "b", "seven").await.stamps[0].cursor.seq.get(), 7);
    assert_eq!(store.journal.damage().borrow().rows, 0);
}

#[tokio::test]
async fn after_a_crash_damage_is_told_and_the_rest_is_taken_out() {
    let disk = written().await;
    let store = reopened(&disk).await;
    for number in 6..=9 {
        store.send(NOON, "b", &format!("<b {number}>")).await;
    }
    store.settle().await.unwrap();
    store.send(NOON, "a", "the last commit is none of these").await;
    store.settle().await.unwrap();
    disk.crash(|_| true);
    disk.damage(b"<b 2>");
    disk.damage(b"<b 9>");
    let (condition, lines) = looked(&disk);
    assert_eq!((condition.opens, condition.damages), (true, 2), "{lines:?}");
    assert_eq!(lines, ["channel \"b\": messages 2 to 2", "channel \"b\": messages 9 to 9"]);
    let store = reopened(&imported(&salvaged(&disk))).await;
    let view = store.read(NOON, "b", Position::After(poll_core::Cursor::ZERO)).await;
    assert_eq!(view.next.seq.get(), 1);
    let view = store.read(NOON, "b", Position::AfterSeq(poll_core::Seq::new(1))).await;
    assert_eq!((view.read_state.missed(), view.next.seq.get()), (Some(1), 8));
    assert_eq!(store.read(NOON, "b", Position::End).await.next.seq.get(), 9, "no number is given out again");
    assert_eq!(store.read(NOON, "a", Position::Start).await.next.seq.get(), 4);
}

#[tokio::test]
async fn what_is_lost_of_the_log_gives_every_channel_another_epoch() {
    let disk = FakeDisk::default();
    let store = reopened(&disk).await;
    store.send(NOON, "b", "<b 1>").await;
    store.send(NOON, "a", "<a 1>").await;
    let lost = store.send(NOON, "a", "<a 2>").await;
    disk.crash(|_| true);
    let segment = disk.segments()[0];
    disk.flip(segment, disk.segment_len(segment) - 1, 1);
    assert_eq!(looked(&disk).1, ["segment 1 of the log: 1 stretches"]);
    let lines = salvaged(&disk);
    let copy = reopened(&imported(&lines)).await;
    let server = reopened(&disk).await;
    for store in [&copy, &server] {
        store.send(NOON, "a", "another").await;
        let view = store.read(NOON, "a", Position::After(cursor(&lost))).await;
        assert_eq!(view.read_state.continuity, Continuity::Reset, "its number was given out again");
    }
    let epochs = [&copy, &server].map(|store| store.load("b"));
    let epochs = futures_util::future::join_all(epochs).await;
    let [Ok(Some(one)), Ok(Some(two))] = &epochs[..] else { panic!("{epochs:?}") };
    assert_eq!(one.epoch, two.epoch, "what is taken out goes on as what is served");
}

#[tokio::test]
async fn a_channel_whose_row_is_damaged_comes_out_under_another_life() {
    let disk = written().await;
    let store = reopened(&disk).await;
    let before = store.read(NOON, "b", Position::End).await.next;
    store.close().await;
    // Not one of its messages, whose texts go on behind the letter, and whose ids may have anything in front of it.
    disk.damage_where(19, |row| row[0] == 0xA2 && row[17] == b'b' && row[18] != b' ' && row[9..17] != [0; 8]);
    let (condition, lines) = looked(&disk);
    assert!(condition.damages >= 1, "{lines:?}");
    assert!(lines.contains(&"channel \"b\": its row; it begins a new epoch".to_owned()), "{lines:?}");
    let store = reopened(&imported(&salvaged(&disk))).await;
    assert_eq!(store.all(NOON, "b").await.len(), 5);
    let view = store.read(NOON, "b", Position::After(before)).await;
    assert_eq!(view.read_state.continuity, Continuity::Reset);
}

#[tokio::test]
async fn a_file_in_use_and_one_that_is_no_journal_are_told() {
    let disk = written().await;
    let store = reopened(&disk).await;
    let told = check(&Environment::system(), &disk.port(), |_| {});
    assert!(matches!(&told, Err(BackupError::Open(fault)) if fault.kind == FaultKind::InUse), "{told:?}");
    store.close().await;
    assert!(check(&Environment::system(), &disk.port(), |_| {}).is_ok(), "which lets go of it again");
    for at in 0..400 {
        disk.flip(DATABASE, at, 0xFF);
    }
    let told = check(&Environment::system(), &disk.port(), |_| {});
    assert!(matches!(&told, Err(BackupError::Open(fault)) if fault.kind == FaultKind::Damaged), "{told:?}");
}

#[tokio::test]
async fn a_table_that_is_not_found_is_told() {
    let disk = written().await;
    disk.damage(b"messages");
    let (condition, lines) = looked(&disk);
    assert!(!condition.opens && condition.damages > 0, "{lines:?}");
    assert!(lines.contains(&"the root of the table \"messages\"".to_owned()), "{lines:?}");
}

fn stream(media: &str, source: Option<&str>) -> Create {
    Create {
        content_type: Some(ContentType::parse(media).unwrap()),
        lifetime: None,
        bounds: Bounds::UNLIMITED,
        payloads: [Payload::text(format!("one of {media}"))].into_iter().collect(),
        ending: Ending::Open,
        origin: source.map(|source| ForkPoint { source: name(source), after: None, further: 0 }),
    }
}

fn stamp(seq: u64) -> When {
    let producer = Some(ProducerStamp { id: ProducerId::parse("producer seven").unwrap(), epoch: 1, seq });
    When { producer, ..When::default() }
}

/// A hidden channel `source`, its fork `fork` with a producer, and `alone`.
async fn lived() -> FakeDisk {
    let disk = FakeDisk::default();
    let Disk { store, .. } = open(disk.port(), unbounded(), Options::default()).await;
    store.create(NOON, &name("source"), stream("text/x-source", None)).await.unwrap();
    store.create(NOON, &name("fork"), stream("text/x-source", Some("source"))).await.unwrap();
    store.create(NOON, &name("alone"), stream("text/x-alone", None)).await.unwrap();
    assert_eq!(store.delete(NOON, &name("source")).await, Ok(Deleted::Hidden));
    store.append(NOON, &name("fork"), Publish::one(Payload::text("two")), stamp(0)).await.unwrap();
    store.shut_down().await.unwrap();
    disk
}

#[tokio::test]
async fn lives_forks_and_producers_are_salvaged() {
    let disk = lived().await;
    assert!(looked(&disk).0.is_whole());
    let lines = salvaged(&disk);
    assert_eq!(lines, exported(&disk));
    let Disk { store, .. } = reopened(&imported(&lines)).await;
    let again = store.append(NOON, &name("fork"), Publish::one(Payload::text("two")), stamp(0)).await;
    assert!(matches!(again, Ok(Appended::Duplicate { .. })));
    assert_eq!(store.delete(NOON, &name("source")).await, Ok(Deleted::AlreadyHidden));
    assert_eq!(store.delete(NOON, &name("fork")).await, Ok(Deleted::Gone));
    assert_eq!(store.channels(), 1);
}

#[tokio::test]
async fn a_damaged_life_costs_its_channel_no_message() {
    let disk = lived().await;
    disk.damage(b"x-alone\"");
    let (condition, lines) = looked(&disk);
    assert_eq!((condition.damages, condition.opens), (1, true), "{lines:?}");
    assert_eq!(lines, ["channel \"alone\": its life; it has none"]);
    let store = reopened(&imported(&salvaged(&disk))).await;
    assert_eq!(store.all(NOON, "alone").await.len(), 1);
    assert_eq!(store.all(NOON, "fork").await.len(), 3);
}

#[tokio::test]
async fn damaged_producers_and_forks_are_told_and_the_rest_is_whole() {
    let disk = lived().await;
    disk.damage(b"producer seven");
    let (condition, lines) = looked(&disk);
    assert_eq!((condition.damages, lines), (1, vec!["producers: 1".to_owned()]));
    let Disk { store, .. } = reopened(&imported(&salvaged(&disk))).await;
    let again = store.append(NOON, &name("fork"), Publish::one(Payload::text("two")), stamp(0)).await;
    assert!(matches!(again, Ok(Appended::New { .. })), "{again:?}");

    let disk = lived().await;
    disk.damage(b"\x06sourcefork");
    let (_, lines) = looked(&disk);
    assert!(
        lines.contains(&"channel \"fork\": its place among the forks of \"source\"".to_owned()),
        "{lines:?}"
    );
    let copy = imported(&salvaged(&disk));
    assert!(looked(&copy).0.is_whole(), "which the life says as well");
    let Disk { store, .. } = reopened(&copy).await;
    assert_eq!(store.delete(NOON, &name("source")).await, Ok(Deleted::AlreadyHidden));
    assert_eq!(store.delete(NOON, &name("fork")).await, Ok(Deleted::Gone));
}

#[tokio::test]
async fn a_file_that_crashed_an_earlier_process_is_refused_and_salvaged() {
    let disk = written().await;
    let (before, whole) = (looked(&disk).0, exported(&disk));
    disk.lock().panic = Some("a page makes no sense".to_owned());

    let refused = DiskJournal::open(&Environment::system(), disk.port(), Options::default(), |_| {}).await;
    let fault = refused.err().unwrap();
    let why = "a disk in memory is damaged and crashed an earlier process: a page makes no sense";
    assert_eq!((fault.kind, fault.to_string().as_str()), (FaultKind::Damaged, why));
    let told = export(&Environment::system(), disk.port(), |_| {}, |_| Ok(())).unwrap_err();
    assert_eq!(told.to_string(), why);
    assert_eq!(looked(&disk), (Condition { damages: 1, opens: false, ..before }, vec![why.to_owned()]));
    assert_eq!(salvaged(&disk), whole);

    disk.lock().panic = None;
    assert_eq!(reopened(&disk).await.all(NOON, "b").await.len(), 5);
}
