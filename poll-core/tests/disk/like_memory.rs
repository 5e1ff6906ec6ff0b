//! A store on disk gives the same answers as a store in memory, whatever the operations.

use std::sync::Arc;
use std::time::Duration;

use poll_core::environment::Environment;
use poll_core::journal::Tail;
use poll_core::journal::disk::{DiskJournal, Options};
use poll_core::{
    Continuity, Cursor, Found, IdempotencyKey, Limit, Locator, Memory, Pinned, Position, Publish, Published,
    Retention, Seq, Store, Timestamp,
};
use proptest::prelude::*;

use crate::fake::FakeDisk;
use crate::fixture::{NOON, name, texts};

#[derive(Debug, Clone)]
enum Step {
    Publish(u8, u8),
    Later(u16),
    Keyed(u8, u8),
    Sweep,
    Settle,
    Restart,
    Crash,
    Read(u8, At, u8),
    Message(u8, u8),
    Close(u8),
}

/// A place to read from, as an index into what was published.
#[derive(Debug, Clone, Copy)]
enum At {
    Start,
    End,
    Cursor(u8),
    Number(u8),
    Time(u8),
    Id(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let at = prop_oneof![
        Just(At::Start),
        Just(At::End),
        any::<u8>().prop_map(At::Cursor),
        any::<u8>().prop_map(At::Number),
        any::<u8>().prop_map(At::Time),
        any::<u8>().prop_map(At::Id),
    ];
    let step = prop_oneof![
        6 => (0..3u8, 1..6u8).prop_map(|(channel, count)| Step::Publish(channel, count)),
        2 => (0..40u16).prop_map(Step::Later),
        3 => (0..3u8, 0..4u8).prop_map(|(channel, key)| Step::Keyed(channel, key)),
        1 => Just(Step::Sweep),
        1 => Just(Step::Settle),
        1 => Just(Step::Restart),
        1 => Just(Step::Crash),
        6 => (0..3u8, at, 1..9u8).prop_map(|(channel, at, limit)| Step::Read(channel, at, limit)),
        2 => (0..3u8, any::<u8>()).prop_map(|(channel, seq)| Step::Message(channel, seq)),
        1 => (0..30u8).prop_map(Step::Close),
    ];
    proptest::collection::vec(step, 1..60)
}

/// The same store twice: in memory, and on disk with next to nothing of it in memory.
struct Twins {
    environment: Environment,
    disk: FakeDisk,
    retention: Retention,
    memory: Store,
    stored: Store,
    journal: DiskJournal,
    now: Timestamp,
    /// Positions of the same message in both, with its time and id in each.
    published: Vec<(u8, Cursor, Cursor)>,
}

fn tail() -> Tail {
    Tail { bytes: 600, channels: 2, idle: Duration::from_secs(30) }
}

async fn stored(environment: &Environment, disk: &FakeDisk, retention: Retention) -> (Store, DiskJournal) {
    let options = Options { tail: tail(), ..Options::default() };
    let journal = DiskJournal::start(environment, disk.port(), options, |_| {}).unwrap();
    journal.opened().await.unwrap();
    let store = Store::within(environment.clone(), Arc::new(journal.clone()), retention, Memory::default());
    (store, journal)
}

impl Twins {
    async fn step(&mut self, step: Step) {
        match step {
            Step::Publish(channel, count) => self.publish(channel, count).await,
            Step::Later(seconds) => self.now = self.now.after(Duration::from_secs(seconds.into())),
            Step::Sweep => {
                for store in [&self.memory, &self.stored] {
                    (0..70).for_each(|_| store.sweep(self.now, 16));
                }
            }
            Step::Keyed(channel, key) => self.publish_under(channel, key).await,
            Step::Settle => self.journal.settle().await.unwrap(),
            Step::Restart | Step::Crash => {
                if matches!(step, Step::Restart) {
                    self.stored.shut_down().await.unwrap();
                } else {
                    self.disk.crash(|_| false);
                }
                (self.stored, self.journal) = stored(&self.environment, &self.disk, self.retention).await;
                // A channel that is loaded begins in another millisecond, and no restart is over within one.
                self.now = self.now.after(Duration::from_millis(2));
            }
            Step::Read(channel, at, limit) => self.read(channel, at, limit).await,
            Step::Message(channel, seq) => self.message(channel, seq).await,
            Step::Close(channel) => {
                let name = name(&channel.to_string());
                let closed =
                    [self.memory.close(self.now, &name).await, self.stored.close(self.now, &name).await];
                assert_eq!(closed[0], closed[1]);
            }
        }
    }

    async fn publish(&mut self, channel: u8, count: u8) {
        let payload = |index: u8| poll_core::Payload::text(format!("{} {index}", self.published.len()));
        let publish = Publish::many((0..count).map(payload).collect());
        let name = name(&channel.to_string());
        let one = self.memory.publish(self.now, &name, publish.clone()).await;
        let two = self.stored.publish(self.now, &name, publish).await;
        match (one, two) {
            (Ok(one), Ok(two)) => {
                for (one, two) in one.stamps.iter().zip(two.stamps.iter()) {
                    assert_eq!((one.cursor.seq, one.at), (two.cursor.seq, two.at));
                    self.published.push((channel, one.cursor, two.cursor));
                }
            }
            (one, two) => assert_eq!(one.map(|_| ()), two.map(|_| ())),
        }
    }

    async fn publish_under(&mut self, channel: u8, key: u8) {
        let text = format!("under {key}");
        let key = IdempotencyKey::parse(&text).unwrap();
        let publish = Publish::one(poll_core::Payload::text(text)).under(key);
        let name = name(&channel.to_string());
        let one = self.memory.publish(self.now, &name, publish.clone()).await;
        let two = self.stored.publish(self.now, &name, publish).await;
        let told = |told: Result<Published, _>| {
            told.map(|told| {
                let stamps: Vec<_> = told.stamps.iter().map(|stamp| (stamp.cursor.seq, stamp.at)).collect();
                (told.repeated, stamps, told.gone.iter().map(|gone| gone.seq).collect::<Vec<_>>())
            })
        };
        assert_eq!(told(one), told(two));
    }

    /// The same place in both stores.
    async fn places(&self, channel: u8, at: At) -> Option<(Position, Position)> {
        let own: Vec<_> = self.published.iter().filter(|(owner, ..)| *owner == channel).collect();
        let pick = |index: u8| own.get(usize::from(index) % own.len().max(1)).copied();
        Some(match at {
            At::Start => (Position::Start, Position::Start),
            At::End => (Position::End, Position::End),
            At::Cursor(index) => {
                let (_, one, two) = pick(index)?;
                (Position::After(*one), Position::After(*two))
            }
            At::Number(seq) => {
                let seq = Seq::new(seq.into());
                (Position::AfterSeq(seq), Position::AfterSeq(seq))
            }
            At::Time(seconds) => {
                let time = NOON.after(Duration::from_secs(u64::from(seconds) * 4));
                (Position::AfterTime(time), Position::AfterTime(time))
            }
            At::Id(seconds) => {
                let time = NOON.after(Duration::from_secs(u64::from(seconds) * 4));
                let id = poll_core::mint_id(time, 0);
                (Position::AfterId(id), Position::AfterId(id))
            }
        })
    }

    async fn read(&self, channel: u8, at: At, limit: u8) {
        let Some((one, two)) = self.places(channel, at).await else { return };
        let (name, limit) = (name(&channel.to_string()), Limit::messages(limit.into()));
        let mut one = self.memory.pin(self.now, &name, one).await.unwrap();
        let mut two = self.stored.pin(self.now, &name, two).await.unwrap();
        let by_number = matches!(at, At::Start | At::End | At::Cursor(_) | At::Number(_));
        for round in 0..50 {
            let seen = self.memory.read(self.now, &name, &one, limit).await.unwrap();
            let same = self.stored.read(self.now, &name, &two, limit).await.unwrap();
            assert_eq!(seen.batch.as_deref().map(texts), same.batch.as_deref().map(texts));
            assert_eq!((seen.next.seq, seen.is_closed()), (same.next.seq, same.is_closed()));
            let (seen_at, same_at) = (seen.read_state, same.read_state);
            assert_eq!((seen_at.oldest, seen_at.newest), (same_at.oldest, same_at.newest));
            assert_eq!(seen_at.continuity, same_at.continuity);
            if by_number || round > 0 {
                assert_eq!(seen_at.missed(), same_at.missed());
            } else {
                // The journal need not know when the messages before the oldest were taken.
                let (missed, told) = (seen_at.missed().unwrap(), same_at.missed().unwrap());
                assert!((missed.min(1)..=missed.max(1)).contains(&told), "{told} of {missed} at {at:?}");
            }
            assert_eq!(self.stored.read_state(self.now, &name, &two).await, Ok(same_at));
            if seen.batch.is_none() {
                return;
            }
            assert_eq!(seen_at.continuity == Continuity::Reset, same_at.continuity == Continuity::Reset);
            (one, two) = (Pinned::after(seen.next), Pinned::after(same.next));
        }
    }

    async fn message(&self, channel: u8, seq: u8) {
        let name = name(&channel.to_string());
        let locator = Locator::Seq(Seq::new(seq.into()));
        let one = self.memory.message(self.now, &name, locator).await.unwrap();
        let two = self.stored.message(self.now, &name, locator).await.unwrap();
        match (&one, &two) {
            (Found::Message(one, _, until), Found::Message(two, _, same)) => {
                assert_eq!((&one.payload, one.at, until), (&two.payload, two.at, same));
            }
            _ => assert_eq!(one, two),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn a_store_on_disk_says_what_one_in_memory_says(
        steps in steps(),
        messages in prop_oneof![Just(0), Just(7), 1..200u64],
        age in prop_oneof![Just(0), 20..200u64],
    ) {
        let retention =
            Retention { messages, age: Duration::from_secs(age), bytes: 0, ..Retention::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            // The journal runs on this thread: what fails is found again.
            let environment = Environment::seeded(1);
            let disk = FakeDisk::default();
            let (stored, journal) = stored(&environment, &disk, retention).await;
            let memory = Store::in_memory(retention);
            let mut twins = Twins { environment, disk, retention, memory, stored, journal, now: NOON, published: Vec::new() };
            for step in steps {
                twins.step(step).await;
                assert!(twins.stored.weight() <= 600 + 6 * 200 + 3 * 200, "memory holds {}", twins.stored.weight());
            }
        });
    }
}
