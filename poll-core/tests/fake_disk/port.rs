//! One machine's access to the disk, in the form that a journal takes.

use std::io;
use std::ops::Bound;
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicBool, Ordering};

use poll_core::environment::Location;
use redb::{BackendError, StorageBackend};

use super::fault::{Call, Fault};
use super::{DATABASE, Event, FakeDisk, State};

/// See the [module](self). Useless once the machine has lost its power.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub(super) disk: FakeDisk,
    pub(super) machine: u64,
}

/// An open file.
#[derive(Debug)]
struct Handle {
    port: Port,
    file: u64,
    closed: AtomicBool,
    /// The database has another length, and was not synced since.
    resized: AtomicBool,
}

impl Port {
    /// The disk; an error once the power is off.
    fn lock(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.lock();
        if state.machine == self.machine { Ok(state) } else { Err(io::Error::other("the power is gone")) }
    }

    fn handle(&self, file: u64) -> io::Result<Box<dyn StorageBackend>> {
        self.check_shut()?;
        let mut state = self.lock()?;
        if file == DATABASE {
            state.counts.opens += 1;
        } else {
            // The directory is synced.
            state.removed.clear();
        }
        state.file(file);
        Ok(Box::new(Handle {
            port: self.clone(),
            file,
            closed: AtomicBool::new(false),
            resized: AtomicBool::new(false),
        }))
    }

    fn check_shut(&self) -> io::Result<()> {
        drop(self.lock()?);
        self.disk.struck(Call::Open).map_or(Ok(()), |_| Err(io::Error::other("the disk is shut")))
    }
}

impl Location for Port {
    fn name(&self) -> String {
        "a disk in memory".to_owned()
    }

    fn open(&self) -> io::Result<Box<dyn StorageBackend>> {
        self.handle(DATABASE)
    }

    fn segments(&self) -> io::Result<Vec<u64>> {
        Ok(self.lock()?.segments())
    }

    fn open_segment(&self, number: u64) -> io::Result<Box<dyn StorageBackend>> {
        self.handle(number)
    }

    fn remove_segment(&self, number: u64) -> io::Result<()> {
        self.disk.tell(Event::Remove(number));
        let mut state = self.lock()?;
        if let Some(file) = state.files.remove(&number) {
            state.removed.insert(number, file);
        }
        Ok(())
    }

    fn note_panic(&self, message: &str) -> io::Result<()> {
        self.lock()?.panic = Some(message.to_owned());
        Ok(())
    }

    fn noted_panic(&self) -> io::Result<Option<String>> {
        Ok(self.lock()?.panic.clone())
    }

    fn free(&self) -> Option<u64> {
        let state = self.disk.lock();
        state.free.or(state.room.map(|room| room.saturating_sub(state.length()) as u64))
    }
}

impl Handle {
    /// The disk; an error once the power is off or the file is closed.
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let is_closed = self.closed.load(Ordering::Relaxed);
        if is_closed { Err(io::Error::other("it is closed")) } else { self.port.lock() }
    }

    fn unlock(&self) {
        if let Ok(mut state) = self.port.lock() {
            state.locked = false;
        }
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state()?.file(self.file).bytes().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.state()?.counts.reads += 1;
        if self.port.disk.struck(Call::Read).is_some() {
            return Err(io::Error::other("the read failed"));
        }
        let mut state = self.state()?;
        let range = place(offset)..place(offset).saturating_add(out.len());
        if self.file == DATABASE && state.bad_sector.is_some_and(|bad| range.contains(&bad)) {
            return Err(io::Error::other("the sector is bad"));
        }
        let bytes = state.file(self.file).bytes().get(range);
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        drop(self.state()?);
        self.port.disk.tell(Event::Length(len));
        self.resized.store(self.file == DATABASE, Ordering::Relaxed);
        if self.file != DATABASE {
            self.port.check_shut()?;
        }
        let mut state = self.state()?;
        state.check_room(self.file, place(len))?;
        state.file(self.file).set_len(place(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        drop(self.state()?);
        let disk = &self.port.disk;
        // redb syncs a longer file at once, and holds a lock meanwhile that readers wait for. A sync that is held, or takes
        // time, would stop the test.
        if self.resized.swap(false, Ordering::Relaxed) {
            disk.tell(Event::SyncLength(self.file));
        } else {
            disk.tell(Event::Sync(self.file));
            disk.gate().enter();
        }
        self.state()?.counts.syncs += 1;
        let struck = disk.struck(Call::Sync);
        if let Some(Fault::Power(_)) = struck {
            disk.cut_power();
        }
        let mut state = self.state()?;
        let file = state.file(self.file);
        match struck {
            Some(Fault::SyncLies(_)) => file.lie(),
            Some(Fault::Sync(_)) => file.forget_unsynced(),
            _ => file.sync(),
        }
        match struck {
            Some(Fault::Sync(_) | Fault::SyncDone(..)) => Err(io::Error::other("the sync failed")),
            _ => Ok(()),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let disk = &self.port.disk;
        disk.tell(Event::Write(self.file, offset, data.len()));
        let mut state = self.state()?;
        state.counts.writes += 1;
        state.check_room(self.file, place(offset).saturating_add(data.len()))?;
        drop(state);
        let struck = disk.struck(Call::Write);
        let written = if let Some(Fault::ShortWrite(_)) = struck { data.len() / 2 } else { data.len() };
        if !matches!(struck, Some(Fault::Write(_))) {
            self.state()?.file(self.file).write(place(offset), &data[..written]);
        }
        if let Some(Fault::Power(_)) = struck {
            disk.cut_power();
        }
        struck.map_or(Ok(()), |_| Err(io::Error::other("the write failed")))
    }

    fn close(&self) -> io::Result<()> {
        if !self.closed.swap(true, Ordering::Relaxed) && self.file == DATABASE {
            self.unlock();
        }
        Ok(())
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        let is_whole = matches!(start, Bound::Unbounded | Bound::Included(0)) && end == Bound::Unbounded;
        if !is_whole {
            return Err(BackendError::Unsupported);
        }
        Ok(!std::mem::replace(&mut self.state()?.locked, true))
    }

    /// No two readers meet in a test.
    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.try_lock_range(start, end)
    }

    fn unlock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        self.unlock();
        Ok(())
    }
}
