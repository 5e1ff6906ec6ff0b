//! A disk in memory that forgets unsynced writes, fails on demand, and can be full. It holds the database and the segments of
//! the log.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::ops::Bound;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use poll_core::environment::Location;
use redb::{BackendError, StorageBackend};

/// The file of the database; segments have their numbers.
const DATABASE: u64 = 0;
/// What is written whole or not at all.
const SECTOR: usize = 512;

/// What the platter holds, and what only the cache does.
#[derive(Debug, Default, Clone)]
struct File {
    cached: Vec<u8>,
    synced: Vec<u8>,
    /// Writes since the last sync: offset and bytes; a change of length is one without bytes. Those of the log are kept by
    /// sector, because it counts on no more than a sector to be written whole.
    unsynced: Vec<(usize, Vec<u8>)>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<u64, File>,
    /// Segments whose removal a crash would undo.
    removed: BTreeMap<u64, File>,
    /// Which ports may use it; a crash makes those before it useless.
    power: u64,
    locked: bool,
    reads: u64,
    writes: u64,
    syncs: u64,
    opens: u64,
    fault: Fault,
    /// After how many more writes and syncs everything fails, as when the power goes.
    cut: Option<u64>,
    /// Reads of this byte fail, whoever opened the file.
    bad_sector: Option<usize>,
    syncing: Syncing,
    room: Option<usize>,
    free: Option<u64>,
}

/// What goes wrong next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    #[default]
    None,
    /// The write after so many fails and writes nothing.
    Write(u64),
    /// The write after so many fails half way.
    ShortWrite(u64),
    /// The sync after so many fails; what was written since the last may never reach the platter.
    Sync(u64),
    /// The next sync says that it failed and did not, and after that so many tries to open a file, or to cut one off, fail.
    Lie(u64),
    /// So many tries to open a file, or to cut one off, fail.
    Shut(u64),
    /// The read after so many fails.
    Read(u64),
}

/// Whether syncs go through at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Syncing {
    #[default]
    Free,
    /// Each waits to be let through, but for so many.
    Held(u64),
    /// One waits.
    Waiting,
    /// The one that waits may go; the next is held again.
    Passing,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct FakeDisk(Arc<(Mutex<State>, Condvar)>);

/// One process's way to the disk.
#[derive(Debug)]
pub(crate) struct Port {
    disk: FakeDisk,
    power: u64,
}

#[derive(Debug)]
struct Handle {
    disk: FakeDisk,
    power: u64,
    file: u64,
    closed: Mutex<bool>,
}

impl FakeDisk {
    pub(crate) fn port(&self) -> Port {
        Port { disk: self.clone(), power: self.lock().power }
    }

    pub(crate) fn fail(&self, fault: Fault) {
        self.lock().fault = fault;
    }

    /// Writes beyond this many bytes of file find no room.
    pub(crate) fn set_room(&self, room: Option<usize>) {
        self.lock().room = room;
    }

    /// What the disk says is free.
    pub(crate) fn set_free(&self, free: Option<u64>) {
        self.lock().free = free;
    }

    /// The length of all files.
    pub(crate) fn len(&self) -> usize {
        self.lock().length()
    }

    /// All of the database that is on the disk.
    pub(crate) fn contents(&self) -> Vec<u8> {
        self.lock().database().synced.clone()
    }

    /// The numbers of the segments.
    pub(crate) fn segments(&self) -> Vec<u64> {
        self.lock().files.keys().copied().filter(|file| *file != DATABASE).collect()
    }

    /// Changes the byte at a place in a segment.
    pub(crate) fn flip_in_segment(&self, number: u64, at: usize, bits: u8) {
        self.lock().files.get_mut(&number).unwrap().flip(at, bits);
    }

    /// The length of what is in a segment; zeros behind that do not count.
    pub(crate) fn segment_len(&self, number: u64) -> usize {
        self.lock().files[&number].cached.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// How often it was opened.
    pub(crate) fn opens(&self) -> u64 {
        self.lock().opens
    }

    /// The power goes after so many writes and syncs.
    pub(crate) fn cut_power(&self, after: u64) {
        self.lock().cut = Some(after);
    }

    /// Whether it is gone.
    pub(crate) fn is_dark(&self) -> bool {
        self.lock().cut == Some(0)
    }

    /// Syncs wait from now on.
    pub(crate) fn hold_syncs(&self) {
        self.hold_syncs_after(0);
    }

    /// Syncs wait when so many are over.
    pub(crate) fn hold_syncs_after(&self, count: u64) {
        self.lock().syncing = Syncing::Held(count);
    }

    /// Waits until a sync does.
    pub(crate) fn wait_for_sync(&self) {
        drop(self.0.1.wait_while(self.lock(), |state| state.syncing != Syncing::Waiting).unwrap());
    }

    pub(crate) fn sync_waits(&self) -> bool {
        self.lock().syncing == Syncing::Waiting
    }

    /// Lets the sync that waits go; the next waits again.
    pub(crate) fn pass_sync(&self) {
        self.lock().syncing = Syncing::Passing;
        self.0.1.notify_all();
    }

    /// Syncs go through from now on.
    pub(crate) fn free_syncs(&self) {
        self.lock().syncing = Syncing::Free;
        self.0.1.notify_all();
    }

    /// Makes every page that holds `text` senseless, on the platter and in the cache; says how many there were.
    pub(crate) fn spoil(&self, text: &str) -> usize {
        let pages = self.pages_with(text);
        let state = &mut *self.lock();
        let file = state.database_mut();
        for &page in &pages {
            for bytes in [&mut file.cached, &mut file.synced] {
                bytes[page..page + 16].fill(0xff);
            }
        }
        pages.len()
    }

    /// Where `text` lies can no longer be read.
    pub(crate) fn break_sector(&self, text: &str) {
        let page = *self.pages_with(text).last().expect("a page that holds it");
        self.lock().bad_sector = Some(page);
    }

    fn pages_with(&self, text: &str) -> Vec<usize> {
        let state = self.lock();
        let places = state.database().cached.windows(text.len()).enumerate();
        let found = places.filter(|(_, bytes)| *bytes == text.as_bytes());
        let mut pages: Vec<usize> = found.map(|(place, _)| place / 4096 * 4096).collect();
        pages.dedup();
        pages
    }

    pub(crate) fn reads(&self) -> u64 {
        self.lock().reads
    }

    pub(crate) fn writes(&self) -> u64 {
        self.lock().writes
    }

    /// Changes a bit, wherever these bytes lie.
    pub(crate) fn damage(&self, bytes: &[u8]) {
        self.damage_where(bytes.len(), |there| there == bytes);
    }

    /// Changes a bit at the beginning of what `fits`, but not of its first byte, wherever that lies.
    pub(crate) fn damage_where(&self, length: usize, fits: impl Fn(&[u8]) -> bool) {
        let mut state = self.lock();
        let file = state.database_mut();
        assert!(file.unsynced.is_empty(), "it would be written over");
        let there = file.cached.windows(length).enumerate().filter(|(_, there)| fits(there));
        let places: Vec<usize> = there.map(|(at, _)| at).collect();
        assert!(!places.is_empty(), "there is nothing like that");
        for at in places {
            file.flip(at + 1, 0x20);
        }
    }

    /// Changes the byte at a place of the database.
    pub(crate) fn flip(&self, at: usize, bits: u8) {
        self.lock().database_mut().flip(at, bits);
    }

    /// Another disk with the same on it.
    pub(crate) fn copy(&self) -> Self {
        let state = self.lock();
        let mut files = state.files.clone();
        files.values_mut().for_each(|file| file.unsynced.clear());
        let state = State { files, ..State::default() };
        Self(Arc::new((Mutex::new(state), Condvar::new())))
    }

    /// The machine stops. Of the unsynced writes those survive that `luck` says, in any order they were not.
    pub(crate) fn crash(&self, mut luck: impl FnMut(usize) -> bool) {
        let mut state = self.lock();
        let removed = std::mem::take(&mut state.removed);
        state.files.extend(removed);
        let mut index = 0;
        for file in state.files.values_mut() {
            let mut platter = std::mem::take(&mut file.synced);
            for (offset, bytes) in std::mem::take(&mut file.unsynced) {
                if bytes.is_empty() {
                    // A length that grew may or may not have; it never shrinks what was synced.
                    platter.resize(platter.len().max(offset), 0);
                } else if luck(index) {
                    platter.resize(platter.len().max(offset + bytes.len()), 0);
                    platter[offset..offset + bytes.len()].copy_from_slice(&bytes);
                }
                index += 1;
            }
            file.cached.clone_from(&platter);
            file.synced = platter;
        }
        state.power += 1;
        state.locked = false;
        (state.fault, state.cut, state.syncing) = (Fault::None, None, Syncing::Free);
        drop(state);
        self.0.1.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap()
    }
}

impl Location for Port {
    fn name(&self) -> String {
        "a disk in memory".to_owned()
    }

    fn open(&self) -> io::Result<Box<dyn StorageBackend>> {
        if self.disk.lock().power != self.power || self.disk.is_dark() {
            return Err(io::Error::other("the power is gone"));
        }
        self.disk.lock().opens += 1;
        let fault = self.disk.lock().fault;
        if let Fault::Shut(left @ 1..) = fault {
            self.disk.fail(Fault::Shut(left - 1));
            return Err(io::Error::other("the disk is shut"));
        }
        Ok(Box::new(self.handle(DATABASE)))
    }

    fn segments(&self) -> io::Result<Vec<u64>> {
        Ok(self.disk.segments())
    }

    fn open_segment(&self, number: u64) -> io::Result<Box<dyn StorageBackend>> {
        let mut state = self.disk.lock();
        if state.power != self.power || state.cut == Some(0) {
            return Err(io::Error::other("the power is gone"));
        }
        if let Fault::Shut(left @ 1..) = state.fault {
            state.fault = Fault::Shut(left - 1);
            return Err(io::Error::other("the disk is shut"));
        }
        // The directory is synced.
        state.removed.clear();
        state.files.entry(number).or_default();
        drop(state);
        Ok(Box::new(self.handle(number)))
    }

    fn remove_segment(&self, number: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        if state.power != self.power || state.cut == Some(0) {
            return Err(io::Error::other("the power is gone"));
        }
        if let Some(file) = state.files.remove(&number) {
            state.removed.insert(number, file);
        }
        Ok(())
    }

    fn free(&self) -> Option<u64> {
        self.disk.lock().free
    }
}

impl Port {
    fn handle(&self, file: u64) -> Handle {
        Handle { disk: self.disk.clone(), power: self.power, file, closed: Mutex::new(false) }
    }
}

impl File {
    fn flip(&mut self, at: usize, bits: u8) {
        self.cached[at] ^= bits;
        self.synced[at] ^= bits;
    }

    fn put(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.cached.len() < end {
            self.cached.resize(end, 0);
        }
        self.cached[offset..end].copy_from_slice(bytes);
        self.unsynced.push((offset, bytes.to_vec()));
    }

    /// The same, of which each sector may reach the platter by itself.
    fn put_by_sector(&mut self, offset: usize, bytes: &[u8]) {
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let (sector, behind) = rest.split_at((SECTOR - at % SECTOR).min(rest.len()));
            self.put(at, sector);
            (at, rest) = (at + sector.len(), behind);
        }
    }

    fn sync(&mut self) {
        for (offset, bytes) in std::mem::take(&mut self.unsynced) {
            if bytes.is_empty() {
                self.synced.resize(offset, 0);
            } else {
                let end = offset + bytes.len();
                let len = self.synced.len().max(end);
                self.synced.resize(len, 0);
                self.synced[offset..end].copy_from_slice(&bytes);
            }
        }
    }
}

impl State {
    fn database(&self) -> &File {
        &self.files[&DATABASE]
    }

    fn database_mut(&mut self) -> &mut File {
        self.files.entry(DATABASE).or_default()
    }

    fn length(&self) -> usize {
        self.files.values().map(|file| file.cached.len()).sum()
    }

    fn file(&mut self, file: u64) -> &mut File {
        self.files.entry(file).or_default()
    }

    /// Counts one operation down; says whether it is the one that fails.
    fn strikes(&mut self, fits: impl Fn(Fault) -> Option<u64>, less: impl Fn(u64) -> Fault) -> bool {
        match fits(self.fault) {
            Some(0) => true,
            Some(left) => {
                self.fault = less(left - 1);
                false
            }
            None => false,
        }
    }

    fn power_is_cut(&mut self) -> bool {
        match &mut self.cut {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }
}

impl Handle {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.lock();
        let alive = state.power == self.power && !*self.closed.lock().unwrap();
        if alive { Ok(state) } else { Err(io::Error::other("the power is gone")) }
    }

    fn wait_to_sync(&self) -> io::Result<()> {
        let mut state = self.state()?;
        if let Syncing::Held(left @ 1..) = state.syncing {
            state.syncing = Syncing::Held(left - 1);
        } else if state.syncing == Syncing::Held(0) {
            state.syncing = Syncing::Waiting;
            self.disk.0.1.notify_all();
            let waits = |state: &mut State| state.syncing == Syncing::Waiting;
            state = self.disk.0.1.wait_while(state, waits).unwrap();
            if state.syncing == Syncing::Passing {
                state.syncing = Syncing::Held(0);
            }
        }
        Ok(())
    }
}

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state()?.file(self.file).cached.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.state()?;
        state.reads += 1;
        if state.cut == Some(0) {
            return Err(io::Error::other("the power is gone"));
        }
        let offset = usize::try_from(offset).unwrap();
        let fits = |fault| if let Fault::Read(left) = fault { Some(left) } else { None };
        if state.strikes(fits, Fault::Read) {
            state.fault = Fault::None;
            return Err(io::Error::other("the read failed"));
        }
        if self.file == DATABASE
            && state.bad_sector.is_some_and(|bad| (offset..offset + out.len()).contains(&bad))
        {
            return Err(io::Error::other("the sector is bad"));
        }
        let bytes = state.file(self.file).cached.get(offset..offset + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state()?;
        let len = usize::try_from(len).unwrap();
        if let Fault::Shut(left @ 1..) = state.fault
            && self.file != DATABASE
        {
            state.fault = Fault::Shut(left - 1);
            return Err(io::Error::other("the disk is shut"));
        }
        let file = state.file(self.file);
        file.cached.resize(len, 0);
        file.unsynced.push((len, Vec::new()));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.wait_to_sync()?;
        let mut state = self.state()?;
        if state.power_is_cut() {
            return Err(io::Error::other("the power is gone"));
        }
        state.syncs += 1;
        let fits = |fault| if let Fault::Sync(left) = fault { Some(left) } else { None };
        if state.strikes(fits, Fault::Sync) {
            // As kernels do: the pages count as clean from now on, and are never written.
            state.fault = Fault::None;
            state.file(self.file).unsynced.clear();
            return Err(io::Error::other("the sync failed"));
        }
        state.file(self.file).sync();
        if let Fault::Lie(shut) = state.fault {
            state.fault = Fault::Shut(shut);
            return Err(io::Error::other("the sync says it failed"));
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state()?;
        if state.power_is_cut() {
            return Err(io::Error::other("the power is gone"));
        }
        state.writes += 1;
        let offset = usize::try_from(offset).unwrap();
        let grows = (offset + data.len()).saturating_sub(state.file(self.file).cached.len());
        let length = state.length() + grows;
        if state.room.is_some_and(|room| length > room) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let fits = |fault| if let Fault::Write(left) = fault { Some(left) } else { None };
        if state.strikes(fits, Fault::Write) {
            state.fault = Fault::None;
            return Err(io::Error::other("the write failed"));
        }
        let fits = |fault| if let Fault::ShortWrite(left) = fault { Some(left) } else { None };
        if state.strikes(fits, Fault::ShortWrite) {
            state.fault = Fault::None;
            state.file(self.file).put(offset, &data[..data.len() / 2]);
            return Err(io::Error::other("the write stopped half way"));
        }
        if self.file == DATABASE {
            state.file(self.file).put(offset, data);
        } else {
            state.file(self.file).put_by_sector(offset, data);
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        let mut closed = self.closed.lock().unwrap();
        let mut state = self.disk.lock();
        if !*closed && state.power == self.power && self.file == DATABASE {
            state.locked = false;
        }
        *closed = true;
        Ok(())
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        let whole = HashSet::from([Bound::Unbounded, Bound::Included(0)]).contains(&start);
        if !whole || end != Bound::Unbounded {
            return Err(BackendError::Unsupported);
        }
        let mut state = self.state()?;
        Ok(!std::mem::replace(&mut state.locked, true))
    }

    fn unlock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        self.disk.lock().locked = false;
        Ok(())
    }
}
