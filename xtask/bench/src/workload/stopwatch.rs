//! What a server uses from one moment to another.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::meter::cpu;
use crate::results::{Latency, Round};

/// Between two looks at whether a server is idle, at the beginning and the end of a round.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

pub(crate) struct Stopwatch<'a> {
    processes: &'a [u32],
    cpu: u64,
    start: Instant,
}

impl<'a> Stopwatch<'a> {
    pub(crate) fn start(processes: &'a [u32]) -> Result<Self> {
        Ok(Self { processes, cpu: cpu(processes)?, start: Instant::now() })
    }

    pub(crate) fn stop(self, operations: u64, latency: Option<Latency>) -> Result<Round> {
        let wall = u64::try_from(self.start.elapsed().as_nanos())?;
        let cpu = cpu(self.processes)?.saturating_sub(self.cpu);
        Ok(Round { operations, cpu, wall, latency, resident: None })
    }
}
