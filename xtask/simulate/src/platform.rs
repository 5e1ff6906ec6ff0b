//! A server's environment: its clock, its randomness, its threads and its disk, all of them the seed's.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use poll_core::Timestamp;
use poll_core::environment::{Exit, Location, Platform, Thread};
use tokio::time::Instant;

use crate::disk::Port;
use crate::random::Random;
use crate::thread::Blocking;

/// When all simulations begin, in milliseconds since 1970: a day in 2027.
const START: u64 = 1_800_000_000_000;

/// The clock of the machine, which may be wrong. A clone is the same one.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    began: Instant,
    /// By how many milliseconds it is wrong.
    wrong: Arc<AtomicI64>,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    /// The access to the disk, while the machine has power.
    pub(crate) disk: Port,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), wrong: Arc::default() }
    }

    /// The time of day as it is.
    pub(crate) fn truth(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(START) + self.began.elapsed()
    }

    /// Sets it forward, or back.
    pub(crate) fn jump(&self, millis: i64) {
        self.wrong.fetch_add(millis, Ordering::Relaxed);
    }

    fn now(&self) -> Timestamp {
        let start = START.saturating_add_signed(self.wrong.load(Ordering::Relaxed));
        Timestamp::from_millis(start).after(self.began.elapsed())
    }
}

impl Platform for Machine {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn random(&self) -> u64 {
        self.random.bits()
    }

    fn spawn(&self, thread: Thread) -> io::Result<Exit> {
        let (running, exit) = Exit::pair();
        // Only a journal calls the disk.
        let is_worker = thread.name.starts_with("worker");
        tokio::spawn(async move {
            let _running = running;
            if is_worker { thread.work.await } else { Blocking::new(thread.work).await }
        });
        Ok(exit)
    }

    fn read_file(&self, path: &Path) -> io::Result<String> {
        Err(io::Error::new(io::ErrorKind::NotFound, format!("{} is not simulated", path.display())))
    }

    fn directory(&self, _: &Path) -> Box<dyn Location> {
        Box::new(self.disk.clone())
    }
}
