//! After any crash: what was acknowledged is there, in order, once; and everything goes on from there.

use std::collections::BTreeMap;

use poll_core::journal::disk::Options;
use poll_core::{Continuity, Cursor, IdempotencyKey, Payload, Pinned, Position, Publish, PublishError};
use proptest::prelude::*;

use crate::fake::{FakeDisk, Fault};
use crate::fixture::{Disk, NOON, cursor, name, open, second, unbounded};

/// What happens between two starts of the server.
#[derive(Debug, Clone)]
struct Life {
    /// Publishes that are made at once: to which channel.
    publishes: Vec<u8>,
    /// After how many writes and syncs of them the power goes; it may be after the last.
    cut: u64,
    /// Which unsynced writes survive.
    luck: u64,
}

fn lives() -> impl Strategy<Value = Vec<Life>> {
    let life = (proptest::collection::vec(0..3u8, 1..20), 0..60u64, any::<u64>());
    proptest::collection::vec(life.prop_map(|(publishes, cut, luck)| Life { publishes, cut, luck }), 1..8)
}

/// What the world was told.
#[derive(Default)]
struct Told {
    /// By channel: what was acknowledged, by its number.
    kept: BTreeMap<u8, BTreeMap<u64, String>>,
    last: BTreeMap<u8, Cursor>,
    count: usize,
}

impl Told {
    async fn live(&mut self, disk: &FakeDisk, store: &Disk, life: &Life) {
        disk.fail(Fault::PowerCut(life.cut));
        let mut publishes = Vec::new();
        for &channel in &life.publishes {
            self.count += 1;
            let text = format!("message {}", self.count);
            let key = IdempotencyKey::parse(&text).unwrap();
            let publish = Publish::one(Payload::text(text.clone())).under(key);
            let store = store.store.clone();
            let publish = async move { store.publish(NOON, &name(&channel.to_string()), publish).await };
            publishes.push((channel, text, tokio::spawn(publish)));
        }
        for (channel, text, publish) in publishes {
            match publish.await.unwrap() {
                Ok(published) => {
                    let other =
                        self.kept.entry(channel).or_default().insert(cursor(&published).seq.get(), text);
                    assert_eq!(other, None, "a number was given out twice");
                    self.last.insert(channel, cursor(&published));
                }
                Err(PublishError::Journal(_)) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        let luck = life.luck;
        disk.crash(|index| luck.rotate_left(u32::try_from(index % 64).unwrap()) & 1 == 1);
    }

    async fn check(&mut self, store: &Disk) {
        for (channel, kept) in &mut self.kept {
            let channel = channel.to_string();
            let there = store.all(NOON, &channel).await;
            let numbers: Vec<u64> = there.iter().map(|(seq, _)| *seq).collect();
            assert_eq!(numbers, (1..=there.len() as u64).collect::<Vec<_>>(), "in order, without a hole");
            let there: BTreeMap<u64, String> = there.into_iter().collect();
            for (seq, text) in kept.iter() {
                assert_eq!(there.get(seq), Some(text), "acknowledged, and not there");
            }
            let mut texts: Vec<_> = there.values().collect();
            texts.sort();
            texts.dedup();
            assert_eq!(texts.len(), there.len(), "something is there twice");
            // What is there was taken, told or not, and counts from now on.
            *kept = there;
        }
        for (channel, last) in &self.last {
            let channel = name(&channel.to_string());
            let standing = store.store.standing(NOON, &channel, &Pinned::after(*last)).await.unwrap();
            assert_eq!((standing.continuity, standing.missed()), (Continuity::Kept, Some(0)));
        }
        for (channel, kept) in &self.kept {
            let (seq, text) = kept.iter().next_back().unwrap();
            let key = IdempotencyKey::parse(text).unwrap();
            let again = Publish::one(Payload::text(text.clone())).under(key);
            let again = store.store.publish(second(1), &name(&channel.to_string()), again).await.unwrap();
            assert_eq!((again.repeated, cursor(&again).seq.get()), (true, *seq));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn acknowledged_means_kept(lives in lives()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let disk = FakeDisk::default();
            let mut told = Told::default();
            open(disk.port(), unbounded(), Options::default()).await.close().await;
            for life in &lives {
                let store = open(disk.port(), unbounded(), Options::default()).await;
                told.check(&store).await;
                told.live(&disk, &store, life).await;
            }
            let store = open(disk.port(), unbounded(), Options::default()).await;
            told.check(&store).await;
            assert_eq!(store.read(NOON, "never", Position::Start).await.standing.newest.get(), 0);
        });
    }
}
