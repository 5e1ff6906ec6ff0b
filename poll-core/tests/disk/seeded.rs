//! In a seeded environment on a paused runtime, a journal is deterministic to the last byte of its file.

use std::sync::Arc;
use std::time::Duration;

use poll_core::environment::Environment;
use poll_core::journal::disk::{DiskJournal, Durability, Options};
use poll_core::journal::{Archive, Tail};
use poll_core::{Memory, Payload, Publish, Retention, Store};

use crate::fake::{FakeDisk, Fault};
use crate::fixture::{name, unbounded};

/// What a run leaves behind: the disk's contents, and everything that publishers were told.
async fn run(seed: u64) -> (Vec<u8>, String) {
    let (environment, disk) = (Environment::seeded(seed), FakeDisk::default());
    let durability = Durability::Interval(Duration::from_millis(20));
    let options = Options { durability, tail: Tail { channels: 4, ..Tail::default() }, ..Options::default() };
    let retention = Retention { messages: 8, bytes: 40_000, ..unbounded() };
    let journal = DiskJournal::open(&environment, disk.port(), options, |_| {}).await.unwrap();
    let store = Store::within(environment.clone(), Arc::new(journal.clone()), retention, Memory::default());
    let mut told = String::new();
    for step in 0..400 {
        if step % 90 == 89 {
            // The writer opens the file again after a while.
            disk.fail(Fault::Sync(1));
        }
        let channel = name(&(environment.random() % 9).to_string());
        let publish = Publish::one(Payload::text("x".repeat((environment.random() % 700) as usize)));
        let now = environment.now();
        told += &format!("{channel} {:?}\n", store.publish(now, &channel, publish).await);
        store.sweep(now, 16);
        tokio::time::sleep(Duration::from_millis(environment.random() % 30)).await;
    }
    let mut health = journal.health();
    health.wait_for(|health| health.check_writable().is_ok()).await.unwrap();
    store.shut_down().await.unwrap();
    (disk.contents(), told)
}

#[tokio::test(start_paused = true)]
async fn a_run_on_a_seed_is_the_same_every_time() {
    let first = run(7).await;
    assert!(first.1.contains("Unavailable"), "the disk failed in between: {}", first.1);
    assert!(run(7).await == first);
    assert!(run(8).await != first);
}
