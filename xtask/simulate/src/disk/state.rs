//! The disk's files, the faults it is struck by, and what they did to it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::platter::Platter;
use crate::random::Random;
use crate::trace;

/// How long a sync takes at most when all is well, in tenths of a millisecond.
const SYNC: u64 = 30;
/// How often a byte that means something is looked for, to change it.
const DRAWS: usize = 1_000;

/// A disk. A clone is the same one.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    state: Arc<Mutex<State>>,
    random: Random,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// By number; the database is 0, and the segments of the log have theirs.
    pub(super) files: BTreeMap<u64, Platter>,
    /// Files whose removal a crash would undo.
    pub(super) removed: BTreeMap<u64, Platter>,
    pub(super) locked: bool,
    pub(super) faults: Faults,
    pub(super) harm: Harm,
    /// Files of which a sync said that it succeeded, and did nothing, and when the first of them did.
    pub(super) lied: BTreeMap<u64, Instant>,
}

/// What goes wrong from now on. A countdown says after how many more calls of the kind.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// The power goes at a write or a sync.
    pub(crate) cut: Option<u64>,
    pub(crate) write: Option<(u64, Failure)>,
    pub(crate) sync: Option<(u64, Failure)>,
    pub(crate) read: Option<u64>,
    /// So many tries to open a file fail.
    pub(crate) shut: u64,
    /// Beyond so many bytes in all there is no room.
    pub(crate) room: Option<usize>,
    /// Syncs take so much longer.
    pub(crate) slow: Duration,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It does nothing, and says so.
    Told,
    /// It does half, or all, and says that it failed.
    Half,
    /// It does nothing, and says that it succeeded.
    Lie,
}

/// What was done to what the server had stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Harm {
    #[default]
    None,
    /// A bit was changed.
    Flipped,
    /// A bit was changed, and the server was ended since: what is damaged of the last commit looks torn.
    FlippedAndStopped,
    /// What was written since then, and synced, was lost in a crash.
    Lost(Instant),
}

#[derive(Clone, Copy)]
pub(super) enum Call {
    Write,
    Sync,
}

impl Disk {
    pub(crate) fn new(random: Random) -> Self {
        Self { state: Arc::default(), random }
    }

    /// Changes what goes wrong.
    pub(crate) fn strike(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.lock().faults);
    }

    /// Nothing goes wrong any more.
    pub(crate) fn heal(&self) {
        self.lock().faults = Faults::default();
    }

    pub(crate) fn harm(&self) -> Harm {
        self.lock().harm
    }

    /// The length of all files.
    pub(crate) fn length(&self) -> usize {
        self.lock().length()
    }

    /// The process ended, and the system goes on.
    pub(crate) fn process_ended(&self) {
        let mut state = self.lock();
        state.locked = false;
        state.faults.cut = None;
        if state.harm == Harm::Flipped {
            state.harm = Harm::FlippedAndStopped;
        }
    }

    /// The power went.
    pub(crate) fn power_went(&self) {
        self.process_ended();
        let state = &mut *self.lock();
        if let Some(first) = std::mem::take(&mut state.lied).into_values().min()
            && state.harm == Harm::None
        {
            state.harm = Harm::Lost(first);
        }
        let removed = std::mem::take(&mut state.removed);
        // Whether the directory was written.
        state.files.extend(removed.into_iter().filter(|_| self.random.once_in(2)));
        // Some crashes lose nearly everything that was not synced, some nearly nothing.
        let chance = self.random.within(0..11);
        for file in state.files.values_mut() {
            file.crash(|| self.random.below(10) < chance);
        }
    }

    /// Changes a bit of a file.
    pub(crate) fn flip(&self) -> String {
        let state = &mut *self.lock();
        let numbers: Vec<u64> = state
            .files
            .iter()
            .filter(|(_, file)| !file.bytes().is_empty())
            .map(|(number, _)| *number)
            .collect();
        if numbers.is_empty() {
            return "there is no file to flip a bit of".to_owned();
        }
        let number = self.random.choose(&numbers);
        let Some(file) = state.files.get_mut(&number) else { return String::new() };
        let bytes = file.bytes();
        let place = || usize::try_from(self.random.below(bytes.len() as u64)).unwrap_or_default();
        // Most of a file is zeros that mean nothing yet.
        let at = std::iter::repeat_with(place).take(DRAWS).find(|at| bytes[*at] != 0).unwrap_or_default();
        let bit = self.random.below(8);
        file.flip(at, u32::try_from(bit).unwrap_or_default());
        state.harm = Harm::Flipped;
        format!("bit {bit} of byte {at} of file {number} is flipped")
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a sync takes now.
    pub(super) fn sync_time(&self) -> Duration {
        let slow = self.lock().faults.slow;
        slow + Duration::from_micros(100 * self.random.below(SYNC))
    }
}

impl State {
    pub(super) fn length(&self) -> usize {
        self.files.values().map(|file| file.bytes().len()).sum()
    }

    pub(super) fn file(&mut self, number: u64) -> &mut Platter {
        self.files.entry(number).or_default()
    }

    /// Counts a call; says how it fails.
    pub(super) fn failure(&mut self, call: Call) -> Option<Failure> {
        let fault = match call {
            Call::Write => &mut self.faults.write,
            Call::Sync => &mut self.faults.sync,
        };
        match fault {
            Some((0, failure)) => {
                let failure = *failure;
                *fault = None;
                Some(failure)
            }
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        }
    }

    /// Counts a call; says whether the power goes with it.
    pub(super) fn is_cut(&mut self) -> bool {
        match &mut self.faults.cut {
            Some(0) => {
                self.faults.cut = None;
                true
            }
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }

    pub(super) fn write(&mut self, number: u64, offset: usize, bytes: &[u8]) -> io::Result<()> {
        let grows = (offset + bytes.len()).saturating_sub(self.file(number).bytes().len());
        let length = self.length() + grows;
        if self.faults.room.is_some_and(|room| length > room) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        trace::note("write", (number << 40) ^ (offset as u64) ^ ((bytes.len() as u64) << 20));
        match self.failure(Call::Write) {
            None => {
                self.file(number).write(offset, bytes);
                return Ok(());
            }
            Some(Failure::Told | Failure::Lie) => {}
            Some(Failure::Half) => self.file(number).write(offset, &bytes[..bytes.len() / 2]),
        }
        trace::tell(|| "a write fails".to_owned());
        Err(io::Error::other("the write failed"))
    }

    pub(super) fn sync(&mut self, number: u64) -> io::Result<()> {
        trace::note("sync", number);
        match self.failure(Call::Sync) {
            None => {
                self.file(number).sync();
                self.lied.remove(&number);
                return Ok(());
            }
            Some(Failure::Lie) => {
                trace::tell(|| format!("a sync of file {number} lies"));
                if !self.file(number).is_synced() {
                    self.lied.entry(number).or_insert_with(Instant::now);
                }
                return Ok(());
            }
            Some(Failure::Told) => self.file(number).forget_unsynced(),
            Some(Failure::Half) => self.file(number).sync(),
        }
        trace::tell(|| format!("a sync of file {number} fails"));
        Err(io::Error::other("the sync failed"))
    }
}
