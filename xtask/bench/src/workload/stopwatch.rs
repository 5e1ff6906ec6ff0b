//! What server and load use from one moment to another.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::meter::Cpu;
use crate::results::{Latency, Round};

/// Between two looks at whether a server is idle, at the beginning and the end of a round.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

pub(crate) struct Stopwatch<'a> {
    processes: &'a [u32],
    server: Cpu,
    busy: Duration,
    start: Instant,
}

impl<'a> Stopwatch<'a> {
    /// `busy` is how long the load has been busy so far.
    pub(crate) fn start(processes: &'a [u32], busy: Duration) -> Result<Self> {
        Ok(Self { processes, server: Cpu::of(processes)?, busy, start: Instant::now() })
    }

    pub(crate) fn stop(self, operations: u64, busy: Duration, latency: Option<Latency>) -> Result<Round> {
        let wall = self.start.elapsed();
        let server = Cpu::of(self.processes)?.since(self.server);
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let load = nanos(busy.saturating_sub(self.busy));
        let Cpu { total: cpu, user } = server;
        Ok(Round { operations, cpu, user, load, wall: nanos(wall), latency, resident: None })
    }
}
