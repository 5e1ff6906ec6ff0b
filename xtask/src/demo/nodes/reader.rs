//! A reader that goes from address to address: each time it reads on from the last message it was given.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use futures_util::StreamExt as _;
use hdrhistogram::Histogram;
use poll_client::{ChannelName, Client, Event, StartAt, Timestamp, Token};
use rand::RngExt as _;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::super::pattern::Pattern;
use super::super::published::{Phase, Published};
use super::super::racer::PATIENCE;
use super::bars::NodeBar;
use xtask::history::{History, Verdict};

/// How long it stays at one address, in milliseconds.
const STAY: std::ops::Range<u64> = 500..1_500;

/// An address of the log.
#[derive(Clone)]
pub(super) struct Entrance {
    pub(super) client: Client,
    pub(super) bar: NodeBar,
    /// For errors.
    pub(super) name: String,
}

/// A reader at work.
pub(super) struct Reader {
    pattern: Pattern,
    channel: ChannelName,
    entrances: Vec<Entrance>,
    /// How often it has changed addresses, from where it began.
    turn: usize,
    score: Score,
    history: History,
    at: StartAt,
    /// When it saw that nothing more is published.
    over_since: Option<Instant>,
}

/// What one reader did.
pub(super) struct Score {
    pub(super) pattern: Pattern,
    pub(super) messages: u64,
    pub(super) hops: u64,
    /// Microseconds from the message's timestamp to the reader's having it; all clocks are this machine's.
    pub(super) latency: Histogram<u64>,
    pub(super) verdict: Verdict,
}

impl Reader {
    pub(super) fn new(
        pattern: Pattern,
        channel: ChannelName,
        entrances: Vec<Entrance>,
        first: usize,
    ) -> Result<Self> {
        // Three digits from a microsecond up; it grows as it must.
        let latency = Histogram::new(3)?;
        let score = Score { pattern, messages: 0, hops: 0, latency, verdict: Verdict::default() };
        let (history, at) = (History::default(), StartAt::Oldest);
        Ok(Self { pattern, channel, entrances, turn: first, score, history, at, over_since: None })
    }

    /// Reads until everything published was seen, or nothing comes any more.
    pub(super) async fn run(mut self, mut published: watch::Receiver<Published>) -> Result<Score> {
        loop {
            let entrance = self.entrances[self.turn % self.entrances.len()].clone();
            entrance.bar.enter();
            let done = self.stay(&entrance, &mut published).await;
            entrance.bar.leave();
            if done.with_context(|| format!("reading at {}", entrance.name))? {
                break;
            }
            self.turn += 1;
            self.score.hops += 1;
        }
        self.score.verdict = self.history.verdict(published.borrow().messages);
        Ok(self.score)
    }

    /// Reads at one address for a while. Returns whether it is done.
    async fn stay(
        &mut self,
        entrance: &Entrance,
        published: &mut watch::Receiver<Published>,
    ) -> Result<bool> {
        let mut subscription = self.pattern.subscribe_at(&entrance.client, &self.channel, self.at.clone());
        let until = Instant::now() + Duration::from_millis(rand::rng().random_range(STAY));
        loop {
            let now = *published.borrow_and_update();
            if now.phase == Phase::Over {
                let since = *self.over_since.get_or_insert_with(Instant::now);
                if self.history.newest() >= now.messages || since.elapsed() >= PATIENCE {
                    return Ok(true);
                }
            }
            tokio::select! {
                event = subscription.next() => {
                    self.take(event.context("a subscription ended by itself")??)?;
                    entrance.bar.gave();
                }
                changed = published.changed(), if now.phase == Phase::Going => changed?,
                () = sleep_until(until) => return Ok(false),
            }
        }
    }

    fn take(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Message(message) => {
                self.history.saw(message.seq.get());
                self.at = StartAt::After(Token::Cursor(message.cursor));
                self.score.messages += 1;
                let late =
                    Timestamp::of(SystemTime::now()).as_micros().saturating_sub(message.at.as_micros());
                self.score.latency.record(late.max(1)).context("a latency is too large to count")
            }
            // What was missed shows as a hole in the history, and so does a channel that may not be read.
            Event::Missed { .. } | Event::Refused { .. } => Ok(()),
            Event::Closed { reason } => bail!("the channel ended: {reason:?}"),
        }
    }
}
