//! The gap: publishes aimed around the moment at which polls time out, under every client's rule.
//!
//! Polls last a second and all clients poll without a pause, so each round has one publish, or several in one
//! millisecond, within three milliseconds of some dozens of timeouts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::clients::{Diary, every, publish, run};
use crate::world::{World, pass};

/// Rounds; each aims at the timeout of every client once.
const ROUNDS: u64 = 256;

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_at_the_edge_of_a_poll_and_nothing_comes_twice() {
    let world = World::new();
    let total: u64 = (0..ROUNDS).map(|round| 1 + round % 3).sum();
    let begun = Arc::new(AtomicU64::new(0));
    let mut running = Vec::new();
    for (name, mut client) in every(&world, 1) {
        let (world, begun) = (world.clone(), begun.clone());
        running.push(tokio::spawn(async move {
            let mut diary = Diary::default();
            run(&world, &mut *client, &mut diary, &json!(total), &begun).await;
            (name, diary)
        }));
    }
    let mut next = 1;
    for round in 0..ROUNDS {
        // From three milliseconds before a timeout to as many after it, in quarters; a timeout is up to a tick of
        // eight milliseconds late.
        let quarters = round * 7 % 64;
        pass(30).await;
        let due = begun.load(Ordering::Relaxed) + 1_000 + quarters / 4 - 3;
        pass(due.saturating_sub(world.millis())).await;
        tokio::time::advance(Duration::from_micros(quarters % 4 * 250)).await;
        for _ in 0..=round % 3 {
            publish(&world, next).await;
            next += 1;
            tokio::time::advance(Duration::from_micros(60)).await;
        }
    }
    let mut polls = 0;
    for client in running {
        let (name, diary) = client.await.unwrap();
        let strange = diary.seen.iter().zip(1..).find(|(shown, number)| **shown != json!(number));
        assert_eq!((strange, diary.seen.len() as u64), (None::<(_, u64)>, total), "{name}: lost, or twice");
        polls += diary.requests;
    }
    assert!(polls > 4_000, "{polls}");
}

#[tokio::test(start_paused = true)]
async fn two_events_in_one_millisecond_both_arrive() {
    let world = World::new();
    for (name, mut client) in every(&world, 2) {
        let world = World::new();
        pass(5).await;
        let publisher = {
            let world = world.clone();
            tokio::spawn(async move {
                for pair in 0..50 {
                    pass(pair % 5).await;
                    publish(&world, 2 * pair + 1).await;
                    // Time enough for the first to be given, were it given at once.
                    for _ in 0..50 {
                        tokio::task::yield_now().await;
                    }
                    tokio::time::advance(Duration::from_micros(400)).await;
                    publish(&world, 2 * pair + 2).await;
                }
            })
        };
        let mut diary = Diary::default();
        run(&world, &mut *client, &mut diary, &json!(100), &AtomicU64::new(0)).await;
        publisher.await.unwrap();
        assert_eq!(diary.seen, (1..=100).map(|n| json!(n)).collect::<Vec<_>>(), "{name}");
    }
}
