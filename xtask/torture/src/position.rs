//! Where a reader is in its channel, what it was given, and how its next question looks.
//!
//! Shared by all patterns and dialects in all courses. What the messages mean is for the course to judge.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::aim::Aim;

/// A message as a reader was given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its number, in the dialects that have numbers.
    pub(super) seq: Option<u64>,
    /// What its publisher called it.
    pub(super) token: String,
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
    /// How many were asked.
    pub(super) questions: u64,
    pub(super) aim: Aim,
    /// Whoever aims at this reader's edges.
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
            questions: 0,
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

    /// Takes down a message; dialects without numbers have no `seq`.
    pub(super) fn saw(&mut self, seq: Option<u64>, token: String) {
        self.seen.push(Seen { seq, token });
    }
}
