//! Bytes changed all over a file: whatever is served is what was published, and everything else is an error.

use std::collections::BTreeMap;

use poll_core::environment::Environment;
use poll_core::journal::disk::{BackupError, DiskJournal, Options, Record, salvage};
use poll_core::journal::{Archive, Fault, FaultKind};
use poll_core::{Limit, Pinned, Position, Retention, Store};

use crate::fake::{DATABASE, FakeDisk};
use crate::fixture::{Disk, NOON, name, open, texts, unbounded};

/// What was published, by channel.
type Published = BTreeMap<String, Vec<String>>;

/// How the server that wrote the file ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Clean,
    Killed,
    /// The same with everything in the log.
    Cut,
}

/// Some hundred messages in a dozen channels, of which one fills many pages.
async fn written(end: End) -> (FakeDisk, Published) {
    let disk = FakeDisk::default();
    let mut published = Published::new();
    let store = open(disk.port(), unbounded(), Options::default()).await;
    for number in 0..400usize {
        let channel = if number % 2 == 0 { "large".to_owned() } else { format!("channel {}", number % 11) };
        let text = format!("{number} in {channel} {}", "-".repeat(number % 97));
        store.send(NOON, &channel, &text).await;
        published.entry(channel).or_default().push(text);
    }
    match end {
        End::Clean => store.close().await,
        End::Killed => {
            store.settle().await.unwrap();
            disk.crash(|_| true);
        }
        End::Cut => disk.crash(|_| true),
    }
    (disk, published)
}

/// Reads all there is of a channel; every message has to be the one that was published under its number.
async fn read_all(store: &Store, channel: &str, published: &[String]) -> Option<(u64, u64)> {
    let (mut given, mut missed) = (0, 0);
    let mut pinned = store.pin(NOON, &name(channel), Position::Start).await.ok()?;
    loop {
        let view = store.read(NOON, &name(channel), &pinned, Limit::default()).await.ok()?;
        missed += view.read_state.missed().expect("no channel begins a new epoch");
        let Some(batch) = view.batch else { return Some((given, missed)) };
        for (number, text) in texts(&batch) {
            let index = usize::try_from(number).unwrap() - 1;
            assert_eq!(published.get(index), Some(&text), "number {number} of {channel:?}");
            given += 1;
        }
        pinned = Pinned::after(view.next);
    }
}

async fn start(disk: &FakeDisk) -> Result<Disk, Fault> {
    let journal =
        DiskJournal::start(&Environment::system(), disk.port(), Options::default(), |_| {}).unwrap();
    journal.opened().await?;
    let store = Store::new(std::sync::Arc::new(journal.clone()), Retention { ..unbounded() });
    Ok(Disk { store, journal, progress: std::sync::Arc::default() })
}

/// Takes out what is whole; what comes out has to be what was published. Gives how many messages did not come out.
fn salvage_all(disk: &FakeDisk, published: &Published) -> u64 {
    let (mut channel, mut count) = (String::new(), 0);
    let mut found = 0;
    let taken = salvage(
        &Environment::system(),
        &disk.port(),
        |_| found += 1,
        |record| {
            match record {
                Record::Channel(record) => channel.clone_from(&record.channel),
                Record::Message(message) => {
                    let text = &published[&channel][usize::try_from(message.seq).unwrap() - 1];
                    assert_eq!(message.text.as_ref(), Some(text), "number {} of {channel:?}", message.seq);
                    count += 1;
                }
                Record::Lost(_) | Record::Event(_) => {}
            }
            Ok(())
        },
    );
    let all = published.values().map(|texts| texts.len() as u64).sum::<u64>();
    match taken {
        Ok((_, condition)) => {
            let told = condition.damages + condition.pages + found;
            assert!(count == all || told > 0, "{} messages are gone without a word", all - count);
        }
        Err(BackupError::Open(fault)) => assert_eq!(fault.kind, FaultKind::Damaged, "{fault}"),
        Err(error) => panic!("{error:?}"),
    }
    all - count
}

/// What came of all files.
#[derive(Debug, Default)]
struct Tally {
    /// Files that were not opened.
    refused: u64,
    /// Channels that were not given, with an error.
    errors: u64,
    /// Messages that were told to be missed.
    missed: u64,
    /// Messages that are missing, and were not reported as missed.
    untold: u64,
    /// Numbers given out twice.
    again: u64,
    /// Messages that did not come out, of all files and of one at the most.
    unsalvaged: (u64, u64),
}

/// Opens a file, reads all of it and publishes to every channel.
async fn use_all(disk: &FakeDisk, published: &Published, tally: &mut Tally) {
    let store = match start(disk).await {
        Ok(store) => store,
        Err(error) => {
            assert!(matches!(error.kind, FaultKind::Damaged | FaultKind::Version), "{error:?}");
            assert_eq!(error.to_string().lines().count(), 1, "{error}");
            tally.refused += 1;
            return;
        }
    };
    let mut is_told = false;
    for (channel, published) in published {
        match read_all(&store.store, channel, published).await {
            None => (tally.errors, is_told) = (tally.errors + 1, true),
            Some((given, missed)) => {
                is_told |= missed > 0;
                tally.missed += missed;
                tally.untold += (published.len() as u64).saturating_sub(given + missed);
            }
        }
    }
    let damage = store.journal.damage().borrow().clone();
    // Of a damaged segment it is not known whose messages they were.
    is_told |= damage.last.starts_with("segment");
    assert_eq!(is_told, damage.rows > 0, "what is told is counted: {damage:?}");
    for (channel, published) in published {
        if let Ok(new) = store.try_send(NOON, channel, "new").await {
            tally.again += u64::from(new.stamps[0].cursor.seq.get() <= published.len() as u64);
        }
    }
    let _ = store.store.shut_down().await;
}

async fn flips(end: End, count: usize) -> Tally {
    let (whole, published) = written(end).await;
    let stretch = whole.contents().len() / count;
    let mut tally = Tally::default();
    for index in 0..count {
        let disk = whole.copy();
        // Spread over the file, and over each kind of place in a page; sometimes a bit, sometimes more.
        let at = index * stretch + index * 7_919 % stretch;
        let bits =
            if index % 3 == 0 { 1 << (index % 8) } else { u8::try_from(index * 31 % 255 + 1).unwrap() };
        disk.flip(DATABASE, at, bits);
        let left = salvage_all(&disk, &published);
        tally.unsalvaged = (tally.unsalvaged.0 + left, tally.unsalvaged.1.max(left));
        use_all(&disk, &published, &mut tally).await;
    }
    tally
}

#[tokio::test]
async fn after_a_clean_stop_only_what_was_published_is_served_and_the_rest_is_told() {
    let tally = flips(End::Clean, 400).await;
    assert_eq!((tally.untold, tally.again), (0, 0), "{tally:?}");
    assert!(tally.missed > 0 && tally.errors > 0 && tally.refused < 20, "{tally:?}");
    assert!(tally.unsalvaged.1 <= 60, "no more than a page holds: {tally:?}");
}

#[tokio::test]
async fn after_a_kill_only_what_was_published_is_served_and_the_rest_is_told() {
    let tally = flips(End::Killed, 150).await;
    assert_eq!((tally.untold, tally.again), (0, 0), "{tally:?}");
    assert!(tally.missed > 0 && tally.refused < 20, "{tally:?}");
    assert!(tally.unsalvaged.1 <= 60, "{tally:?}");
}

#[tokio::test]
async fn what_is_damaged_of_the_log_is_told_and_the_rest_is_served() {
    let (whole, published) = written(End::Cut).await;
    let segment = whole.segments()[0];
    let length = whole.segment_len(segment);
    let mut tally = Tally::default();
    for index in 0..60 {
        let disk = whole.copy();
        disk.flip(segment, index * length / 60 + index % 7, 1 << (index % 8));
        let left = salvage_all(&disk, &published);
        tally.unsalvaged = (tally.unsalvaged.0 + left, tally.unsalvaged.1.max(left));
        use_all(&disk, &published, &mut tally).await;
    }
    // All channels begin a new epoch, so that no reader takes a number for one that it has seen.
    assert_eq!((tally.refused, tally.errors), (0, 0), "{tally:?}");
    assert!(tally.missed > 40 && tally.untold <= 5 && tally.unsalvaged.1 <= 1, "{tally:?}");
}
