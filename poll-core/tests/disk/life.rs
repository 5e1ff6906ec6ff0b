//! The life of channels on disk: against the model, through restarts, and its bounds.

use poll_core::journal::{Archive, Tail};
use std::time::Duration;

use poll_core::journal::disk::Options;
use poll_core::life::{
    AppendError, Appended, Bound, Bounds, Condition, ContentType, Create, CreateError, Lifetime, ProducerId,
    ProducerStamp, Purged, Standing, Use,
};
use poll_core::{Ending, JournalError, Payload, Publish, PublishError, Retention, Store, Timestamp};
use proptest::prelude::*;

use crate::fake::FakeDisk;
use crate::fixture::{Disk, NOON, name, open, second, unbounded};
use crate::life_model::{Disturbance, Step, World, is_like_the_model, perform, steps};
use crate::salvage::{exported, looked, salvaged};

/// A store on a disk that stays when it is closed.
struct OnDisk {
    disk: FakeDisk,
    /// `None` only while it is opened again.
    open: Option<Disk>,
    store: Store,
    /// How often it was opened again. Every other time it was not closed before.
    restarts: usize,
}

/// Little stays in memory.
fn options() -> Options {
    Options { tail: Tail { bytes: 500, ..Tail::default() }, ..Options::default() }
}

impl OnDisk {
    async fn begin() -> Self {
        let disk = FakeDisk::default();
        let open = open(disk.port(), unbounded(), options()).await;
        Self { disk, store: open.store.clone(), open: Some(open), restarts: 0 }
    }
}

impl World for OnDisk {
    fn store(&self) -> &Store {
        &self.store
    }

    async fn disturb(&mut self, how: Disturbance, now: Timestamp) {
        match (how, &self.open) {
            (Disturbance::Settle, Some(open)) => open.settle().await.unwrap(),
            (Disturbance::Unload, Some(open)) => {
                let later = now.after(Tail::default().idle * 2);
                // Not `tend`: the time of nothing is over yet.
                (0..200).for_each(|_| open.store.sweep(later, 1_000));
            }
            (Disturbance::Restart, Some(_)) => {
                self.restarts += 1;
                match self.open.take() {
                    Some(open) if self.restarts.is_multiple_of(2) => open.close().await,
                    _ => self.disk.crash(|_| false),
                }
                let open = open(self.disk.port(), unbounded(), options()).await;
                self.store = open.store.clone();
                self.open = Some(open);
            }
            (_, None) => {}
        }
    }
}

fn check(steps: &[Step]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut world = OnDisk::begin().await;
        is_like_the_model(steps, &mut world).await;
    });
}

/// The lines of each channel, in the order of their names.
fn by_channel(lines: &[String]) -> Vec<&[String]> {
    let mut channels: Vec<_> = lines.chunk_by(|_, next| !next.starts_with("{\"channel\"")).collect();
    channels.sort();
    channels
}

fn check_salvage(steps: &[Step]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut world = OnDisk::begin().await;
        perform(steps, &mut world).await;
        world.disk.crash(|_| true);
        assert_eq!(looked(&world.disk).1, Vec::<String>::new());
        let (salvaged, exported) = (salvaged(&world.disk), exported(&world.disk.copy()));
        assert_eq!(by_channel(&salvaged), by_channel(&exported));
    });
}

/// A producer that appends exactly once goes on after a restart, and what is never evicted has a limit.
#[tokio::test]
async fn producers_and_bounds_outlive_a_restart() {
    let disk = FakeDisk::default();
    let retention = Retention { bytes: 1 << 20, messages: 2, ..unbounded() };
    let text = |bytes| Publish::one(Payload::text("x".repeat(bytes)));
    let stamp = |seq| Condition {
        producer: Some(ProducerStamp { id: ProducerId::parse("p").unwrap(), epoch: 3, seq }),
        ..Condition::default()
    };
    let (a, b) = (name("a"), name("b"));
    let first = open(disk.port(), retention, options()).await;
    let create = |bounds| Create {
        content_type: Some(ContentType::parse("text/plain").unwrap()),
        lifetime: Some(Lifetime::Sliding(Duration::from_secs(60))),
        bounds,
        payloads: [].into_iter().collect(),
        ending: Ending::Open,
        origin: None,
    };
    first.store.create(NOON, &a, create(Bounds::UNLIMITED)).await.unwrap();
    let own = Bounds { messages: Bound::Unlimited, bytes: Bound::Most(1_000), ..Bounds::SERVER };
    first.store.create(NOON, &b, create(own)).await.unwrap();
    for seq in 0..10 {
        first.store.append(NOON, &a, text(60_000), stamp(seq)).await.unwrap();
        first.store.append(NOON, &b, text(172), stamp(seq)).await.unwrap();
    }
    first.settle().await.unwrap();
    for seq in 10..17 {
        first.store.append(NOON, &a, text(60_000), stamp(seq)).await.unwrap();
    }
    let full = |error| matches!(error, AppendError::Publish(PublishError::Journal(JournalError::Full(_))));
    assert!(full(first.store.append(NOON, &a, text(60_000), stamp(17)).await.unwrap_err()));
    first.close().await;
    let again = open(disk.port(), retention, options()).await;
    assert_eq!((again.all(NOON, "a").await.len(), again.all(NOON, "b").await.len()), (17, 3));
    let twice = again.store.append(NOON, &a, text(1), stamp(16)).await;
    assert!(matches!(twice, Ok(Appended::Duplicate { last: 16, .. })));
    assert!(full(again.store.append(NOON, &a, text(60_000), stamp(17)).await.unwrap_err()));
    assert_eq!(again.store.purge(NOON, &a).await, Ok(Purged::Done));
    again.settle().await.unwrap();
    again.store.append(NOON, &a, text(60_000), stamp(17)).await.unwrap();
    // A channel that is not used is gone in its time, in memory or not.
    again.close().await;
    let third = open(disk.port(), retention, options()).await;
    assert_eq!(third.store.channels(), 2);
    third.store.tend(second(76)).await;
    assert_eq!(third.store.channels(), 0);
    third.close().await;
}

/// A read lengthens a sliding lifetime beyond a restart, however long ago the channel was swept.
#[tokio::test]
async fn the_use_of_a_reader_outlives_a_restart() {
    let disk = FakeDisk::default();
    let create = Create {
        content_type: Some(ContentType::parse("text/plain").unwrap()),
        lifetime: Some(Lifetime::Sliding(Duration::from_secs(60))),
        bounds: Bounds::UNLIMITED,
        payloads: [Payload::text("x")].into_iter().collect(),
        ending: Ending::Open,
        origin: None,
    };
    let first = open(disk.port(), unbounded(), options()).await;
    first.store.create(NOON, &name("a"), create).await.unwrap();
    let read = first.store.describe(second(50), &name("a"), Use::Renew).await;
    assert!(matches!(read, Ok(Standing::Live(_))));
    first.store.tend(second(50)).await;
    first.close().await;
    let again = open(disk.port(), unbounded(), options()).await;
    let a = name("a");
    let look = |at| again.store.describe(at, &a, Use::Look);
    assert!(matches!(look(second(109)).await, Ok(Standing::Live(_))));
    assert!(matches!(look(second(126)).await, Ok(Standing::Absent)));
    again.close().await;
}

/// What a deleted channel took is free without a restart, and without publishes to other channels.
#[tokio::test]
async fn deleting_a_channel_makes_room() {
    let disk = FakeDisk::default();
    let open = open(disk.port(), Retention { bytes: 1 << 20, ..unbounded() }, options()).await;
    let text = |bytes| [Payload::text("x".repeat(bytes))].into_iter().collect();
    let create = |payloads| Create {
        content_type: Some(ContentType::parse("text/plain").unwrap()),
        lifetime: None,
        bounds: Bounds::UNLIMITED,
        payloads,
        ending: Ending::Open,
        origin: None,
    };
    open.store.create(NOON, &name("a"), create(text(1_000_000))).await.unwrap();
    open.store.delete(NOON, &name("a")).await.unwrap();
    let made = async {
        while let Err(error) = open.store.create(NOON, &name("b"), create(text(1_000_000))).await {
            assert!(matches!(error, CreateError::Publish(PublishError::Journal(JournalError::Full(_)))));
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), made).await.unwrap();
    open.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn a_store_on_disk_is_like_the_model(steps in steps(0)) {
        check(&steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn what_is_salvaged_after_a_crash_is_what_is_exported(steps in steps(0)) {
        check_salvage(&steps);
    }
}

/// Bounds are in force once they are acknowledged, although the database does not have them yet.
#[tokio::test]
async fn a_sweep_deletes_nothing_that_newer_bounds_retain() {
    let disk = FakeDisk::default();
    let retention = Retention { age: Duration::from_secs(60), ..unbounded() };
    let first = open(disk.port(), retention, options()).await;
    first.send(second(0), "a", "kept").await;
    first.settle().await.unwrap();
    first.store.configure(second(1), &name("a"), Bounds::UNLIMITED).await.unwrap();
    first.journal.sweep(second(1_000));
    first.close().await;
    let again = open(disk.port(), retention, options()).await;
    assert_eq!(again.all(second(1_000), "a").await.len(), 1);
}
