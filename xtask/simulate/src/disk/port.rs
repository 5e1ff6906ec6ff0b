//! One machine's way to the disk, as a journal takes it.

use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};

use poll_core::environment::Location;
use redb::{BackendError, StorageBackend};

use super::state::Disk;
use crate::power::Supply;
use crate::thread::take_time;
use crate::trace;

/// The file of the database.
const DATABASE: u64 = 0;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Port {
    disk: Disk,
    supply: Supply,
}

/// An open file.
#[derive(Debug)]
struct Handle {
    disk: Disk,
    supply: Supply,
    file: u64,
    closed: AtomicBool,
}

impl Port {
    pub(crate) fn new(disk: Disk, supply: Supply) -> Self {
        Self { disk, supply }
    }

    fn handle(&self, file: u64) -> io::Result<Handle> {
        self.supply.check()?;
        let mut state = self.disk.lock();
        if state.faults.shut > 0 {
            state.faults.shut -= 1;
            trace::tell(|| format!("file {file} cannot be opened"));
            return Err(io::Error::other("the disk is shut"));
        }
        if file != DATABASE {
            // The directory is synced.
            state.removed.clear();
        }
        state.file(file);
        drop(state);
        let (disk, supply) = (self.disk.clone(), self.supply.clone());
        Ok(Handle { disk, supply, file, closed: AtomicBool::new(false) })
    }
}

impl Location for Port {
    fn name(&self) -> String {
        "a simulated disk".to_owned()
    }

    fn open(&self) -> io::Result<Box<dyn StorageBackend>> {
        Ok(Box::new(self.handle(DATABASE)?))
    }

    fn segments(&self) -> io::Result<Vec<u64>> {
        self.supply.check()?;
        Ok(self.disk.lock().files.keys().copied().filter(|file| *file != DATABASE).collect())
    }

    fn open_segment(&self, number: u64) -> io::Result<Box<dyn StorageBackend>> {
        Ok(Box::new(self.handle(number)?))
    }

    fn remove_segment(&self, number: u64) -> io::Result<()> {
        self.supply.check()?;
        trace::note("remove", number);
        let mut state = self.disk.lock();
        if let Some(file) = state.files.remove(&number) {
            state.removed.insert(number, file);
        }
        Ok(())
    }

    fn free(&self) -> Option<u64> {
        let state = self.disk.lock();
        let room = state.faults.room?;
        Some(room.saturating_sub(state.length()) as u64)
    }
}

impl Handle {
    fn check(&self) -> io::Result<()> {
        self.supply.check()?;
        if self.closed.load(Ordering::Relaxed) { Err(io::Error::other("it is closed")) } else { Ok(()) }
    }

    /// Whether the power goes with this call.
    fn cut(&self) -> io::Result<()> {
        if self.disk.lock().is_cut() {
            trace::tell(|| "the power goes at a write or sync".to_owned());
            self.supply.cut();
        }
        self.supply.check()
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        self.check()?;
        Ok(self.disk.lock().file(self.file).bytes().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.check()?;
        let mut state = self.disk.lock();
        match &mut state.faults.read {
            Some(0) => {
                state.faults.read = None;
                trace::tell(|| "a read fails".to_owned());
                return Err(io::Error::other("the read failed"));
            }
            Some(left) => *left -= 1,
            None => {}
        }
        let offset = place(offset);
        let bytes = state.file(self.file).bytes().get(offset..offset.saturating_add(out.len()));
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check()?;
        trace::note("length", len);
        let mut state = self.disk.lock();
        let grows = place(len).saturating_sub(state.file(self.file).bytes().len());
        let length = state.length() + grows;
        if grows > 0 && state.faults.room.is_some_and(|room| length > room) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.file(self.file).set_len(place(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check()?;
        self.cut()?;
        take_time(self.disk.sync_time());
        self.check()?;
        self.disk.lock().sync(self.file)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check()?;
        self.disk.lock().write(self.file, place(offset), data)?;
        self.cut()
    }

    fn close(&self) -> io::Result<()> {
        let was_closed = self.closed.swap(true, Ordering::Relaxed);
        if !was_closed && self.supply.is_on() && self.file == DATABASE {
            self.disk.lock().locked = false;
        }
        Ok(())
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        let is_whole = matches!(start, Bound::Unbounded | Bound::Included(0)) && end == Bound::Unbounded;
        if !is_whole {
            return Err(BackendError::Unsupported);
        }
        self.check()?;
        Ok(!std::mem::replace(&mut self.disk.lock().locked, true))
    }

    fn unlock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        if self.supply.is_on() {
            self.disk.lock().locked = false;
        }
        Ok(())
    }
}
