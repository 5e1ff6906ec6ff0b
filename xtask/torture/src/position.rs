//! Where a reader is in its channel, what it was given, and how its next question looks.
//!
//! Shared by all patterns and dialects in all courses. What the messages mean is for the course to judge.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::aim::Aim;
use crate::payload::{self, Notice};

/// A message as a reader was given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its number, in the dialects that have numbers.
    pub seq: Option<u64>,
    /// The incarnation of the channel that its number belongs to, in the dialects that have cursors.
    pub epoch: Option<u64>,
    /// What its publisher called it.
    pub token: String,
}

/// What a reader may be told about its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notices {
    /// Nothing.
    Faults,
    /// That it is stalled.
    Stalls,
    /// That it was reset or is stalled.
    Expected,
    /// That messages are missing, too.
    Any,
}

/// Whether a reader is connected to the server itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A message is a chunk.
    Direct,
    /// Something on the way may have put chunks together or taken them apart.
    Relayed,
}

/// What a client of another dialect, or one that asks conditionally, keeps between two questions; nothing before the
/// first answer.
#[derive(Default)]
pub(super) struct Kept {
    /// The last message's id in the dialect, or the entity tag of a short poll.
    pub(super) id: Option<String>,
    /// The time to go on from.
    pub(super) time: Option<f64>,
}

/// A reader's position in its channel.
pub(super) struct Position {
    pub(super) channel: String,
    /// How wrong the clock is by which a client begins, in milliseconds; without one it begins with all that is retained.
    pub(super) clock: Option<f64>,
    /// How many times longer than necessary questions are left open.
    pub(super) slow: u32,
    /// Where to go on in the native dialect; none before the first answer.
    pub(super) cursor: Option<String>,
    pub(super) seen: Vec<Seen>,
    /// For each message when its question began, and when it was seen.
    pub(super) times: Vec<(Instant, Instant)>,
    /// How many messages had been seen at each reset, or when messages were said to be missing.
    pub(super) resets: Vec<usize>,
    /// How many messages each answer said were missing, in the dialects that say so by a header: by how many messages had
    /// been seen before it.
    pub(super) missed: HashMap<usize, u64>,
    pub(super) notices: Notices,
    pub(super) way: Way,
    /// How many were asked.
    pub(super) questions: u64,
    /// When the last one began.
    asked: Instant,
    pub(super) aim: Aim,
    /// Tells a publisher that aims at this reader's edges when the next one is.
    shooter: Option<watch::Sender<Instant>>,
}

impl Position {
    /// The beginning of a channel.
    pub(super) fn new(channel: &str, slow: u32, seed: u64) -> Self {
        Self {
            channel: channel.to_owned(),
            clock: None,
            slow,
            cursor: None,
            seen: Vec::new(),
            times: Vec::new(),
            resets: Vec::new(),
            missed: HashMap::new(),
            notices: Notices::Faults,
            way: Way::Direct,
            questions: 0,
            asked: Instant::now(),
            aim: Aim::new(seed),
            shooter: None,
        }
    }

    pub(super) fn aimed_at(self, shooter: watch::Sender<Instant>) -> Self {
        Self { shooter: Some(shooter), ..self }
    }

    /// How long to leave the next question open.
    pub(super) fn wait(&mut self, tenths_of_ms: std::ops::Range<u64>) -> Duration {
        self.aim.wait(tenths_of_ms) * self.slow
    }

    /// The `timeout` parameter for such a wait: the native and the channel dialect end a wait a thirtieth early.
    pub(super) fn timeout(wait: Duration) -> String {
        format!("{:.4}", wait.as_secs_f64() * 30.0 / 29.0)
    }

    /// Tells the shooter that a question begins which is to end at `deadline`.
    pub(super) fn announce(&mut self, deadline: Instant) {
        let edge = self.aim.edge(deadline);
        self.asked = Instant::now();
        self.questions += 1;
        if let Some(shooter) = &self.shooter {
            // It is gone once everything is published.
            let _ = shooter.send(edge);
        }
    }

    /// The query of the next native question.
    pub(super) fn query(&self) -> String {
        match &self.cursor {
            Some(cursor) => format!("channel={}&cursor={cursor}", self.channel),
            None => format!("channel={}&last_id=0", self.channel),
        }
    }

    /// Takes down a message of the native dialect, with the cursor that came with it or after it.
    pub(super) fn saw(&mut self, seq: u64, token: String, cursor: &str) -> Result<()> {
        self.seen.push(Seen { seq: Some(seq), epoch: Some(payload::epoch(cursor)?), token });
        self.times.push((self.asked, Instant::now()));
        Ok(())
    }

    /// Takes down a message of a dialect without numbers.
    pub(super) fn saw_unnumbered(&mut self, token: String) {
        self.seen.push(Seen { seq: None, epoch: None, token });
        self.times.push((self.asked, Instant::now()));
    }

    /// Takes down what was said of the log.
    pub(super) fn told(&mut self, notice: Notice) -> Result<()> {
        match (self.notices, notice) {
            (Notices::Stalls | Notices::Expected | Notices::Any, Notice::Stalled | Notice::Resumed) => {}
            (Notices::Expected | Notices::Any, Notice::Reset) | (Notices::Any, Notice::Missed) => {
                self.resets.push(self.seen.len());
            }
            _ => bail!("no reader should be told {notice:?}"),
        }
        Ok(())
    }
}
