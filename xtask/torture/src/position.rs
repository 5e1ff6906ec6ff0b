//! Where a reader stands, what it was given, and how its next question is shaped.
//!
//! Shared by every pattern and dialect, in every course. What a sighting means is its owner's to judge.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::aim::{Aim, Edge};

/// A message as a reader was given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its number, if the dialect tells numbers.
    pub(super) seq: Option<u64>,
    /// What its publisher called it.
    pub(super) token: String,
}

/// Where a client that goes by the time begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// With all that is retained.
    Start,
    /// As its own library begins: by a clock that is wrong by so many milliseconds, where it has one.
    Clock(i64),
}

/// How long questions are left open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// As briefly as the pattern's edge can be aimed at.
    Edge,
    /// So many times longer.
    Slow(u32),
}

/// A reader's place in its channel.
pub(super) struct Place {
    pub(super) channel: String,
    pub(super) begin: Begin,
    pub(super) pace: Pace,
    /// Where to go on; none before the first answer. Of the native dialect; the others keep their own.
    pub(super) cursor: Option<String>,
    /// What was given and not yet taken by the owner.
    pub(super) seen: Vec<Seen>,
    /// Which question is being asked, from 1.
    pub(super) question: u64,
    pub(super) aim: Aim,
    /// When the question being asked was asked to end.
    pub(super) deadline: Option<Instant>,
    /// Who aims at this reader's edges, if anyone does.
    edges: Option<watch::Sender<Edge>>,
}

impl Place {
    /// A place at the beginning of a channel.
    pub(super) fn new(channel: &str, begin: Begin, pace: Pace, seed: u64) -> Self {
        Self {
            channel: channel.to_owned(),
            begin,
            pace,
            cursor: None,
            seen: Vec::new(),
            question: 0,
            aim: Aim::new(seed),
            deadline: None,
            edges: None,
        }
    }

    /// Someone who aims at this reader's edges.
    pub(super) fn aimed_at(mut self, edges: watch::Sender<Edge>) -> Self {
        self.edges = Some(edges);
        self
    }

    /// How long to leave the next question open.
    pub(super) fn wait(&mut self, tenths_of_ms: std::ops::Range<u64>) -> Duration {
        let wait = self.aim.wait(tenths_of_ms);
        match self.pace {
            Pace::Edge => wait,
            Pace::Slow(times) => wait * times,
        }
    }

    /// The `timeout` to ask for to be left waiting so long: the native and the channel dialect end a wait a thirtieth
    /// early.
    pub(super) fn timeout(wait: Duration) -> String {
        format!("{:.4}", wait.as_secs_f64() * 30.0 / 29.0)
    }

    /// Tells who aims when this question is expected to end, if it is asked to end at `deadline`.
    pub(super) fn announce(&mut self, deadline: Instant) {
        let at = self.aim.edge(deadline);
        self.deadline = Some(deadline);
        if let Some(edges) = &self.edges {
            // The publisher is gone once it has published all; the reader only follows then.
            let _ = edges.send(Edge { question: self.question, at });
        }
    }

    /// The query of the next native question. Without a cursor a reader starts with the first message there ever was.
    pub(super) fn query(&self) -> String {
        match &self.cursor {
            Some(cursor) => format!("channel={}&cursor={cursor}", self.channel),
            None => format!("channel={}&last_id=0", self.channel),
        }
    }

    /// Takes down a numbered message.
    pub(super) fn saw(&mut self, seq: u64, token: String) {
        self.seen.push(Seen { seq: Some(seq), token });
    }

    /// Takes down a message of a dialect without numbers.
    pub(super) fn saw_unnumbered(&mut self, token: String) {
        self.seen.push(Seen { seq: None, token });
    }
}
