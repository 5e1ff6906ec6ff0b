//! What processes use, as Linux counts it in `/proc`: CPU time and resident memory.

use std::fs;
use std::io::ErrorKind;

use anyhow::{Context as _, Result};

/// A tick of the user time in `/proc/PID/stat`: `sysconf(_SC_CLK_TCK)` is 100 on Linux.
const TICK: u64 = 10_000_000;

/// CPU time in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cpu {
    /// Exact.
    pub(crate) total: u64,
    /// The part in user space, counted in ticks of 10 ms.
    pub(crate) user: u64,
}

impl Cpu {
    /// What all threads of these processes have used so far.
    pub(crate) fn of(processes: &[u32]) -> Result<Self> {
        processes.iter().try_fold(Self::default(), |sum, &process| {
            let one = Self::of_one(process)?;
            Ok(Self { total: sum.total + one.total, user: sum.user + one.user })
        })
    }

    fn of_one(process: u32) -> Result<Self> {
        let mut total = 0;
        for thread in fs::read_dir(format!("/proc/{process}/task"))? {
            let text = match fs::read_to_string(thread?.path().join("schedstat")) {
                // The thread ended since it was listed, or since its file was opened.
                Err(error)
                    if error.kind() == ErrorKind::NotFound
                        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) =>
                {
                    continue;
                }
                text => text?,
            };
            let first = text.split(' ').next().unwrap_or_default();
            total += first.parse::<u64>().context("/proc/PID/task/TID/schedstat begins with nanoseconds")?;
        }
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        // The name in brackets may contain anything; field 3 follows it, and user time is field 14.
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks = fields.split_whitespace().nth(11).and_then(|ticks| ticks.parse::<u64>().ok());
        Ok(Self { total, user: ticks.context("field 14 of /proc/PID/stat is a number")? * TICK })
    }

    pub(crate) fn since(self, earlier: Self) -> Self {
        Self { total: self.total.saturating_sub(earlier.total), user: self.user.saturating_sub(earlier.user) }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_uses_cpu_time() {
        let own = [std::process::id()];
        let before = Cpu::of(&own).unwrap();
        while Cpu::of(&own).unwrap().since(before).total == 0 {}
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
