//! Which core the server has and which the load.

use anyhow::{Result, bail};

use super::meter::{allowed_cores, pin_to};

/// The two cores of a run.
pub(super) struct Cores {
    server: usize,
    load: usize,
}

impl Cores {
    /// The first two that we may run on.
    pub(super) fn find() -> Result<Self> {
        match allowed_cores()?[..] {
            [server, load, ..] => Ok(Self { server, load }),
            _ => bail!("measuring needs two cores, one for the server and one for the load"),
        }
    }

    /// Starts a server on its core, and has this thread on the other from then on.
    pub(super) fn start_apart<T>(&self, start: impl FnOnce() -> Result<T>) -> Result<T> {
        self.start(&[self.server], start)
    }

    /// Starts a server on both cores, one of which the load shares with it.
    pub(super) fn start_on_both<T>(&self, start: impl FnOnce() -> Result<T>) -> Result<T> {
        self.start(&[self.server, self.load], start)
    }

    /// What is started inherits the cores of who starts it.
    fn start<T>(&self, cores: &[usize], start: impl FnOnce() -> Result<T>) -> Result<T> {
        pin_to(cores)?;
        let started = start();
        pin_to(&[self.load])?;
        started
    }
}
