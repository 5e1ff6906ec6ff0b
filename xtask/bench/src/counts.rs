//! What the load has sent and received, checked as it arrives: every number once and in order on every connection.

use std::time::Instant;

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;

use crate::results::Latency;

/// Longer latencies, in nanoseconds, count as this.
const LONGEST: u64 = 60_000_000_000;

/// The numbers that one reader is to receive: the next one, and the step to the one after.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    pub(crate) next: u32,
    pub(crate) step: u32,
}

/// Totals since the beginning.
pub(crate) struct Counts {
    pub(crate) published: u64,
    pub(crate) acknowledged: u64,
    /// Messages received, counted for each reader.
    pub(crate) delivered: u64,
    /// Responses to short polls.
    pub(crate) answered: u64,
    /// The 304s among them.
    pub(crate) unchanged: u64,
    /// When each number was published, from number 1 on.
    published_at: Vec<Instant>,
    latency: Histogram<u64>,
    publishing: Histogram<u64>,
}

impl Due {
    /// Every message from `next` on.
    pub(crate) fn from(next: u32) -> Self {
        Self { next, step: 1 }
    }
}

impl Counts {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            published: 0,
            acknowledged: 0,
            delivered: 0,
            answered: 0,
            unchanged: 0,
            published_at: Vec::new(),
            latency: Histogram::new_with_bounds(1_000, LONGEST, 3)?,
            publishing: Histogram::new_with_bounds(1_000, LONGEST, 3)?,
        })
    }

    /// The number of the message that is about to be published.
    pub(crate) fn publish(&mut self) -> u32 {
        self.published += 1;
        self.published_at.push(Instant::now());
        u32::try_from(self.published).unwrap_or(u32::MAX)
    }

    /// A publish that was sent then is acknowledged.
    pub(crate) fn acknowledge(&mut self, sent: Instant) {
        self.acknowledged += 1;
        self.publishing.saturating_record(since(sent));
    }

    /// A reader received `number`; an error unless it was due.
    pub(crate) fn deliver(&mut self, due: &mut Due, number: u32) -> Result<()> {
        self.read(due, number)?;
        if let Some(&published) = self.published_at.get(number as usize - 1) {
            self.latency.saturating_record(since(published));
        }
        Ok(())
    }

    /// The same of a message that was there before the request, so that it has no latency.
    pub(crate) fn read(&mut self, due: &mut Due, number: u32) -> Result<()> {
        let wanted = due.next;
        let what = if number < wanted { "again" } else { "too early" };
        ensure!(number == wanted, "message {number} came {what}, where {wanted} was due");
        due.next += due.step;
        self.delivered += 1;
        Ok(())
    }

    /// Discards the latencies so far.
    pub(crate) fn reset_latency(&mut self) {
        self.latency.clear();
        self.publishing.clear();
    }

    /// From a publish to its arrival; `None` if nothing was delivered since the reset.
    pub(crate) fn latency(&self) -> Option<Latency> {
        summed_up(&self.latency)
    }

    /// From a publish to its acknowledgement; `None` if there was none since the reset.
    pub(crate) fn publishing(&self) -> Option<Latency> {
        summed_up(&self.publishing)
    }
}

fn since(then: Instant) -> u64 {
    u64::try_from(then.elapsed().as_nanos()).unwrap_or(LONGEST)
}

fn summed_up(latency: &Histogram<u64>) -> Option<Latency> {
    let at = |quantile| latency.value_at_quantile(quantile);
    (!latency.is_empty()).then(|| Latency { median: at(0.5), p99: at(0.99) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_once_and_in_order() {
        let mut counts = Counts::new().unwrap();
        assert_eq!((counts.publish(), counts.publish()), (1, 2));
        let mut due = Due::from(1);
        counts.deliver(&mut due, 1).unwrap();
        let again = counts.deliver(&mut due, 1).unwrap_err().to_string();
        assert_eq!(again, "message 1 came again, where 2 was due");
        let early = counts.deliver(&mut due, 3).unwrap_err().to_string();
        assert_eq!(early, "message 3 came too early, where 2 was due");
        counts.deliver(&mut due, 2).unwrap();
        assert_eq!(counts.delivered, 2);
        assert!(counts.latency().is_some());
    }
}
