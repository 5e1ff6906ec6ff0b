//! While the store accepts no messages, every stream says so once, and says once when that is over.

use poll_core::Store;
use poll_core::journal::{Fault, FaultKind, Health};
use serde_json::json;

use crate::shelf::{Shelf, content};
use crate::world::{Wire, World, pass, settle};

const EVENTS: (&str, &str) = ("accept", "text/event-stream");

/// A server above a journal that has two messages in every channel.
fn world() -> (std::sync::Arc<Shelf>, World) {
    let (shelf, store): (_, Store) = Shelf::store(2, &[]);
    (shelf, World::over(store))
}

fn away() -> Health {
    Health::Away(Fault::new(FaultKind::Failing, "away"))
}

fn cursor(number: u64) -> String {
    format!("{:016x}{number:016x}", 0xE)
}

/// What a stream at the second message says.
fn line(kind: &str) -> String {
    format!("{{\"type\":\"{kind}\",\"cursor\":\"{}\"}}\n", cursor(2))
}

async fn opened(world: &World, target: &str) -> Wire {
    let mut wire = world.connect();
    wire.open(target, &[]).await;
    assert_eq!(wire.json_line().await["type"], "connected");
    wire
}

#[tokio::test(start_paused = true)]
async fn every_stream_says_once_that_it_stalled_and_once_that_it_resumed() {
    let (shelf, world) = world();
    let mut wires = vec![
        opened(&world, "/api/stream?channel=alone").await,
        opened(&world, "/api/stream?channel=c").await,
        opened(&world, "/api/stream?channel=c").await,
        opened(&world, "/api/push?channel=c").await,
    ];
    let mut job = world.connect();
    job.open("/api/progress/job", &[]).await;
    for number in 1..=2 {
        assert_eq!(job.json_line().await["step"], number);
    }
    wires.push(job);
    let mut events = world.connect();
    events.open("/api/stream?channel=c", &[EVENTS]).await;
    events.chunk().await;
    for _ in 0..3 {
        let begun = world.millis();
        // One kind of fault after another is no news.
        for health in [away(), Health::Refusing(Fault::new(FaultKind::Full, "full")), away()] {
            shelf.health.send_replace(health);
            settle().await;
        }
        for wire in &mut wires {
            assert_eq!(wire.chunk().await.unwrap(), line("stalled"));
        }
        assert_eq!(events.chunk().await.unwrap(), format!("event: stalled\ndata: {}\n", line("stalled")));
        assert!(world.millis() - begun < 5, "at once");
        pass(1_000).await;
        shelf.health.send_replace(Health::Ready);
        for wire in &mut wires {
            assert_eq!(wire.chunk().await.unwrap(), line("resumed"));
        }
        assert_eq!(events.chunk().await.unwrap(), format!("event: resumed\ndata: {}\n", line("resumed")));
        let resumed = world.millis();
        for wire in &mut wires {
            assert_eq!(wire.json_line().await["type"], "heartbeat");
        }
        events.chunk().await;
        assert!((15_000..15_100).contains(&(world.millis() - resumed)), "counted from the last line");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_opened_meanwhile_says_it_behind_what_it_has_to_give() {
    let (shelf, world) = world();
    world.get("/api/poll?channel=c").await;
    shelf.health.send_replace(away());
    settle().await;
    let mut wire = opened(&world, "/api/stream?channel=c").await;
    assert_eq!(wire.chunk().await.unwrap(), line("stalled"));
    let mut behind = opened(&world, "/api/stream?channel=c&last_id=0").await;
    for number in 1..=2 {
        assert_eq!(behind.json_line().await["message"], content(number));
    }
    assert_eq!(behind.chunk().await.unwrap(), line("stalled"));
    let silent = opened(&world, "/api/stream?channel=c").await;
    for wire in [&mut wire, &mut behind] {
        shelf.health.send_replace(Health::Ready);
        assert_eq!(wire.chunk().await.unwrap(), line("resumed"));
    }
    drop(silent);
    // What was over before anybody looked is not told.
    shelf.health.send_replace(away());
    shelf.health.send_replace(Health::Ready);
    world.publish("c", "new").await;
    for wire in [&mut wire, &mut behind] {
        assert_eq!(wire.json_line().await["id"], 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_waits_for_the_archive_says_it_too() {
    let (shelf, world) = world();
    let mut wire = opened(&world, "/api/stream?channel=c").await;
    shelf.hold();
    let mut behind = opened(&world, "/api/stream?channel=c&last_id=0").await;
    settle().await;
    assert_eq!(shelf.asked(), 1);
    for _ in 0..2 {
        shelf.health.send_replace(away());
        assert_eq!(wire.chunk().await.unwrap(), line("stalled"));
        assert_eq!(behind.json_line().await, json!({"type": "stalled", "cursor": cursor(0)}));
        shelf.health.send_replace(Health::Ready);
        assert_eq!(wire.chunk().await.unwrap(), line("resumed"));
        assert_eq!(behind.json_line().await, json!({"type": "resumed", "cursor": cursor(0)}));
    }
    shelf.let_go();
    for number in 1..=2 {
        assert_eq!(behind.json_line().await["message"], content(number));
    }
}

#[tokio::test(start_paused = true)]
async fn readers_that_are_written_to_together_say_it_and_stay_together() {
    let (shelf, world) = world();
    let mut wires = Vec::new();
    for _ in 0..5 {
        wires.push(opened(&world, "/api/stream?channel=c").await);
    }
    let mut id = 2;
    for round in 0..6 {
        for _ in 0..3 {
            world.publish("c", "x").await;
            id += 1;
            for wire in &mut wires {
                assert_eq!(wire.json_line().await["id"], id);
            }
        }
        let (health, kind) = if round % 2 == 0 { (away(), "stalled") } else { (Health::Ready, "resumed") };
        shelf.health.send_replace(health);
        let expected = json!({"type": kind, "cursor": cursor(id)});
        for wire in &mut wires {
            assert_eq!(wire.json_line().await, expected);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_several_channels_says_it_once_with_the_position_in_all() {
    let (shelf, world) = world();
    let mut wire = opened(&world, "/api/stream?channel=a&channel=b").await;
    for (health, kind) in [(away(), "stalled"), (Health::Ready, "resumed")] {
        shelf.health.send_replace(health);
        let line = wire.json_line().await;
        assert_eq!(line["type"], kind);
        let position = line["cursor"].as_str().unwrap();
        let polled = world.get(&format!("/api/poll?channel=a&channel=b&cursor={position}")).await;
        assert_eq!(polled.json()["count"], 0);
    }
    world.publish("b", "new").await;
    assert_eq!(wire.json_line().await["message"], "new");
}

/// Changes come while sockets are handed over to the broadcast and taken back, on several threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_change_reaches_every_stream_whenever_it_comes() {
    let (shelf, world) = world();
    let mut readers = Vec::new();
    let rounds = 301;
    for _ in 0..4 {
        let mut wire = opened(&world, "/api/stream?channel=c").await;
        readers.push(tokio::spawn(async move {
            let (mut newest, mut told) = (2, "resumed".to_owned());
            while newest < 2 + rounds || told == "resumed" {
                let line = wire.json_line().await;
                if line["type"] == "update" {
                    newest += 1;
                    assert_eq!(line["id"], newest);
                } else {
                    let kind = line["type"].as_str().unwrap();
                    assert_ne!(kind, told, "by turns");
                    told = kind.to_owned();
                }
            }
        }));
    }
    for round in 0..rounds {
        shelf.health.send_replace(if round % 2 == 0 { away() } else { Health::Ready });
        world.fill("c", 1, "x").await;
        for _ in 0..round % 4 {
            tokio::task::yield_now().await;
        }
    }
    for reader in readers {
        // Much sooner than a heartbeat, with which it would be noticed at last.
        tokio::time::timeout(std::time::Duration::from_secs(10), reader).await.unwrap().unwrap();
    }
}
