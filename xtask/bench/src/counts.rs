//! What the load has sent and been given, checked as it comes: every number once and in order on every connection.

use std::time::Instant;

use anyhow::{Result, bail};
use hdrhistogram::Histogram;

use super::line::Due;
use crate::figures::Latency;

/// Longest latency that is told apart, in nanoseconds.
const LONGEST: u64 = 60_000_000_000;

/// Counts since the beginning.
pub(crate) struct Tally {
    pub(crate) published: u64,
    pub(crate) acknowledged: u64,
    /// Messages given, each connection's counted.
    pub(crate) delivered: u64,
    /// Whole answers to short polls.
    pub(crate) answered: u64,
    /// Of them those that said 304.
    pub(crate) unchanged: u64,
    /// When each number was written, from number 1 on.
    written: Vec<Instant>,
    latency: Histogram<u64>,
}

impl Tally {
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            published: 0,
            acknowledged: 0,
            delivered: 0,
            answered: 0,
            unchanged: 0,
            written: Vec::new(),
            latency: Histogram::new_with_bounds(1_000, LONGEST, 3)?,
        })
    }

    /// A publish is about to be written. Numbers go up by one.
    pub(super) fn publish(&mut self) -> u32 {
        self.published += 1;
        self.written.push(Instant::now());
        u32::try_from(self.published).unwrap_or(u32::MAX)
    }

    /// A connection was given `number`.
    pub(super) fn deliver(&mut self, due: &mut Due, number: u32) -> Result<()> {
        let wanted = due.next;
        if number != wanted {
            let what = if number < wanted { "again" } else { "too early" };
            bail!("it was given message {number} {what}, where {wanted} was due");
        }
        due.next += due.step;
        self.delivered += 1;
        if let Some(written) = self.written.get(number as usize - 1) {
            let took = u64::try_from(written.elapsed().as_nanos()).unwrap_or(LONGEST);
            self.latency.saturating_record(took);
        }
        Ok(())
    }

    /// Forgets the latencies so far: what comes now is measured.
    pub(crate) fn begin(&mut self) {
        self.latency.clear();
    }

    /// Median and 99th percentile since [`Tally::begin`], if anything was delivered.
    pub(crate) fn latency(&self) -> Option<Latency> {
        (!self.latency.is_empty()).then(|| Latency {
            median: self.latency.value_at_quantile(0.5),
            p99: self.latency.value_at_quantile(0.99),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_once_and_in_order() {
        let mut tally = Tally::new().unwrap();
        assert_eq!((tally.publish(), tally.publish()), (1, 2));
        let mut due = Due { next: 1, step: 1 };
        tally.deliver(&mut due, 1).unwrap();
        let again = tally.deliver(&mut due, 1).unwrap_err().to_string();
        assert_eq!(again, "it was given message 1 again, where 2 was due");
        let early = tally.deliver(&mut due, 3).unwrap_err().to_string();
        assert_eq!(early, "it was given message 3 too early, where 2 was due");
        tally.deliver(&mut due, 2).unwrap();
        assert_eq!(tally.delivered, 2);
        assert!(tally.latency().is_some());
    }
}
