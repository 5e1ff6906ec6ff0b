//! golongpoll's clients: in JavaScript, in Go, and older ones that know no ids.

use serde_json::Value;

use super::{CHANNEL, Client, number};
use crate::world::Answer;

const RETRY: u64 = 30_000;

/// Begins at its browser's clock, keeps its time on a timeout, and takes time and id of each event.
pub(super) struct JavaScript {
    since: i64,
    last: String,
    seconds: u64,
}

impl JavaScript {
    pub(super) fn new(clock: i64, seconds: u64) -> Self {
        Self { since: clock, last: String::new(), seconds }
    }
}

impl Client for JavaScript {
    fn target(&self) -> String {
        let Self { since, last, seconds } = self;
        format!("/events?category={CHANNEL}&timeout={seconds}&since_time={since}&last_id={last}")
    }

    fn take(&mut self, answer: &Answer) -> (Vec<Value>, u64) {
        if answer.status != 200 {
            return (Vec::new(), RETRY);
        }
        let answer = answer.json();
        let Some(events) = answer["events"].as_array() else {
            return (Vec::new(), if answer["timeout"].is_string() { 0 } else { RETRY });
        };
        for event in events {
            self.since = event["timestamp"].as_i64().unwrap();
            self.last = event["id"].as_str().unwrap().to_owned();
        }
        (events.iter().map(|event| number(&event["data"])).collect(), 0)
    }
}

/// Begins at a whole second, and takes a timeout's time if it is later than its own, with its id kept.
pub(super) struct Go {
    since: u64,
    last: String,
    seconds: u64,
}

impl Go {
    pub(super) fn starting(millis: u64, seconds: u64) -> Self {
        Self { since: millis / 1_000 * 1_000, last: String::new(), seconds }
    }
}

impl Client for Go {
    fn target(&self) -> String {
        let Self { since, last, seconds } = self;
        let last = if last.is_empty() { String::new() } else { format!("&last_id={last}") };
        // Its library sorts parameters.
        format!("/events?category={CHANNEL}{last}&since_time={since}&timeout={seconds}")
    }

    fn take(&mut self, answer: &Answer) -> (Vec<Value>, u64) {
        if answer.status != 200 {
            return (Vec::new(), RETRY);
        }
        let answer = answer.json();
        if answer["error"].is_string() {
            return (Vec::new(), RETRY);
        }
        let Some(events) = answer["events"].as_array() else {
            self.since = self.since.max(answer["timestamp"].as_u64().unwrap());
            return (Vec::new(), 0);
        };
        for event in events {
            self.since = event["timestamp"].as_u64().unwrap();
            self.last = event["id"].as_str().unwrap().to_owned();
        }
        (events.iter().map(|event| number(&event["data"])).collect(), 0)
    }
}

/// Goes on by time alone.
pub(super) struct Older {
    since: i64,
    seconds: u64,
    timeout: Timeout,
}

/// What an older client does with a timeout's time.
enum Timeout {
    /// As the examples' pages.
    Ignored,
    /// As the README says.
    Taken,
}

impl Older {
    pub(super) fn keeping(clock: i64, seconds: u64) -> Self {
        Self { since: clock, seconds, timeout: Timeout::Ignored }
    }

    pub(super) fn told(clock: i64, seconds: u64) -> Self {
        Self { since: clock, seconds, timeout: Timeout::Taken }
    }
}

impl Client for Older {
    fn target(&self) -> String {
        format!("/events?timeout={}&category={CHANNEL}&since_time={}", self.seconds, self.since)
    }

    fn take(&mut self, answer: &Answer) -> (Vec<Value>, u64) {
        if answer.status != 200 {
            return (Vec::new(), RETRY);
        }
        let answer = answer.json();
        match (answer["events"].as_array(), &self.timeout) {
            (None, Timeout::Ignored) => {}
            (None, Timeout::Taken) => self.since = answer["timestamp"].as_i64().unwrap(),
            (Some(events), _) => {
                self.since = events.last().unwrap()["timestamp"].as_i64().unwrap();
                return (events.iter().map(|event| number(&event["data"])).collect(), 10);
            }
        }
        (Vec::new(), 10)
    }
}
