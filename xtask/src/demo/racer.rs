//! One reader of one of the patterns: a subscription of poll-client, the latency of each message, and what it saw.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use futures_util::StreamExt as _;
use hdrhistogram::Histogram;
use poll_client::{ChannelName, Client, Counts, Event, Subscription, Timestamp};
use tokio::sync::watch;

use super::figures::{Figures, Shared};
use super::meter::{Meter, Traffic};
use super::pattern::Pattern;
use super::published::{Phase, Published};
use xtask::history::{History, Verdict};

/// The channel, which is also the one that the live page shows.
pub(super) const CHANNEL: &str = "default";
/// Between two messages, in milliseconds: uneven, as real ones are.
pub(super) const GAP: std::ops::Range<u64> = 20..120;
/// What the server may take to drain.
pub(super) const DRAIN: Duration = Duration::from_secs(30);
/// How often the figures are renewed while nothing comes.
const REDRAW: Duration = Duration::from_millis(200);
/// How long a reader may find nothing after the last publish before the rest counts as lost.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// A reader at work.
pub(super) struct Racer {
    subscription: Subscription,
    history: History,
    figures: Shared,
    meter: Meter,
}

impl Racer {
    pub(super) fn new(pattern: Pattern, page: &str, channel: &ChannelName) -> Result<Self> {
        let meter = Meter::default();
        let client = Client::builder(page).connector(meter.clone()).build()?;
        let figures = Figures {
            pattern,
            counts: Counts::default(),
            // Three digits from a microsecond up; it grows as it must.
            latency: Histogram::new(3)?,
            busy: Traffic::default(),
            idle: Traffic::default(),
            verdict: Verdict::default(),
        };
        Ok(Self {
            subscription: pattern.subscribe(&client, channel),
            history: History::default(),
            figures: Rc::new(RefCell::new(figures)),
            meter,
        })
    }

    /// What it did so far, as it goes on.
    pub(super) fn figures(&self) -> Shared {
        self.figures.clone()
    }

    /// Reads until everything published was seen and the quiet is over, or nothing comes any more.
    pub(super) async fn run(mut self, mut published: watch::Receiver<Published>) -> Result<()> {
        let mut quiet_from = None;
        loop {
            let now = *published.borrow_and_update();
            let has_all = self.history.newest() >= now.messages;
            if now.phase != Phase::Going && has_all {
                quiet_from.get_or_insert_with(|| self.meter.traffic());
            }
            self.note(quiet_from);
            if now.phase == Phase::Over && has_all {
                break;
            }
            tokio::select! {
                event = self.subscription.next() => self.take(event.context("a subscription ended by itself")??)?,
                _ = published.changed(), if now.phase != Phase::Over => {}
                () = tokio::time::sleep(PATIENCE), if now.phase == Phase::Over => break,
                // What is read of the quiet has no event.
                () = tokio::time::sleep(REDRAW), if now.phase == Phase::Quiet => {}
            }
        }
        self.figures.borrow_mut().verdict = self.history.verdict(published.borrow().messages);
        Ok(())
    }

    fn note(&self, quiet_from: Option<Traffic>) {
        let (mut figures, traffic) = (self.figures.borrow_mut(), self.meter.traffic());
        figures.counts = self.subscription.counts();
        figures.busy = quiet_from.unwrap_or(traffic);
        figures.idle = traffic - figures.busy;
    }

    fn take(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Message(message) => {
                self.history.saw(message.seq.get());
                let late =
                    Timestamp::of(SystemTime::now()).as_micros().saturating_sub(message.at.as_micros());
                let latency = &mut self.figures.borrow_mut().latency;
                latency.record(late.max(1)).context("a latency is too large to count")
            }
            // What was missed shows as a hole in the history, and so does a channel that may not be read.
            Event::Missed { .. } | Event::Refused { .. } => Ok(()),
            Event::Closed { reason } => bail!("the channel ended: {reason:?}"),
        }
    }
}
