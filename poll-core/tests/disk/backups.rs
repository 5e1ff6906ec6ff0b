//! Export and import lose and move nothing.

use poll_core::environment::Environment;
use poll_core::journal::disk::{BackupError, Options, Report, export, import};
use poll_core::life::{
    Appended, Bounds, Condition, Create, Deleted, ForkPoint, Lifetime, ProducerId, ProducerStamp,
};
use poll_core::{Continuity, Ending, Payload, Position, Publish, PublishError};

use crate::fake::FakeDisk;
use crate::fixture::{NOON, cursor, name, open, second, unbounded};

pub(crate) fn lines(disk: &FakeDisk) -> Vec<String> {
    let mut lines = Vec::new();
    export(
        &Environment::system(),
        disk.port(),
        |_| {},
        |record| {
            lines.push(record.to_line()?);
            Ok(())
        },
    )
    .unwrap();
    lines
}

fn take(disk: &FakeDisk, lines: &[String]) -> Result<Report, BackupError> {
    import(&Environment::system(), disk.port(), |_| {}, lines.iter().cloned().map(Ok))
}

#[tokio::test]
async fn cursors_are_good_in_the_copy_and_an_import_goes_on_where_it_was() {
    let (disk, copy) = (FakeDisk::default(), FakeDisk::default());
    let store = open(disk.port(), unbounded(), Options::default()).await;
    let payloads = vec![
        Payload::json(br#"{"a": [1, "\u00e9"]}"#).unwrap(),
        Payload::text("line\nbreak\u{2028}\u{85}"),
        Payload::bytes(&b"\xff\x00"[..]),
    ];
    let published = store.store.publish(NOON, &name("a"), Publish::many(payloads)).await.unwrap();
    store.send(NOON, "a/b ☃\u{2029}", "one").await;
    store.store.close(NOON, &name("done")).await.unwrap();
    store.close().await;

    let whole = lines(&disk);
    assert!(whole.iter().all(|line| !line.contains(['\n', '\u{85}', '\u{2028}', '\u{2029}'])), "{whole:?}");
    assert!(matches!(take(&copy, &whole[..3]), Err(BackupError::Line(3, _))), "it breaks off");
    assert_eq!(take(&copy, &whole).unwrap().messages, 2, "what is there already is passed over");
    assert_eq!(take(&copy, &whole).unwrap().messages, 0);
    assert_eq!(lines(&copy), whole);

    let store = open(copy.port(), unbounded(), Options::default()).await;
    assert_eq!(store.store.channels(), 3);
    let view = store.read(NOON, "a", Position::After(published.stamps[0].cursor)).await;
    assert_eq!((view.read_state.continuity, view.batch.unwrap().messages().len()), (Continuity::Kept, 2));
    assert_eq!(store.send(NOON, "a", "next").await.stamps[0].cursor.seq.get(), 4);
    assert_eq!(store.try_send(NOON, "done", "x").await, Err(PublishError::Closed));
}

#[tokio::test]
async fn what_retention_took_stays_gone_and_counted() {
    let (disk, copy) = (FakeDisk::default(), FakeDisk::default());
    let few = poll_core::Retention { messages: 8, ..unbounded() };
    let store = open(disk.port(), few, Options::default()).await;
    for round in 0..20 {
        store.send(second(round), "a", "x").await;
    }
    store.close().await;
    take(&copy, &lines(&disk)).unwrap();
    let store = open(copy.port(), few, Options::default()).await;
    let read_state = store.read(second(20), "a", Position::Start).await.read_state;
    assert_eq!((read_state.oldest.get(), read_state.newest.get(), read_state.missed()), (13, 20, Some(12)));
}

#[tokio::test]
async fn golongpolls_events_become_messages() {
    let disk = FakeDisk::default();
    let events = [
        r#"{"timestamp":1700000000000,"category":"farm","data":{"type":"pig"},"id":"d1a4a1b6-8a34-4c33-9d3b-0d7c6a3b6c10"}"#,
        r#"{"timestamp":1700000000000,"category":"farm","data":"oink","id":"d1a4a1b6-8a34-4c33-9d3b-0d7c6a3b6c11"}"#,
        "",
        r#"{"timestamp":1600000000000,"category":"zoo","data":7,"id":"d1a4a1b6-8a34-4c33-9d3b-0d7c6a3b6c12"}"#,
    ];
    let report = take(&disk, &events.map(str::to_owned)).unwrap();
    assert_eq!(report, Report { channels: 2, messages: 3 });
    let store = open(disk.port(), unbounded(), Options::default()).await;
    let farm = [(1, r#"{"type":"pig"}"#.to_owned()), (2, r#""oink""#.to_owned())];
    assert_eq!(store.all(NOON, "farm").await, farm);
    let published = store.send(NOON, "zoo", "x").await;
    assert_eq!(cursor(&published).seq.get(), 2);
}

#[test]
fn a_wrong_line_is_named() {
    let channel =
        r#"{"channel":"a","epoch":"0000000000000007","oldest":1,"newest":3,"newest_at":3,"ended":false}"#;
    let message = |seq: u64| {
        format!(r#"{{"seq":{seq},"id":"01900000-0000-7000-8000-000000000000","at":{seq},"text":"x"}}"#)
    };
    let cases = [
        vec!["{}".to_owned()],
        vec![message(1)],
        vec![channel.replace("0007", "0000")],
        vec![channel.replace("\"a\"", "\"\"")],
        vec![channel.to_owned(), message(1), message(3)],
        vec![channel.to_owned()],
    ];
    for lines in cases {
        match take(&FakeDisk::default(), &lines) {
            Err(BackupError::Line(number, _)) => assert_eq!(number, lines.len() as u64, "{lines:?}"),
            other => panic!("{lines:?}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn lives_forks_and_producers_are_in_the_copy() {
    let (disk, copy) = (FakeDisk::default(), FakeDisk::default());
    let create = |origin: Option<&str>, texts: &[&str]| Create {
        content_type: None,
        lifetime: Some(Lifetime::Endless),
        bounds: Bounds::UNLIMITED,
        payloads: texts.iter().map(|text| Payload::text((*text).to_owned())).collect(),
        ending: Ending::Open,
        origin: origin.map(|source| ForkPoint { source: name(source), after: None, further: 0 }),
    };
    let stamp = ProducerStamp { id: ProducerId::parse("p").unwrap(), epoch: 1, seq: 0 };
    let condition = || Condition { producer: Some(stamp.clone()), ..Condition::default() };
    let store = open(disk.port(), unbounded(), Options::default()).await;
    store.store.create(NOON, &name("a"), create(None, &["one", "two"])).await.unwrap();
    store.store.create(NOON, &name("b"), create(Some("a"), &[])).await.unwrap();
    store.store.create(NOON, &name("c"), create(Some("b"), &["three"])).await.unwrap();
    store.store.append(NOON, &name("c"), Publish::one(Payload::text("four")), condition()).await.unwrap();
    assert_eq!(store.store.delete(NOON, &name("a")).await, Ok(Deleted::Hidden));
    store.close().await;

    let whole = lines(&disk);
    take(&copy, &whole).unwrap();
    assert_eq!(lines(&copy), whole);
    let store = open(copy.port(), unbounded(), Options::default()).await;
    let texts = |all: Vec<(u64, String)>| all.into_iter().map(|(_, text)| text).collect::<Vec<_>>();
    assert_eq!(texts(store.all(NOON, "c").await), ["one", "two", "three", "four"]);
    let again = store.store.append(NOON, &name("c"), Publish::one(Payload::text("four")), condition()).await;
    assert!(matches!(again, Ok(Appended::Duplicate { last: 0, .. })));
    assert_eq!(store.store.delete(NOON, &name("a")).await, Ok(Deleted::AlreadyHidden));
    assert_eq!(store.store.delete(NOON, &name("b")).await, Ok(Deleted::Hidden));
    assert_eq!(store.store.delete(NOON, &name("c")).await, Ok(Deleted::Gone));
    assert_eq!(store.store.channels(), 0);
    store.close().await;
}

/// An export knows nothing of a server's bounds, also where it has to move what a crash left first.
#[tokio::test]
async fn an_export_after_a_crash_deletes_nothing() {
    let disk = FakeDisk::default();
    let store = open(disk.port(), unbounded(), Options::default()).await;
    for _ in 0..3 {
        let payloads = (0..1_000).map(|number| Payload::text(number.to_string())).collect();
        store.store.publish(NOON, &name("a"), Publish::many(payloads)).await.unwrap();
    }
    store.settle().await.unwrap();
    store.send(NOON, "a", "in the log").await;
    disk.crash(|_| false);
    assert_eq!(lines(&disk).iter().filter(|line| line.contains("\"seq\"")).count(), 3_001);
    assert_eq!(open(disk.port(), unbounded(), Options::default()).await.all(NOON, "a").await.len(), 3_001);
}
