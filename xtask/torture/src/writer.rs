//! A publisher that goes on through the server's deaths.
//!
//! One message at a time. With an `Idempotency-Key` it asks again until it is answered; without one it may not, since it
//! cannot know whether the message is kept, and goes on to the next.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::ledger::{Sent, Told};
use crate::aim::Aim;
use crate::gone::is_gone;
use crate::http1::{Answer, Connection};

/// Between two messages, and before another attempt, in tenths of a millisecond.
const PAUSE: std::ops::Range<u64> = 200..1_500;
const AGAIN: std::ops::Range<u64> = 50..300;
/// Longer than any commit takes by far.
const SILENCE: Duration = Duration::from_secs(30);

/// Which way a message goes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Door {
    Keyed,
    Bare,
    Golongpoll,
    Channel,
    Chat,
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Keyed => "native, key",
            Self::Bare => "native, no key",
            Self::Golongpoll => "golongpoll",
            Self::Channel => "channel",
            Self::Chat => "chat",
        })
    }
}

pub(super) struct Writer {
    pub(super) door: Door,
    pub(super) address: SocketAddr,
    pub(super) channel: String,
    /// Unlike every other publisher's.
    pub(super) name: String,
    pub(super) seed: u64,
}

/// What a publisher did.
pub(super) struct Written {
    pub(super) door: Door,
    pub(super) channel: String,
    pub(super) sent: Vec<Sent>,
    /// Attempts that the server went away from.
    pub(super) gone: u64,
    /// Answers that told of a message published by an earlier attempt.
    pub(super) repeated: u64,
    pub(super) faults: Vec<String>,
}

enum Attempt {
    Answered(Option<u64>),
    /// The server went away before it could have had the message.
    Unsent,
    Unanswered,
}

impl Writer {
    /// Publishes until told to stop; then only what still needs an answer.
    pub(super) async fn run(self, stop: watch::Receiver<bool>) -> Written {
        let mut written = Written {
            door: self.door,
            channel: self.channel.clone(),
            sent: Vec::new(),
            gone: 0,
            repeated: 0,
            faults: Vec::new(),
        };
        let (mut aim, mut connection) = (Aim::new(self.seed), None);
        while !*stop.borrow() {
            let token = format!("{}-{}", self.name, written.sent.len() + 1);
            let told = loop {
                match self.attempt(&mut connection, &token, &mut written).await {
                    Ok(Attempt::Answered(seq)) => break Told::Kept(seq),
                    Ok(Attempt::Unanswered) if self.door != Door::Keyed => break Told::Nothing,
                    Ok(Attempt::Unanswered | Attempt::Unsent) => {}
                    Err(fault) => {
                        written.faults.push(format!("publisher {token}: {fault:#}"));
                        connection = None;
                        break Told::Nothing;
                    }
                }
                written.gone += 1;
                connection = None;
                sleep(aim.wait(AGAIN)).await;
            };
            if told == Told::Nothing {
                written.gone += 1;
                connection = None;
            }
            written.sent.push(Sent { token, told });
            sleep(aim.wait(PAUSE)).await;
        }
        written
    }

    async fn attempt(
        &self,
        connection: &mut Option<Connection>,
        token: &str,
        written: &mut Written,
    ) -> Result<Attempt> {
        let open = match connection {
            Some(open) => open,
            none => match Connection::open(self.address).await {
                Ok(open) => none.insert(open),
                Err(_) => return Ok(Attempt::Unsent),
            },
        };
        let answer = match timeout(SILENCE, self.post(open, token)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) if is_gone(&error) => return Ok(Attempt::Unanswered),
            Ok(Err(error)) => return Err(error),
            Err(_) => anyhow::bail!("no answer within {SILENCE:?}"),
        };
        if answer.head.status == 503 {
            return Ok(Attempt::Unanswered);
        }
        let value: Value = serde_json::from_slice(&answer.body).context("an acknowledgement is not JSON")?;
        let due: &[u16] = match self.door {
            Door::Keyed => &[200, 201],
            Door::Bare => &[201],
            Door::Golongpoll | Door::Channel | Door::Chat => &[200],
        };
        ensure!(due.contains(&answer.head.status), "status {} and {value}", answer.head.status);
        written.repeated += u64::from(self.door == Door::Keyed && answer.head.status == 200);
        Ok(Attempt::Answered(match self.door {
            Door::Keyed | Door::Bare => Some(value["id"].as_u64().context("an acknowledgement has no id")?),
            Door::Golongpoll | Door::Channel | Door::Chat => None,
        }))
    }

    async fn post(&self, connection: &mut Connection, token: &str) -> Result<Answer> {
        let json = [("Content-Type", "application/json")];
        let native = format!("/api/message?channel={}", self.channel);
        let asked = match self.door {
            Door::Keyed => {
                let headers = [("Content-Type", "text/plain"), ("Idempotency-Key", token)];
                connection.ask("POST", &native, &headers, token).await
            }
            Door::Bare => connection.ask("POST", &native, &[("Content-Type", "text/plain")], token).await,
            Door::Golongpoll => {
                let body = json!({ "category": self.channel, "data": token }).to_string();
                connection.ask("POST", "/publish", &json, &body).await
            }
            Door::Channel => {
                let body = json!({ "token": token }).to_string();
                connection.ask("POST", &format!("/api/publish/{}", self.channel), &json, &body).await
            }
            Door::Chat => {
                connection.ask("POST", "/messages", &json, &json!({ "body": token }).to_string()).await
            }
        };
        asked?;
        connection.answer().await
    }
}
