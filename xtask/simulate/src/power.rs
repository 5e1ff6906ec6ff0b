//! Whether a machine runs: everything that belongs to it stops at the same moment.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// The power of all machines that run one after the other. A clone is the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Power(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// Counts the machines.
    machine: AtomicU64,
    went: Notify,
}

/// One machine's share: gone once it has stopped.
#[derive(Clone, Debug)]
pub(crate) struct Supply {
    power: Power,
    machine: u64,
}

impl Power {
    pub(crate) fn supply(&self) -> Supply {
        Supply { power: self.clone(), machine: self.0.machine.load(Ordering::Relaxed) }
    }

    /// Stops the machine.
    pub(crate) fn cut(&self) {
        self.0.machine.fetch_add(1, Ordering::Relaxed);
        self.0.went.notify_one();
    }

    /// Returns once it was cut.
    pub(crate) async fn went(&self) {
        self.0.went.notified().await;
    }
}

impl Supply {
    pub(crate) fn is_on(&self) -> bool {
        self.power.0.machine.load(Ordering::Relaxed) == self.machine
    }

    /// Stops the machine, from within.
    pub(crate) fn cut(&self) {
        self.power.cut();
    }

    pub(crate) fn check(&self) -> io::Result<()> {
        if self.is_on() { Ok(()) } else { Err(io::Error::other("the power is gone")) }
    }
}
