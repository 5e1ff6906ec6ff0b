//! A channel with one publisher and one reader, raced to its end.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::aim::{Aim, Edge};
use super::place::{Begin, Pace, Place, Seen};
use super::publisher;
use super::reader::{Pattern, Reader};
use xtask::history::{History, Verdict};

/// By how many milliseconds clocks are wrong. The one that is ahead is so by more than any race takes.
const AHEAD: i64 = 24 * 3600 * 1000;
const BEHIND: i64 = -3500;

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
        // Half of those that go by a clock have one that is ahead, the others one that is behind.
        let skew = if self.seed.is_multiple_of(2) { AHEAD } else { BEHIND };
        let place = Place::new(&self.name, Begin::Clock(skew), Pace::Edge, self.seed).aimed_at(announce);
        let reading = self.read(place, published);
        let raced: Result<_> = async { tokio::try_join!(shooting, reading) }.await;
        let (shots, read) = raced.with_context(|| format!("channel {}", self.name))?;
        let aimed_at =
            |seq: u64| shots.get(usize::try_from(seq).ok()?.checked_sub(1)?).map(|shot| shot.question);
        let published = shots.len() as u64;
        Ok(Outcome {
            pattern: self.pattern,
            published,
            in_window: shots.iter().filter(|shot| shot.in_window).count() as u64,
            caught: read.given.iter().filter(|(seq, by)| aimed_at(*seq) == Some(*by)).count() as u64,
            questions: read.questions,
            empty: read.empty,
            verdict: read.history.verdict(published),
        })
    }

    /// Asks until everything published was seen, or nothing comes any more.
    async fn read(&self, mut place: Place, mut published: oneshot::Receiver<u64>) -> Result<Read> {
        let mut reader = Reader::new(self.pattern, self.address);
        let mut read = Read::default();
        let (mut empty_in_a_row, mut all) = (0, None);
        loop {
            place.question += 1;
            reader.ask(&mut place).await.with_context(|| format!("question {}", place.question))?;
            if place.seen.is_empty() {
                (read.empty, empty_in_a_row) = (read.empty + 1, empty_in_a_row + 1);
            } else {
                empty_in_a_row = 0;
            }
            for seen in place.seen.drain(..) {
                read.take(&seen, place.question)?;
            }
            all = all.or_else(|| published.try_recv().ok());
            if all.is_some_and(|all| read.history.newest() >= all || empty_in_a_row > self.pattern.patience())
            {
                read.questions = place.question;
                return Ok(read);
            }
        }
    }
}

/// What a reader has seen.
#[derive(Default)]
struct Read {
    history: History,
    /// Which question gave each message.
    given: Vec<(u64, u64)>,
    questions: u64,
    empty: u64,
}

impl Read {
    /// A message's payload is its own number, so that a mix-up of payloads shows, and dialects without numbers have one.
    fn take(&mut self, seen: &Seen, question: u64) -> Result<()> {
        let number: u64 =
            seen.token.parse().with_context(|| format!("`{}` was never published", seen.token))?;
        ensure!(seen.seq.is_none_or(|seq| seq == number), "a message has the payload of another: {seen:?}");
        self.history.saw(number);
        self.given.push((number, question));
        Ok(())
    }
}
