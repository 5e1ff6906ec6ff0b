//! A disk in memory that loses what was not synced when the power fails, and fails on demand. It holds the database and the
//! segments of the log.
//!
//! Why here: the tests of the disk journal and the simulation (`xtask/simulate`) share it, so a crash, a fault or a full disk
//! means the same in both.
//! Not here: when a fault strikes. The tests choose a call, the simulation follows its seed.

mod fault;
mod gate;
mod platter;
mod port;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

pub(crate) use fault::Fault;
use fault::{Call, Faults};
use gate::Gate;
pub(crate) use platter::Platter;
pub(crate) use port::Port;

/// The file of the database; segments have their numbers.
pub(crate) const DATABASE: u64 = 0;

/// A disk, and the power of the machines that use it one after another. Clones are the same disk.
#[derive(Clone, Default)]
pub(crate) struct FakeDisk(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    gate: Gate,
    /// Notified when the power fails.
    went: Notify,
    watch: Option<Watch>,
}

/// Called before each thing that is done to the disk, without a lock held, so it may take its time.
type Watch = Box<dyn Fn(Event) + Send + Sync>;

/// Something that is done to the disk, or goes wrong with it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// A file is written to: its number, the offset, and how many bytes.
    Write(u64, u64, usize),
    /// A file is synced.
    Sync(u64),
    /// The same of a file that just got another length.
    SyncLength(u64),
    /// A file's length is set.
    Length(u64),
    /// A file is removed.
    Remove(u64),
    /// A fault strikes.
    Struck(Fault),
}

/// What the disk holds, and what goes wrong with it.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) files: BTreeMap<u64, Platter>,
    /// Files whose removal a crash may undo.
    removed: BTreeMap<u64, Platter>,
    pub(crate) counts: Counts,
    faults: Faults,
    /// Reads of this byte of the database fail.
    pub(crate) bad_sector: Option<usize>,
    /// How many bytes there is room for in all.
    pub(crate) room: Option<usize>,
    /// The free space that the disk reports, if that is not the room left.
    free: Option<u64>,
    /// The note of a panic that ended a process.
    pub(crate) panic: Option<String>,
    locked: bool,
    /// Counts the machines: those before this one have lost their power.
    machine: u64,
    is_dark: bool,
}

/// How often each thing was done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    pub(crate) syncs: u64,
    /// How often the database was opened.
    pub(crate) opens: u64,
}

impl FakeDisk {
    /// A disk whose events `watch` is called with.
    pub(crate) fn watched(watch: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner { watch: Some(Box::new(watch)), ..Inner::default() }))
    }

    /// The access to the disk of the machine that is on.
    pub(crate) fn port(&self) -> Port {
        Port { disk: self.clone(), machine: self.lock().machine }
    }

    /// Adds a fault to those that are still to strike.
    pub(crate) fn fail(&self, fault: Fault) {
        self.lock().faults.add(fault);
    }

    /// Removes all faults, and the limits on room.
    pub(crate) fn heal(&self) {
        let mut state = self.lock();
        (state.faults, state.room, state.free) = (Faults::default(), None, None);
    }

    /// Limits the bytes of all files.
    pub(crate) fn set_room(&self, room: Option<usize>) {
        self.lock().room = room;
    }

    /// Sets the free space that the disk reports, whatever room is left.
    pub(crate) fn set_free(&self, free: Option<u64>) {
        self.lock().free = free;
    }

    /// The bytes of all files.
    pub(crate) fn len(&self) -> usize {
        self.lock().length()
    }

    /// The gate that holds syncs.
    pub(crate) fn gate(&self) -> &Gate {
        &self.0.gate
    }

    /// The power fails: nothing that this machine does reaches the disk from now on.
    pub(crate) fn cut_power(&self) {
        let mut state = self.lock();
        (state.machine, state.is_dark) = (state.machine + 1, true);
        drop(state);
        self.0.went.notify_one();
    }

    /// Returns once the power has failed.
    pub(crate) async fn power_went(&self) {
        self.0.went.notified().await;
    }

    /// Whether the power is off: it has failed, and is not [back](Self::crash).
    pub(crate) fn is_dark(&self) -> bool {
        self.lock().is_dark
    }

    /// The process ended, and another one starts. What it wrote is still in the cache.
    pub(crate) fn process_ended(&self) {
        self.lock().go_on();
    }

    /// The machine stops, and another one is on. Of what was not synced (each removal, each change of a length, each sector of a
    /// write) `luck` is asked, with a running number, what survives.
    pub(crate) fn crash(&self, mut luck: impl FnMut(usize) -> bool) {
        let state = &mut *self.lock();
        let mut place = 0..;
        let mut survives = || place.next().is_some_and(&mut luck);
        let removed = std::mem::take(&mut state.removed);
        state.files.extend(removed.into_iter().filter(|_| !survives()));
        state.files.values_mut().for_each(|file| file.crash(&mut survives));
        state.go_on();
        self.0.gate.free();
    }

    /// Since when something is not on the disk although a sync reported success.
    pub(crate) fn lied(&self) -> Option<Instant> {
        let state = self.lock();
        state.files.values().chain(state.removed.values()).filter_map(Platter::lied).min()
    }

    /// Changes bits of a byte of a file.
    pub(crate) fn flip(&self, file: u64, at: usize, bits: u8) {
        self.lock().file(file).flip(at, bits);
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, event: Event) {
        if let Some(watch) = &self.0.watch {
            watch(event);
        }
    }

    /// Counts a call; returns the fault that strikes it, if any.
    fn struck(&self, call: Call) -> Option<Fault> {
        let struck = self.lock().faults.strike(call)?;
        self.tell(Event::Struck(struck));
        Some(struck)
    }
}

impl State {
    /// The database as it is.
    pub(crate) fn database(&mut self) -> &mut Platter {
        self.file(DATABASE)
    }

    fn file(&mut self, number: u64) -> &mut Platter {
        self.files.entry(number).or_default()
    }

    /// Another process or machine is on. Faults that have not struck remain, except those of the power.
    fn go_on(&mut self) {
        self.machine += 1;
        (self.is_dark, self.locked) = (false, false);
        self.faults.power_stays();
    }

    /// The numbers of the segments.
    pub(crate) fn segments(&self) -> Vec<u64> {
        self.files.keys().copied().filter(|file| *file != DATABASE).collect()
    }

    fn length(&self) -> usize {
        self.files.values().map(|file| file.bytes().len()).sum()
    }

    /// Fails if there is no room for a file of this length.
    fn check_room(&mut self, number: u64, end: usize) -> io::Result<()> {
        let grows = end.saturating_sub(self.file(number).bytes().len());
        let is_full = self.room.is_some_and(|room| self.length() + grows > room);
        if is_full && grows > 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl std::fmt::Debug for FakeDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a disk in memory")
    }
}
