//! A deterministic environment for tests and simulations: the same seed produces the same run.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

use super::platform::{Exit, Platform, Thread};
use crate::types::Timestamp;

/// Randomness from a seed, a time of day that goes with the runtime's clock, and threads that are tasks of the current
/// runtime. On a single-threaded runtime with a paused clock, whatever takes nothing from elsewhere runs the same way
/// every time. Such a runtime calls what a [`Thread`] wants called on parking only if it was built to.
#[derive(Debug)]
pub struct Seeded {
    random: AtomicU64,
    start: Timestamp,
    began: Instant,
}

impl Seeded {
    /// One whose time begins now, on a day in 2027.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let start = Timestamp::from_millis(1_800_000_000_000);
        Self { random: AtomicU64::new(seed), start, began: Instant::now() }
    }

    /// The same, but its time of day begins at `start`.
    #[must_use]
    pub fn starting(self, start: Timestamp) -> Self {
        Self { start, ..self }
    }
}

impl Platform for Seeded {
    fn now(&self) -> Timestamp {
        self.start.after(self.began.elapsed())
    }

    /// SplitMix64: each step of the counter is mixed on its own, so callers on several threads need no lock.
    fn random(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut bits = self.random.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }

    fn spawn(&self, thread: Thread) -> io::Result<Exit> {
        let (running, exit) = Exit::pair();
        tokio::spawn(async move {
            let _running = running;
            thread.work.await;
        });
        Ok(exit)
    }
}
