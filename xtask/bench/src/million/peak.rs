//! The most memory that processes held during a while.
//!
//! The kernel keeps that figure itself and can be told to begin anew (proc(5), `clear_refs`); where it may not be, what
//! is resident is read every few milliseconds.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::meter::resident;

/// Between two readings.
const PACE: Duration = Duration::from_millis(2);
/// What is written to `/proc/PID/clear_refs` to forget the peak so far.
const FORGET: &str = "5";

/// A while in which the peak is watched.
pub(super) struct Peak<'a> {
    processes: &'a [u32],
    most: u64,
    read: Instant,
    kept: Kept,
}

/// Who keeps the figure.
#[derive(PartialEq, Eq)]
enum Kept {
    ByTheKernel,
    ByUs,
}

impl<'a> Peak<'a> {
    /// From now on.
    pub(super) fn watch(processes: &'a [u32]) -> Result<Self> {
        let forget = |process: &u32| fs::write(format!("/proc/{process}/clear_refs"), FORGET);
        let kept = if processes.iter().all(|process| forget(process).is_ok()) {
            Kept::ByTheKernel
        } else {
            Kept::ByUs
        };
        Ok(Self { processes, most: resident(processes)?, read: Instant::now(), kept })
    }

    /// To be called often.
    pub(super) fn look(&mut self) -> Result<()> {
        if self.read.elapsed() >= PACE {
            self.read = Instant::now();
            self.most = self.most.max(resident(self.processes)?);
        }
        Ok(())
    }

    /// The most until now, in bytes.
    pub(super) fn most(&self) -> Result<u64> {
        let now = resident(self.processes)?;
        let kernel = if self.kept == Kept::ByTheKernel {
            self.processes.iter().try_fold(0, |sum, process| high_water(*process).map(|most| sum + most))?
        } else {
            0
        };
        Ok(self.most.max(now).max(kernel))
    }
}

fn high_water(process: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kilobytes.context("/proc/PID/status has a VmHWM in kB")? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_was_given_back_is_in_the_peak() {
        const MUCH: usize = 64 << 20;
        let own = [std::process::id()];
        let mut peak = Peak::watch(&own).unwrap();
        let before = peak.most().unwrap();
        let held = std::hint::black_box(vec![1_u8; MUCH]);
        while peak.read.elapsed() < PACE {}
        peak.look().unwrap();
        drop(held);
        assert!(peak.most().unwrap() >= before + MUCH as u64 / 2);
    }
}
