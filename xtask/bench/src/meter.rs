//! What processes have used so far, as the operating system counts it: processor time and resident memory.
//!
//! Reads `/proc`, so Linux only. Knows neither servers nor what they do.

use std::fs;
use std::io::{self, ErrorKind};

use anyhow::{Context as _, Result};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Processor time, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cpu {
    /// In all, exact.
    pub(crate) total: u64,
    /// Of it in user space, counted by the kernel in ticks of 10 ms.
    pub(crate) user: u64,
}

/// Length of a tick in which `/proc/PID/stat` counts: `sysconf(_SC_CLK_TCK)` is 100 on Linux.
const TICK: u64 = 10_000_000;

impl Cpu {
    /// What these processes have used since they began, all their threads together.
    pub(crate) fn of(processes: &[u32]) -> Result<Self> {
        processes.iter().try_fold(Self::default(), |sum, &process| {
            let one = Self::of_one(process)?;
            Ok(Self { total: sum.total + one.total, user: sum.user + one.user })
        })
    }

    fn of_one(process: u32) -> Result<Self> {
        let mut total = 0;
        for thread in fs::read_dir(format!("/proc/{process}/task"))? {
            // One that has ended since it was listed has nothing to show any more.
            let Some(text) = there(fs::read_to_string(thread?.path().join("schedstat")))? else { continue };
            let first = text.split(' ').next().unwrap_or_default();
            total += first.parse::<u64>().context("/proc/PID/task/TID/schedstat begins with nanoseconds")?;
        }
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        // The name, in brackets, may hold anything; field 3 follows it, and user time is field 14.
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks = fields.split_whitespace().nth(11).and_then(|ticks| ticks.parse::<u64>().ok());
        Ok(Self { total, user: ticks.context("field 14 of /proc/PID/stat is a number")? * TICK })
    }

    /// What was used from `earlier` until this.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self { total: self.total.saturating_sub(earlier.total), user: self.user.saturating_sub(earlier.user) }
    }
}

/// What was read, or none if the thread it is of is gone.
fn there(read: io::Result<String>) -> Result<Option<String>> {
    match read {
        Err(error) if error.kind() == ErrorKind::NotFound || is_no_process(&error) => Ok(None),
        read => Ok(Some(read?)),
    }
}

/// It ended between the opening and the reading.
fn is_no_process(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

/// Resident memory of these processes together, in bytes.
pub(crate) fn resident(processes: &[u32]) -> Result<u64> {
    processes.iter().try_fold(0, |sum, process| {
        let text = fs::read_to_string(format!("/proc/{process}/statm"))?;
        let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
        Ok(sum + pages.context("field 2 of /proc/PID/statm is a number")? * rustix::param::page_size() as u64)
    })
}

/// Binds this thread, and every thread and process it starts from now on, to these cores.
pub(crate) fn pin_to(cores: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for &core in cores {
        set.set(core);
    }
    sched_setaffinity(None::<Pid>, &set).with_context(|| format!("cannot bind to cores {cores:?}"))
}

/// The cores this thread may run on.
pub(crate) fn allowed_cores() -> Result<Vec<usize>> {
    let set = sched_getaffinity(None::<Pid>).context("cannot ask for the cores we may run on")?;
    Ok((0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_uses_more() {
        let own = [std::process::id()];
        let before = Cpu::of(&own).unwrap();
        while Cpu::of(&own).unwrap().since(before).total == 0 {}
        assert!(resident(&own).unwrap() > 0);
    }
}
