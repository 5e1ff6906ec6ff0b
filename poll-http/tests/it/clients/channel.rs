//! Seed 003's clients: LongPollingClient in JavaScript, which goes on by time, and a poll by the last id.

use serde_json::{Value, json};

use super::{CHANNEL, Client, number, publish};
use crate::world::{Answer, World};

/// Reads `data` alone, goes on from `timestamp`, and gives up after five failures in a row.
pub(super) struct LongPollingClient {
    last: Value,
    seconds: u64,
    failures: u32,
}

impl LongPollingClient {
    pub(super) fn new(seconds: u64) -> Self {
        Self { last: json!(0), seconds, failures: 0 }
    }

    fn is_running(&self) -> bool {
        self.failures < 5
    }
}

impl Client for LongPollingClient {
    fn target(&self) -> String {
        // A number in a template literal is its shortest text that is the same double, as here.
        format!("/api/poll/{CHANNEL}?since={}&timeout={}", self.last, self.seconds)
    }

    fn take(&mut self, answer: &Answer) -> (Vec<Value>, u64) {
        assert!(self.is_running());
        if !(200..300).contains(&answer.status) {
            self.failures += 1;
            return (Vec::new(), (1_000 << (self.failures - 1)).min(30_000));
        }
        self.failures = 0;
        let answer = answer.json();
        if answer["status"] != "message" {
            return (Vec::new(), 0);
        }
        self.last = json!(answer["timestamp"].as_f64().unwrap());
        (vec![number(&answer["data"])], 0)
    }
}

/// Reads `messages`, and goes on from the last one's id.
pub(super) struct Python {
    last: Option<String>,
    seconds: u64,
}

impl Python {
    pub(super) fn new(seconds: u64) -> Self {
        Self { last: None, seconds }
    }
}

impl Client for Python {
    fn target(&self) -> String {
        let last = self.last.as_ref().map_or(String::new(), |last| format!("&last_message_id={last}"));
        format!("/api/poll/{CHANNEL}?timeout={}{last}", self.seconds)
    }

    fn take(&mut self, answer: &Answer) -> (Vec<Value>, u64) {
        if answer.status != 200 {
            return (Vec::new(), 1_000);
        }
        let answer = answer.json();
        let messages = answer["messages"].as_array().unwrap();
        assert_eq!(answer["count"], messages.len());
        if let Some(message) = messages.last() {
            self.last = Some(message["id"].as_str().unwrap().to_owned());
        }
        (messages.iter().map(number).collect(), 0)
    }
}

#[tokio::test(start_paused = true)]
async fn the_javascript_client_gives_up_only_after_five_failures_in_a_row() {
    let world = World::new();
    publish(&world, 1).await;
    let mut client = LongPollingClient::new(30);
    let refused = Answer { status: 429, fields: Vec::new(), body: Vec::new() };
    for _ in 0..2 {
        for wait in [1_000, 2_000, 4_000, 8_000] {
            assert_eq!(client.take(&refused), (Vec::new(), wait));
        }
        client.take(&world.get(&client.target()).await);
        assert!(client.is_running());
    }
}
