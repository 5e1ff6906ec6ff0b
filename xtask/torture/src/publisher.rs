//! A publisher: one message at a time, after a pause or at an edge that a reader announces, also while servers die.
//!
//! With an `Idempotency-Key`, or a number of its own as a producer, it asks again until it is answered. Without one it cannot
//! know whether the message was kept, and goes on to the next.

use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use http::Request;
use http::header::CONTENT_TYPE;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::aim::{Aim, decide_by, in_window};
use crate::checker::{Log, Place, Sent, Told};
use crate::client::{Answer, Client, is_gone};
use crate::fixture::name;
use crate::payload;
use crate::route::Route;
use crate::tally::Tally;

/// Before another attempt, in tenths of a millisecond.
const AGAIN: std::ops::Range<u64> = 50..300;
/// Longer than any commit takes.
const SILENCE: Duration = Duration::from_secs(45);

/// The columns of a table of publishers; whether a cut request is a fault is for the course to say.
pub const COLUMNS: &[&str] = &[
    "publishers",
    "sent",
    "at edge",
    "acknowledged",
    "refused",
    "unsaid",
    "repeated",
    "cut",
    "lost",
    "doubled",
    "disorder",
    "moved",
    "lied",
];

/// Which way a message goes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Door {
    /// The native one, with a key
    NativeKeyed,
    /// The native one, without a key
    Native,
    /// That of golongpoll
    Golongpoll,
    /// That of the channel dialect
    Channel,
    /// That of chat
    Chat,
    /// That of Durable Streams, as a producer
    Producer,
}

impl Door {
    /// Whether it asks again until it is answered.
    fn repeats(self) -> bool {
        matches!(self, Self::NativeKeyed | Self::Producer)
    }
}

pub(super) struct Publisher {
    pub(super) door: Door,
    /// Each message goes to the next address, and so does each further attempt.
    pub(super) route: Route,
    pub(super) channel: String,
    /// Unlike every other publisher's.
    pub(super) name: String,
    pub(super) seed: u64,
    pub(super) pace: Pace,
    pub(super) stop: Stop,
}

/// When a publisher publishes its next message.
pub(super) enum Pace {
    /// After a pause, in tenths of a millisecond.
    Pause(std::ops::Range<u64>),
    /// Around the time at which a reader's wait ends.
    Edges(watch::Receiver<Instant>),
}

/// When to stop publishing.
#[derive(Clone, Debug)]
pub enum Stop {
    /// When it is told to.
    WhenTold(watch::Receiver<bool>),
    /// After so many publishes.
    After(u64),
    /// At this time.
    At(Instant),
}

impl Stop {
    pub(super) fn is_reached(&self, published: usize) -> bool {
        match self {
            Self::WhenTold(told) => *told.borrow(),
            Self::After(publishes) => published as u64 >= *publishes,
            Self::At(time) => Instant::now() >= *time,
        }
    }
}

#[derive(PartialEq, Eq)]
enum Answered {
    Anew(Option<Place>),
    /// By the key of an earlier attempt.
    Repeated(Option<Place>),
    /// It was not kept.
    Refused,
    /// It was not kept, and none will be: what the store holds of the channel is damaged.
    Damaged,
}

/// What a publisher did.
pub struct Published {
    /// Which way its messages went in.
    pub door: Door,
    /// Where it published.
    pub route: Route,
    /// The channel.
    pub channel: String,
    /// Its messages, in that order.
    pub sent: Vec<Sent>,
    /// How many of them left within the window around their edge.
    at_edge: u64,
    /// Attempts from which the server went away.
    gone: u64,
    /// Answers that told of a message published by an earlier attempt.
    repeated: u64,
    /// Whether its last message was refused because the channel is damaged.
    pub is_damaged: bool,
    /// What went wrong.
    pub faults: Vec<String>,
}

impl Published {
    /// Judges what was sent against the channel's log.
    pub fn judge(mut self, log: &Log, tally: &mut Tally) {
        if self.is_damaged {
            self.faults.push(format!("{} was refused as damaged", self.channel));
        }
        tally.add(&name(&self.door), [("at edge", self.at_edge)]);
        tally.add(&name(&self.door), log.judge_publisher(&self.sent));
        self.count(tally);
    }

    /// Counts what has nothing to do with the log.
    pub fn count(self, tally: &mut Tally) {
        let row = name(&self.door);
        tally.add(&row, [("publishers", 1), ("cut", self.gone), ("repeated", self.repeated)]);
        tally.faults.extend(self.faults);
    }
}

impl Publisher {
    /// Publishes until it is time to stop; then only what still needs an answer.
    pub(super) async fn run(mut self) -> Published {
        let mut published = Published {
            door: self.door,
            route: self.route.clone(),
            channel: self.channel.clone(),
            sent: Vec::new(),
            at_edge: 0,
            gone: 0,
            repeated: 0,
            is_damaged: false,
            faults: Vec::new(),
        };
        let (mut aim, mut turn) = (Aim::new(self.seed), 0);
        let mut client = Client::new(self.route.first());
        while !self.stop.is_reached(published.sent.len()) {
            match &mut self.pace {
                Pace::Pause(pause) => sleep(aim.wait(pause.clone())).await,
                Pace::Edges(edges) => {
                    let Ok(edge) = next_edge(edges).await else {
                        published.faults.push(format!("publisher {}: the reader has gone", self.name));
                        break;
                    };
                    let left = aim.shoot(edge).await;
                    published.at_edge += u64::from(in_window(edge, left));
                }
            }
            let token = format!("{}-{}", self.name, published.sent.len() + 1);
            self.take_turn(&mut turn, &mut client);
            published.is_damaged = false;
            let told = loop {
                if client.connect().await.is_ok() {
                    match self.attempt(&mut client, &token, published.sent.len()).await {
                        Ok(Answered::Anew(place)) => break Told::Kept(place),
                        Ok(Answered::Repeated(place)) => {
                            published.repeated += 1;
                            break Told::Kept(place);
                        }
                        // The key makes sure that no earlier attempt is doubled by the next.
                        Ok(Answered::Refused) if !self.door.repeats() => {
                            published.gone += 1;
                            break Told::Refused;
                        }
                        Ok(Answered::Refused) => {}
                        Ok(Answered::Damaged) => {
                            published.is_damaged = true;
                            // An earlier attempt may have been kept.
                            break if self.door.repeats() { Told::Nothing } else { Told::Refused };
                        }
                        Err(error) if !is_gone(&error) => {
                            published.faults.push(format!("publisher {token}: {error:#}"));
                            break Told::Nothing;
                        }
                        Err(_) if !self.door.repeats() => {
                            published.gone += 1;
                            break Told::Nothing;
                        }
                        Err(_) => client.hang_up(),
                    }
                }
                published.gone += 1;
                self.take_turn(&mut turn, &mut client);
                sleep(aim.wait(AGAIN)).await;
            };
            if told == Told::Nothing {
                client.hang_up();
            }
            published.sent.push(Sent { token, told, at: Instant::now().into_std() });
        }
        published
    }

    /// Turns to the next address, if there are several.
    fn take_turn(&self, turn: &mut usize, client: &mut Client) {
        if self.route.has_turns() {
            *turn += 1;
            *client = Client::new(self.route.at(*turn).address);
        }
    }

    /// Publishes the publisher's message of this number; the dialects that have cursors tell its place.
    async fn attempt(&self, client: &mut Client, token: &str, number: usize) -> Result<Answered> {
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
            Door::Producer => {
                let request = json(format!("/v1/stream/{}", self.channel)).header("producer-id", &self.name);
                let request = request.header("producer-epoch", 0).header("producer-seq", number);
                (request, json!([token]).to_string())
            }
        };
        let answer = timeout(SILENCE, client.ask(request, body)).await;
        let answer = answer.with_context(|| format!("no answer within {SILENCE:?}"))??;
        let is_native = matches!(self.door, Door::NativeKeyed | Door::Native);
        let is_repeated = self.door == Door::NativeKeyed && answer.status == 200;
        if is_refusal(&answer) {
            return Ok(if says(&answer, b"is damaged") { Answered::Damaged } else { Answered::Refused });
        }
        match (self.door, answer.status) {
            (Door::Producer, 200) => return Ok(Answered::Anew(None)),
            (Door::Producer, 204) => return Ok(Answered::Repeated(None)),
            // The first publish of any other publisher makes the stream.
            (Door::Producer, 404) => return Ok(Answered::Refused),
            _ => {}
        }
        let value = answer.json(if is_native && !is_repeated { 201 } else { 200 })?;
        let place = || -> Result<Place> {
            let seq = value["id"].as_u64().context("an acknowledgement has no id")?;
            let cursor = value["cursor"].as_str().context("an acknowledgement has no cursor")?;
            Ok(Place { epoch: payload::epoch(cursor)?, seq })
        };
        let place = is_native.then(place).transpose()?;
        Ok(if is_repeated { Answered::Repeated(place) } else { Answered::Anew(place) })
    }
}

/// Whether an answer promises that the message was not kept.
fn is_refusal(answer: &Answer) -> bool {
    let is_unknown = says(answer, b"/outcome-unknown") || says(answer, b"outcome is unknown");
    matches!(answer.status, 503 | 507) && !is_unknown
}

fn says(answer: &Answer, words: &[u8]) -> bool {
    memchr::memmem::find(&answer.body, words).is_some()
}

/// The edge of a question that is still open when it is time to aim. A question that was answered before has no edge
/// any more.
async fn next_edge(edges: &mut watch::Receiver<Instant>) -> Result<Instant, watch::error::RecvError> {
    edges.changed().await?;
    loop {
        let edge = *edges.borrow_and_update();
        match timeout_at(decide_by(edge), edges.changed()).await {
            Ok(changed) => changed?,
            Err(_) => return Ok(edge),
        }
    }
}
