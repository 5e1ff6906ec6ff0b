//! Seed 000's JavaScript clients, and one that follows the cursor.

use serde_json::{Value, json};

use super::{CHANNEL, Client, number, publish};
use crate::world::{Answer, World, pass};

fn shown(answer: &Value) -> Vec<Value> {
    answer["messages"].as_array().unwrap().iter().map(|message| number(&message["content"])).collect()
}

/// Seed 000's long poll: the last message's number, at once again, five seconds after an error.
pub(super) struct Long {
    last: u64,
    seconds: u64,
}

impl Long {
    pub(super) fn new(seconds: u64) -> Self {
        Self { last: 0, seconds }
    }
}

impl Client for Long {
    fn target(&self) -> String {
        format!("/api/longpoll?last_id={}&channel={CHANNEL}&timeout={}", self.last, self.seconds)
    }

    fn take(&mut self, answer: &Answer) -> (Vec<Value>, u64) {
        // Its JSON.parse fails on a problem's missing messages only by finding none; a 503 without JSON throws.
        if answer.status != 200 {
            return (Vec::new(), 5_000);
        }
        let answer = answer.json();
        for message in answer["messages"].as_array().unwrap() {
            self.last = message["id"].as_u64().unwrap();
        }
        (shown(&answer), 0)
    }
}

/// Seed 000's short poll: every five seconds, whatever came.
struct Short(u64);

impl Client for Short {
    fn target(&self) -> String {
        format!("/api/poll?last_id={}&channel={CHANNEL}", self.0)
    }

    fn take(&mut self, answer: &Answer) -> (Vec<Value>, u64) {
        let answer = answer.json();
        for message in answer["messages"].as_array().unwrap() {
            self.0 = message["id"].as_u64().unwrap();
        }
        (shown(&answer), 5_000)
    }
}

/// Goes on from the cursor of the last answer.
pub(super) struct Cursor {
    at: Option<String>,
    seconds: u64,
}

impl Cursor {
    pub(super) fn new(seconds: u64) -> Self {
        Self { at: None, seconds }
    }
}

impl Client for Cursor {
    fn target(&self) -> String {
        let at = self.at.as_ref().map_or(String::new(), |at| format!("&cursor={at}"));
        format!("/api/longpoll?channel={CHANNEL}&timeout={}{at}", self.seconds)
    }

    fn take(&mut self, answer: &Answer) -> (Vec<Value>, u64) {
        if answer.status != 200 {
            return (Vec::new(), 1_000);
        }
        self.at = Some(answer.cursor());
        (shown(&answer.json()), 0)
    }
}

#[tokio::test(start_paused = true)]
async fn the_short_poll_is_shown_everything_over_a_restart_too() {
    let mut world = World::new();
    let (mut client, mut seen, mut next) = (Short(0), Vec::new(), 1);
    for round in 0..20 {
        if round == 10 {
            world = world.restarted();
        }
        for _ in 0..(round % 4) {
            publish(&world, next).await;
            next += 1;
        }
        let (shown, wait) = client.take(&world.get(&client.target()).await);
        seen.extend(shown);
        pass(wait).await;
    }
    assert_eq!(seen, (1..next).map(|n| json!(n)).collect::<Vec<_>>());
}

/// Reads a chunk, splits it at line feeds, parses each line; keeps nothing from chunk to chunk.
#[tokio::test(start_paused = true)]
async fn the_stream_reader_is_given_whole_lines() {
    let world = World::new();
    publish(&world, 0).await;
    let mut wire = world.connect();
    wire.open(&format!("/api/stream?channel={CHANNEL}"), &[]).await;
    let publisher = {
        let world = world.clone();
        tokio::spawn(async move {
            for n in 1..=100 {
                publish(&world, n).await;
                pass(n % 3 * 9_000).await;
            }
        })
    };
    let mut seen = Vec::new();
    while seen.len() < 100 {
        let value = wire.chunk().await.unwrap();
        for line in value.split('\n').filter(|line| !line.trim().is_empty()) {
            let data: Value = serde_json::from_str(line).unwrap();
            if data["type"] == "update" {
                seen.push(number(&data["message"]));
            }
        }
    }
    publisher.await.unwrap();
    assert_eq!(seen, (1..=100).map(|n| json!(n)).collect::<Vec<_>>());
}
