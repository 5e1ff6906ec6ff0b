//! golongpoll's clients, each with its own bookkeeping of `since_time` and `last_id`. The edge is the server's timeout,
//! which is a whole number of seconds.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tokio::time::Instant;

use crate::http1::Connection;
use crate::line::token;
use crate::place::{Begin, Place};

/// The shortest timeout that the dialect knows.
const WAIT: Duration = Duration::from_secs(1);

/// What becomes of `since_time` when a poll times out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnTimeout {
    Keep,
    /// It is the answer's `timestamp` from then on.
    Take,
}

/// Whether the client says which event it has last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    Told,
    Unknown,
}

pub(crate) struct Golongpoll {
    address: SocketAddr,
    connection: Option<Connection>,
    on_timeout: OnTimeout,
    last: Last,
    since_time: Option<i64>,
    last_id: Option<String>,
}

impl Golongpoll {
    pub(super) fn new(address: SocketAddr, on_timeout: OnTimeout, last: Last) -> Self {
        Self { address, connection: None, on_timeout, last, since_time: None, last_id: None }
    }

    pub(crate) fn hang_up(&mut self) {
        self.connection = None;
    }

    pub(crate) async fn ask(&mut self, place: &mut Place) -> Result<()> {
        let target = self.target(place)?;
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(Connection::open(self.address).await?),
        };
        let deadline = Instant::now() + WAIT;
        place.announce(deadline);
        connection.ask("GET", &target, &[], "").await?;
        let answer = connection.answer().await?;
        answer.head.expect(200)?;
        let value: Value = serde_json::from_slice(&answer.body).context("an answer is not JSON")?;
        if let Some(events) = value["events"].as_array() {
            place.aim.caught(deadline, Instant::now());
            for event in events {
                place.saw_unnumbered(token(&event["data"])?);
                self.since_time = Some(event["timestamp"].as_i64().context("an event has no timestamp")?);
                self.last_id = Some(event["id"].as_str().context("an event has no id")?.to_owned());
            }
        } else if value["timeout"].is_string() {
            place.aim.ended(deadline, Instant::now());
            let told = value["timestamp"].as_i64().context("a timeout has no timestamp")?;
            if self.on_timeout == OnTimeout::Take {
                self.since_time = Some(told);
            }
        } else {
            bail!("no client should be told `{value}`");
        }
        Ok(())
    }

    fn target(&mut self, place: &Place) -> Result<String> {
        if self.since_time.is_none() {
            self.since_time = match (place.begin, self.on_timeout) {
                (Begin::Start, _) => Some(1),
                (Begin::Clock(skew), OnTimeout::Keep) => Some(clock()? + skew),
                // It begins with now, by the server's clock.
                (Begin::Clock(_), OnTimeout::Take) => None,
            };
        }
        let mut target = format!("/events?timeout={}&category={}", WAIT.as_secs(), place.channel);
        if let Some(since_time) = self.since_time {
            target.push_str(&format!("&since_time={since_time}"));
        }
        if let (Last::Told, Some(_), Some(last_id)) = (self.last, self.since_time, &self.last_id) {
            target.push_str(&format!("&last_id={last_id}"));
        }
        Ok(target)
    }
}

/// Milliseconds since the Unix epoch.
fn clock() -> Result<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?)
}
