//! A channel with one publisher and one reader, raced to its end.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::aim::{Aim, Edge};
use super::publisher;
use super::reader::{Pattern, Reader};
use crate::history::{History, Verdict};

/// Questions in a row without a message after which what is still missing counts as lost. Each waits for tens of
/// milliseconds, so this is a second or two.
const PATIENCE: u64 = 40;

/// When publishers stop.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stop {
    /// After so many publishes a lane.
    After(u64),
    /// At this time.
    At(Instant),
}

impl Stop {
    pub(super) fn is_reached(self, published: u64) -> bool {
        match self {
            Self::After(publishes) => published >= publishes,
            Self::At(time) => Instant::now() >= time,
        }
    }
}

/// What to race.
pub(super) struct Lane {
    pub(super) address: SocketAddr,
    pub(super) pattern: Pattern,
    /// The channel.
    pub(super) name: String,
    pub(super) stop: Stop,
    pub(super) seed: u64,
}

/// What came of it.
pub(super) struct Outcome {
    pub(super) pattern: Pattern,
    pub(super) published: u64,
    /// Publishes that left within the window around the edge they were aimed at.
    pub(super) in_window: u64,
    /// Messages that the very question gave at whose edge they were aimed, and by a later one.
    pub(super) caught: u64,
    pub(super) questions: u64,
    /// Questions that gave no message.
    pub(super) empty: u64,
    pub(super) verdict: Verdict,
}

/// Where a reader stands and what it has seen.
pub(super) struct Place {
    pub(super) channel: String,
    /// Where to go on; none before the first answer.
    pub(super) cursor: Option<String>,
    pub(super) history: History,
    /// Which question gave each message.
    given: Vec<(u64, u64)>,
    /// Which question is being asked, from 1.
    pub(super) question: u64,
    pub(super) aim: Aim,
    edges: watch::Sender<Edge>,
}

impl Place {
    /// Tells the publisher when this question is expected to end, if it is asked to end at `deadline`.
    pub(super) fn announce(&mut self, deadline: Instant) {
        let at = self.aim.edge(deadline);
        // The publisher is gone once it has published all; the reader only follows the cursor then.
        let _ = self.edges.send(Edge { question: self.question, at });
    }

    /// The query of the next question. Without a cursor a reader starts with the first message there ever was.
    pub(super) fn query(&self) -> String {
        match &self.cursor {
            Some(cursor) => format!("channel={}&cursor={cursor}", self.channel),
            None => format!("channel={}&last_id=0", self.channel),
        }
    }

    /// Takes down a message.
    pub(super) fn saw(&mut self, seq: u64) {
        self.history.saw(seq);
        self.given.push((seq, self.question));
    }
}

impl Lane {
    pub(super) async fn run(self) -> Result<Outcome> {
        let (announce, edges) = watch::channel(Edge { question: 0, at: Instant::now() });
        let (say_published, published) = oneshot::channel();
        let shooting = async {
            let shots =
                publisher::run(self.address, &self.name, self.stop, Aim::new(!self.seed), edges).await?;
            // The reader waits for this until it has it.
            let _ = say_published.send(shots.len() as u64);
            Ok(shots)
        };
        let place = Place {
            channel: self.name.clone(),
            cursor: None,
            history: History::default(),
            given: Vec::new(),
            question: 0,
            aim: Aim::new(self.seed),
            edges: announce,
        };
        let reading = self.read(place, published);
        let raced: Result<_> = async { tokio::try_join!(shooting, reading) }.await;
        let (shots, (place, empty)) = raced.with_context(|| format!("channel {}", self.name))?;
        let aimed_at =
            |seq: u64| shots.get(usize::try_from(seq).ok()?.checked_sub(1)?).map(|shot| shot.question);
        let published = shots.len() as u64;
        Ok(Outcome {
            pattern: self.pattern,
            published,
            in_window: shots.iter().filter(|shot| shot.in_window).count() as u64,
            caught: place.given.iter().filter(|(seq, by)| aimed_at(*seq) == Some(*by)).count() as u64,
            questions: place.question,
            empty,
            verdict: place.history.verdict(published),
        })
    }

    /// Asks until everything published was seen, or nothing comes any more.
    async fn read(&self, mut place: Place, mut published: oneshot::Receiver<u64>) -> Result<(Place, u64)> {
        let mut reader = Reader::new(self.pattern, self.address);
        let (mut empty, mut empty_in_a_row, mut all) = (0, 0, None);
        loop {
            place.question += 1;
            let before = place.history.seen();
            reader.ask(&mut place).await.with_context(|| format!("question {}", place.question))?;
            if place.history.seen() == before {
                (empty, empty_in_a_row) = (empty + 1, empty_in_a_row + 1);
            } else {
                empty_in_a_row = 0;
            }
            all = all.or_else(|| published.try_recv().ok());
            if all.is_some_and(|all| place.history.newest() >= all || empty_in_a_row > PATIENCE) {
                return Ok((place, empty));
            }
        }
    }
}
