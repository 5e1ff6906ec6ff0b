//! After any crash, acknowledged messages are there once and in order, refused ones are not, whatever a reader has seen
//! stays, and publishing continues from there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use poll_core::environment::Environment;
use poll_core::journal::disk::{DiskJournal, Options};
use poll_core::journal::{Archive, Tail};
use poll_core::{
    Continuity, Cursor, IdempotencyKey, JournalError, Payload, Pinned, Position, Publish, PublishError,
};
use proptest::prelude::*;

use crate::fake::{FakeDisk, Fault};
use crate::fixture::{Disk, NOON, Publishing, cursor, name, open, second, unbounded};

const CHANNELS: u8 = 3;

/// What happens between two starts of the server.
#[derive(Debug, Clone)]
struct Life {
    /// Publishes that are made at once: to which channel.
    publishes: Vec<u8>,
    /// What goes wrong first.
    trouble: Trouble,
    /// More publishes, behind the trouble.
    more: Vec<u8>,
    /// After how many writes and syncs of them the power goes; it may be after the last.
    cut: u64,
    /// Which unsynced writes survive.
    luck: u64,
}

#[derive(Debug, Clone, Copy)]
enum Trouble {
    Nothing,
    /// Some failure of the disk.
    Fault(Fault),
    /// A sync, after so many, takes too long.
    Slow(u64),
    /// The same, and the power goes before it is over.
    Hung(u64),
}

fn lives() -> impl Strategy<Value = Vec<Life>> {
    let trouble = prop_oneof![
        4 => Just(Trouble::Nothing),
        4 => (0..3u64).prop_map(|shut| Trouble::Fault(Fault::SyncDone(0, shut))),
        2 => (0..6u64).prop_map(|at| Trouble::Fault(Fault::Sync(at))),
        2 => (0..20u64).prop_map(|at| Trouble::Fault(Fault::Write(at))),
        2 => (0..20u64).prop_map(|at| Trouble::Fault(Fault::ShortWrite(at))),
        1 => (0..20u64).prop_map(|at| Trouble::Fault(Fault::Read(at))),
        3 => (0..4u64).prop_map(Trouble::Slow),
        3 => (0..4u64).prop_map(Trouble::Hung),
    ];
    let publishes = || proptest::collection::vec(0..CHANNELS, 1..16);
    let life = (publishes(), trouble, publishes(), 0..90u64, any::<u64>());
    let life =
        life.prop_map(|(publishes, trouble, more, cut, luck)| Life { publishes, trouble, more, cut, luck });
    proptest::collection::vec(life, 1..8)
}

/// What the world was told.
#[derive(Default)]
struct Told {
    /// By channel: what was acknowledged, by its number.
    kept: BTreeMap<u8, BTreeMap<u64, String>>,
    last: BTreeMap<u8, Cursor>,
    /// What was refused, and is never to be seen.
    refused: BTreeSet<String>,
    /// By channel and number: what a reader was given.
    seen: BTreeMap<(u8, u64), String>,
    count: usize,
}

impl Told {
    async fn live(&mut self, disk: &FakeDisk, store: &Disk, life: &Life) {
        disk.fail(Fault::Power(life.cut));
        match life.trouble {
            Trouble::Nothing => {}
            Trouble::Fault(fault) => disk.fail(fault),
            Trouble::Slow(after) | Trouble::Hung(after) => disk.gate().hold_after(after),
        }
        for channels in [&life.publishes, &life.more] {
            let mut publishes = Vec::new();
            for &channel in channels {
                self.count += 1;
                let text = format!("message {}", self.count);
                let publish = store.start(&channel.to_string(), &text).await;
                publishes.push((channel, text, publish));
            }
            while !publishes.iter().all(|(_, _, publish)| publish.is_finished()) {
                self.read(store).await;
                if disk.gate().is_waited_at() {
                    // Those who wait are told by now, and readers see nothing of it.
                    store.journal.verify();
                    self.read(store).await;
                    if matches!(life.trouble, Trouble::Hung(_)) {
                        disk.fail(Fault::Power(0));
                    }
                    disk.gate().free();
                }
                tokio::task::yield_now().await;
            }
            for (channel, text, publish) in publishes {
                self.hear(channel, text, publish).await;
            }
            self.read(store).await;
            // It goes on where the file is soon open again.
            let mut health = store.journal.health();
            while matches!(life.trouble, Trouble::Fault(_))
                && !disk.is_dark()
                && health.borrow().check_readable().is_err()
            {
                self.read(store).await;
                let _ = tokio::time::timeout(Duration::from_millis(1), health.changed()).await;
            }
        }
        let luck = life.luck;
        disk.heal();
        disk.crash(|index| luck.rotate_left(u32::try_from(index % 64).unwrap()) & 1 == 1);
    }

    async fn hear(&mut self, channel: u8, text: String, publish: Publishing) {
        match publish.await.unwrap() {
            Ok(published) => {
                let other = self.kept.entry(channel).or_default().insert(cursor(&published).seq.get(), text);
                assert_eq!(other, None, "a number was given out twice");
                self.last.insert(channel, cursor(&published));
            }
            Err(PublishError::Journal(JournalError::OutcomeUnknown(_))) => {}
            Err(PublishError::Journal(_)) => drop(self.refused.insert(text)),
            Err(error) => panic!("{error:?}"),
        }
    }

    /// Looks at the file, past all that is in memory.
    async fn read(&mut self, store: &Disk) {
        for channel in 0..CHANNELS {
            let loaded = store.load(&channel.to_string()).await;
            for message in loaded.ok().flatten().into_iter().flat_map(|loaded| loaded.tail) {
                let text = String::from_utf8(message.payload.as_bytes().to_vec()).unwrap();
                let before = self.seen.insert((channel, message.seq.get()), text.clone());
                assert!(before.is_none_or(|before| before == text), "a number was given out twice");
            }
        }
    }

    async fn check(&mut self, store: &Disk) {
        for channel in 0..CHANNELS {
            let there = store.all(NOON, &channel.to_string()).await;
            let numbers: Vec<u64> = there.iter().map(|(seq, _)| *seq).collect();
            assert_eq!(numbers, (1..=there.len() as u64).collect::<Vec<_>>(), "in order, without a hole");
            let there: BTreeMap<u64, String> = there.into_iter().collect();
            let kept = self.kept.entry(channel).or_default();
            for (seq, text) in kept.iter() {
                assert_eq!(there.get(seq), Some(text), "acknowledged, and not there");
            }
            for ((_, seq), text) in self.seen.range((channel, 0)..=(channel, u64::MAX)) {
                assert_eq!(there.get(seq), Some(text), "given to a reader, and not there");
            }
            let texts: BTreeSet<_> = there.values().collect();
            assert_eq!(texts.len(), there.len(), "something is there twice");
            let refused: Vec<_> = texts.into_iter().filter(|text| self.refused.contains(*text)).collect();
            assert!(refused.is_empty(), "refused, and there: {refused:?}");
            // What is there was taken, or its publisher knows that it may have been, and counts from now on.
            *kept = there;
        }
        for (channel, last) in &self.last {
            let channel = name(&channel.to_string());
            let read_state = store.store.read_state(NOON, &channel, &Pinned::after(*last)).await.unwrap();
            assert_eq!((read_state.continuity, read_state.missed()), (Continuity::Kept, Some(0)));
        }
        for (channel, kept) in &self.kept {
            let Some((seq, text)) = kept.iter().next_back() else { continue };
            let key = IdempotencyKey::parse(text).unwrap();
            let again = Publish::one(Payload::text(text.clone())).under(key);
            let again = store.store.publish(second(1), &name(&channel.to_string()), again).await.unwrap();
            assert_eq!((again.repeated, cursor(&again).seq.get()), (true, *seq));
        }
    }
}

/// A segment whose damage has cost acknowledged messages, so that their numbers are given out again.
#[tokio::test]
async fn a_crash_while_damage_is_repaired_still_begins_a_new_epoch() {
    let disk = FakeDisk::default();
    let store = open(disk.port(), unbounded(), Options::default()).await;
    store.settle().await.unwrap();
    for number in 1..=3 {
        store.send(NOON, "a", &format!("<a {number}>")).await;
    }
    let seen = store.send(NOON, "a", "<a 4>").await;
    disk.crash(|_| true);
    let [.., segment] = disk.segments()[..] else { panic!("there is no segment") };
    disk.flip(segment, disk.segment_len(segment) - 1, 1);
    for cut in 0.. {
        let disk = disk.copy();
        disk.fail(Fault::Power(cut));
        let opened = DiskJournal::open(&Environment::system(), disk.port(), Options::default(), |_| {}).await;
        let is_through = opened.is_ok() && !disk.is_dark();
        disk.heal();
        disk.crash(|_| true);
        drop(opened);
        let store = open(disk.port(), unbounded(), Options::default()).await;
        assert_eq!(cursor(&store.send(NOON, "a", "another").await).seq.get(), 4, "after {cut}");
        let pinned = store.store.pin(NOON, &name("a"), Position::After(cursor(&seen))).await.unwrap();
        assert_eq!(pinned.cursor().map(|cursor| cursor.seq.get()), Some(0), "a reset, after {cut}");
        if is_through {
            break;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn acknowledged_means_kept(lives in lives()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let disk = FakeDisk::default();
            let mut told = Told::default();
            let tail = Tail { channels: 1, ..Tail::default() };
            let options = Options { tail, stall: Duration::ZERO, cache_bytes: 0, ..Options::default() };
            open(disk.port(), unbounded(), options).await.close().await;
            for life in &lives {
                let store = open(disk.port(), unbounded(), options).await;
                told.check(&store).await;
                told.live(&disk, &store, life).await;
            }
            let store = open(disk.port(), unbounded(), options).await;
            told.check(&store).await;
            assert_eq!(store.read(NOON, "never", Position::Start).await.read_state.newest.get(), 0);
        });
    }
}
