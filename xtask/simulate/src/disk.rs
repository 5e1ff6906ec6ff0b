//! The machine's disk: the fake disk of the journal's tests, with syncs that take time and faults that the seed chooses.
//!
//! While a sync takes time, everything else runs. What was lost or changed below the server, so that it could not have kept
//! it, is remembered for the judge.

#[expect(dead_code, reason = "some of it is used only by the journal's own tests")]
#[path = "../../../poll-core/tests/fake_disk/mod.rs"]
mod fake;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use self::fake::{Event, FakeDisk};
pub(crate) use self::fake::{Fault, Port};
use crate::random::Random;
use crate::thread::take_time;
use crate::trace;

/// How long a sync takes at most when all is well, in tenths of a millisecond.
const SYNC: u64 = 30;
/// How many attempts to find a byte to flip that is not zero: zeros are mostly padding.
const DRAWS: usize = 1_000;

/// See the [module](self). Clones are the same disk.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    /// Its files, the faults that it is struck by, and the power of the machines that use it.
    pub(crate) files: FakeDisk,
    random: Random,
    /// How many milliseconds longer each sync takes.
    slow: Arc<AtomicU64>,
    harm: Arc<Mutex<Harm>>,
}

/// The harm done to what the server had stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Harm {
    #[default]
    None,
    /// A bit was changed.
    Flipped,
    /// A bit was flipped, and a server reads its log after that: what is damaged of the last commit looks torn.
    FlippedBeforeRead,
    /// What was written since then, and synced, was lost in a crash.
    Lost(Instant),
}

impl Disk {
    pub(crate) fn new(random: Random) -> Self {
        let slow = Arc::new(AtomicU64::new(0));
        let (more, times) = (slow.clone(), random.clone());
        let files = FakeDisk::watched(move |event| {
            record(event);
            if let Event::Sync(_) = event {
                let more = Duration::from_millis(more.load(Ordering::Relaxed));
                take_time(more + Duration::from_micros(100 * times.below(SYNC)));
            }
        });
        Self { files, random, slow, harm: Arc::default() }
    }

    /// Makes syncs take this much longer from now on.
    pub(crate) fn slow_down(&self, millis: u64) {
        self.slow.store(millis, Ordering::Relaxed);
    }

    /// Removes all faults.
    pub(crate) fn heal(&self) {
        self.files.heal();
        self.slow_down(0);
    }

    pub(crate) fn harm(&self) -> Harm {
        *self.lock()
    }

    /// The process ended, and the machine keeps running.
    pub(crate) fn process_ended(&self) {
        self.files.process_ended();
        let mut harm = self.lock();
        if *harm == Harm::Flipped {
            *harm = Harm::FlippedBeforeRead;
        }
    }

    /// The power failed.
    pub(crate) fn power_went(&self) {
        self.process_ended();
        let mut harm = self.lock();
        if let Some(first) = self.files.lied()
            && *harm == Harm::None
        {
            *harm = Harm::Lost(first);
        }
        // Some crashes lose nearly everything that was not synced, some nearly nothing.
        let chance = self.random.within(0..11);
        self.files.crash(|_| self.random.below(10) < chance);
    }

    /// Changes a bit of a file. The judge learns of this harm.
    pub(crate) fn flip(&self, harm: Harm) -> String {
        let state = self.files.lock();
        let files: Vec<_> = state.files.iter().filter(|(_, file)| !file.bytes().is_empty()).collect();
        if files.is_empty() {
            return "there is no file to flip a bit of".to_owned();
        }
        let (&number, file) = self.random.choose(&files);
        let bytes = file.bytes();
        let place = || usize::try_from(self.random.below(bytes.len() as u64)).unwrap_or_default();
        let at = std::iter::repeat_with(place).take(DRAWS).find(|at| bytes[*at] != 0).unwrap_or_default();
        drop(state);
        let bit = self.random.below(8);
        self.files.flip(number, at, 1 << bit);
        *self.lock() = harm;
        format!("bit {bit} of byte {at} of file {number} is flipped")
    }

    fn lock(&self) -> MutexGuard<'_, Harm> {
        self.harm.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what is done to the disk into the trace.
fn record(event: Event) {
    match event {
        Event::Write(file, offset, length) => {
            trace::record("write", (file << 40) ^ offset ^ ((length as u64) << 20));
        }
        Event::Sync(file) | Event::SyncLength(file) => trace::record("sync", file),
        Event::Length(length) => trace::record("length", length),
        Event::Remove(file) => trace::record("remove", file),
        Event::Struck(fault) => trace::log(|| format!("the disk is struck: {fault:?}")),
    }
}
