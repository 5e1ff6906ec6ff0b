//! What processes use, as Linux counts it in `/proc`: CPU time and resident memory.

use std::fs;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::results::{Latency, Round};

/// No such process.
const ESRCH: i32 = rustix::io::Errno::SRCH.raw_os_error();

/// CPU time that all threads of these processes have used so far, in nanoseconds.
pub(crate) fn cpu(processes: &[u32]) -> Result<u64> {
    let mut total = 0;
    for process in processes {
        for thread in fs::read_dir(format!("/proc/{process}/task"))? {
            let text = match fs::read_to_string(thread?.path().join("schedstat")) {
                // The thread ended since it was listed, or since its file was opened.
                Err(error) if error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(ESRCH) => {
                    continue;
                }
                text => text?,
            };
            let first = text.split(' ').next().unwrap_or_default();
            total += first.parse::<u64>().context("/proc/PID/task/TID/schedstat begins with nanoseconds")?;
        }
    }
    Ok(total)
}

/// Resident bytes of these processes.
pub(crate) fn resident(processes: &[u32]) -> Result<u64> {
    status(processes, "VmRSS:")
}

/// The most they have had resident since [`reset_peak`].
pub(crate) fn peak(processes: &[u32]) -> Result<u64> {
    status(processes, "VmHWM:")
}

/// Starts a new peak; see `clear_refs` in proc(5).
pub(crate) fn reset_peak(processes: &[u32]) -> Result<()> {
    processes.iter().try_for_each(|process| {
        fs::write(format!("/proc/{process}/clear_refs"), "5").context("cannot reset a process's peak memory")
    })
}

/// The sum of a field of `/proc/PID/status`, in bytes.
fn status(processes: &[u32], field: &str) -> Result<u64> {
    processes.iter().try_fold(0, |sum, process| {
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kilobytes = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        Ok(sum + kilobytes.with_context(|| format!("/proc/PID/status has a {field} in kB"))? * 1024)
    })
}

/// Between two looks at whether a server is idle, at the beginning and the end of a round.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

/// What a server uses from one moment to another.
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
        let wall = self.elapsed()?;
        let cpu = cpu(self.processes)?.saturating_sub(self.cpu);
        let memory = Some(resident(self.processes)?);
        Ok(Round { operations, cpu, wall, latency, memory, ..Round::default() })
    }

    /// Nanoseconds since the start.
    pub(crate) fn elapsed(&self) -> Result<u64> {
        Ok(u64::try_from(self.start.elapsed().as_nanos())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_uses_cpu_time() {
        let own = [std::process::id()];
        let before = cpu(&own).unwrap();
        while cpu(&own).unwrap() == before {}
    }

    #[test]
    fn freed_memory_is_part_of_the_peak() {
        const MUCH: usize = 64 << 20;
        let own = [std::process::id()];
        reset_peak(&own).unwrap();
        let before = resident(&own).unwrap();
        drop(std::hint::black_box(vec![1_u8; MUCH]));
        assert!(peak(&own).unwrap() >= before + MUCH as u64 / 2);
    }
}
