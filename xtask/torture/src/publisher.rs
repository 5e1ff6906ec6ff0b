//! A publisher that goes on while servers die.
//!
//! One message at a time. With an `Idempotency-Key` it asks again until it is answered. Without one it cannot know
//! whether the message was kept, and goes on to the next.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use http::Request;
use http::header::CONTENT_TYPE;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::aim::Aim;
use crate::checker::{Log, Sent, Told};
use crate::client::{Client, is_gone};
use crate::fixture::name;
use crate::tally::Tally;

/// Before another attempt, in tenths of a millisecond.
const AGAIN: std::ops::Range<u64> = 50..300;
/// Longer than any commit takes.
const SILENCE: Duration = Duration::from_secs(30);

/// The columns of a table of publishers; whether a cut request is a fault is for the course to say.
pub(super) const COLUMNS: &[&str] = &[
    "publishers",
    "sent",
    "acknowledged",
    "unsaid",
    "repeated",
    "cut",
    "lost",
    "doubled",
    "disorder",
    "moved",
];

/// Which way a message goes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Door {
    NativeKeyed,
    Native,
    Golongpoll,
    Channel,
    Chat,
}

pub(super) struct Publisher {
    pub(super) door: Door,
    pub(super) address: SocketAddr,
    pub(super) channel: String,
    /// Unlike every other publisher's.
    pub(super) name: String,
    pub(super) seed: u64,
    /// Between two messages, in tenths of a millisecond.
    pub(super) pause: std::ops::Range<u64>,
}

#[derive(PartialEq, Eq)]
enum Answered {
    Anew,
    /// By the key of an earlier attempt.
    Repeated,
}

/// What a publisher did.
pub(super) struct Published {
    door: Door,
    pub(super) channel: String,
    sent: Vec<Sent>,
    /// Attempts from which the server went away.
    gone: u64,
    /// Answers that told of a message published by an earlier attempt.
    repeated: u64,
    faults: Vec<String>,
}

impl Published {
    /// Judges what was sent against the channel's log.
    pub(super) fn judge(self, log: &Log, tally: &mut Tally) {
        let row = name(&self.door);
        tally.add(&row, [("publishers", 1), ("cut", self.gone), ("repeated", self.repeated)]);
        tally.add(&row, log.judge_publisher(&self.sent));
        tally.faults.extend(self.faults);
    }
}

impl Publisher {
    /// Publishes until told to stop; then only what still needs an answer.
    pub(super) async fn run(self, stop: watch::Receiver<bool>) -> Published {
        let (door, channel) = (self.door, self.channel.clone());
        let mut published =
            Published { door, channel, sent: Vec::new(), gone: 0, repeated: 0, faults: Vec::new() };
        let (mut aim, mut client) = (Aim::new(self.seed), Client::new(self.address));
        while !*stop.borrow() {
            let token = format!("{}-{}", self.name, published.sent.len() + 1);
            let told = loop {
                if client.connect().await.is_ok() {
                    match self.attempt(&mut client, &token).await {
                        Ok((seq, answer)) => {
                            published.repeated += u64::from(answer == Answered::Repeated);
                            break Told::Kept(seq);
                        }
                        Err(error) if !is_gone(&error) => {
                            published.faults.push(format!("publisher {token}: {error:#}"));
                            break Told::Nothing;
                        }
                        Err(_) if self.door != Door::NativeKeyed => {
                            published.gone += 1;
                            break Told::Nothing;
                        }
                        Err(_) => client.hang_up(),
                    }
                }
                published.gone += 1;
                sleep(aim.wait(AGAIN)).await;
            };
            if told == Told::Nothing {
                client.hang_up();
            }
            published.sent.push(Sent { token, told });
            sleep(aim.wait(self.pause.clone())).await;
        }
        published
    }

    /// The number that was acknowledged, in the dialects that have numbers.
    async fn attempt(&self, client: &mut Client, token: &str) -> Result<(Option<u64>, Answered)> {
        let json = |target: String| Request::post(target).header(CONTENT_TYPE, "application/json");
        let native = || {
            let target = format!("/api/message?channel={}", self.channel);
            Request::post(target).header(CONTENT_TYPE, "text/plain")
        };
        let (request, body) = match self.door {
            Door::NativeKeyed => (native().header("idempotency-key", token), token.to_owned()),
            Door::Native => (native(), token.to_owned()),
            Door::Golongpoll => {
                (json("/publish".to_owned()), json!({ "category": self.channel, "data": token }).to_string())
            }
            Door::Channel => {
                (json(format!("/api/publish/{}", self.channel)), json!({ "token": token }).to_string())
            }
            Door::Chat => (json("/messages".to_owned()), json!({ "body": token }).to_string()),
        };
        let answer = timeout(SILENCE, client.ask(request, body)).await;
        let answer = answer.with_context(|| format!("no answer within {SILENCE:?}"))??;
        let is_native = matches!(self.door, Door::NativeKeyed | Door::Native);
        let is_repeated = self.door == Door::NativeKeyed && answer.status == 200;
        let value = answer.json(if is_native && !is_repeated { 201 } else { 200 })?;
        let seq = || value["id"].as_u64().context("an acknowledgement has no id");
        let how = if is_repeated { Answered::Repeated } else { Answered::Anew };
        Ok((is_native.then(seq).transpose()?, how))
    }
}
