//! A disk in memory that forgets what was not synced when the power goes, and fails as it is told. It holds the database and
//! the segments of the log.
//!
//! There is one for the tests of the disk journal and for the simulation, so that a crash, a fault or a full disk means the
//! same in both. When it is struck is up to them: the tests strike at a given call, the simulation as its seed says.

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

/// A disk, and the power of the machines that use it one after the other. A clone is the same one.
#[derive(Clone, Default)]
pub(crate) struct FakeDisk(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    gate: Gate,
    /// Notified when the power goes.
    went: Notify,
    watch: Option<Watch>,
}

/// Called with what is done to the disk, before it is. It may take its time: nothing is locked meanwhile.
type Watch = Box<dyn Fn(Event) + Send + Sync>;

/// Something that is done to the disk, or goes wrong with it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// So many bytes are written to a file at an offset.
    Write(u64, u64, usize),
    /// A file is synced.
    Sync(u64),
    /// A file gets this length.
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
    /// Beyond so many bytes in all there is no room.
    pub(crate) room: Option<usize>,
    /// What the disk says is free, if that is not what there is room for.
    free: Option<u64>,
    locked: bool,
    /// Counts the machines: those before this one have lost their power.
    machine: u64,
    is_dark: bool,
}

/// How often what was done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    pub(crate) syncs: u64,
    /// How often the database was opened.
    pub(crate) opens: u64,
}

impl FakeDisk {
    /// One that `watch` sees.
    pub(crate) fn watched(watch: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner { watch: Some(Box::new(watch)), ..Inner::default() }))
    }

    /// The way to it of the machine that is on.
    pub(crate) fn port(&self) -> Port {
        Port { disk: self.clone(), machine: self.lock().machine }
    }

    /// Has something go wrong, besides what is to go wrong already.
    pub(crate) fn fail(&self, fault: Fault) {
        self.lock().faults.add(fault);
    }

    /// Nothing goes wrong any more, and there is room.
    pub(crate) fn heal(&self) {
        let mut state = self.lock();
        (state.faults, state.room, state.free) = (Faults::default(), None, None);
    }

    /// Beyond so many bytes of all files there is no room.
    pub(crate) fn set_room(&self, room: Option<usize>) {
        self.lock().room = room;
    }

    /// What the disk says is free, whatever there is room for.
    pub(crate) fn set_free(&self, free: Option<u64>) {
        self.lock().free = free;
    }

    /// The length of all files.
    pub(crate) fn len(&self) -> usize {
        self.lock().length()
    }

    /// Syncs that are held until they are let through.
    pub(crate) fn gate(&self) -> &Gate {
        &self.0.gate
    }

    /// The power goes: nothing that this machine does reaches the disk from now on.
    pub(crate) fn cut_power(&self) {
        let mut state = self.lock();
        (state.machine, state.is_dark) = (state.machine + 1, true);
        drop(state);
        self.0.went.notify_one();
    }

    /// Returns once the power went.
    pub(crate) async fn power_went(&self) {
        self.0.went.notified().await;
    }

    /// Whether the power is gone, and was not [back](Self::crash) since.
    pub(crate) fn is_dark(&self) -> bool {
        self.lock().is_dark
    }

    /// The process ended, and another one is started. What it wrote is still in the cache.
    pub(crate) fn process_ended(&self) {
        self.lock().go_on();
    }

    /// The machine stops, and another one is on. Of what was not synced that survives which `luck` says, by its place: each
    /// removal, each change of a length, each sector of a write.
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

    /// Since when what a sync said that it did is not on the disk.
    pub(crate) fn lied(&self) -> Option<Instant> {
        let state = self.lock();
        state.files.values().chain(state.removed.values()).filter_map(|file| file.lied).min()
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

    /// Counts a call; gives what goes wrong with it.
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

    /// Another process or machine is on. The faults that wait are still to come, but for the last one's power.
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

    /// Whether a file may get this long.
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
