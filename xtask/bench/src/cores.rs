//! One core for the server and one for the load, so that what is counted on the server's core is the server's.

use anyhow::{Context as _, Result, bail};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Which cores a server runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// One of its own.
    Apart,
    /// Both, one of them together with the load.
    Both,
}

/// The two cores of a run.
pub(crate) struct Cores {
    server: usize,
    load: usize,
}

impl Cores {
    /// The first two that this thread may use.
    pub(crate) fn find() -> Result<Self> {
        let set = sched_getaffinity(None::<Pid>).context("cannot ask which cores may be used")?;
        let mut allowed = (0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core));
        match (allowed.next(), allowed.next()) {
            (Some(server), Some(load)) => Ok(Self { server, load }),
            _ => bail!("measuring needs two cores, one for the server and one for the load"),
        }
    }

    /// Starts a server on its cores, which it inherits, and then binds this thread to the load's.
    pub(crate) fn start<T>(&self, share: Share, start: impl FnOnce() -> Result<T>) -> Result<T> {
        match share {
            Share::Apart => pin_to(&[self.server])?,
            Share::Both => pin_to(&[self.server, self.load])?,
        }
        let started = start();
        pin_to(&[self.load])?;
        started
    }
}

fn pin_to(cores: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    cores.iter().for_each(|&core| set.set(core));
    sched_setaffinity(None::<Pid>, &set).with_context(|| format!("cannot bind to cores {cores:?}"))
}
