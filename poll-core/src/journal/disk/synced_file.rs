//! The journal's file, and what may not have reached the disk.
//!
//! After a failed fsync, a kernel may hold pages that it will never write, and still show them to readers of the file: they
//! look as if they had been kept. So every range written since the last good fsync is remembered, and is written once
//! more before the file is trusted again.

use std::fmt::Debug;
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use redb::{BackendError, StorageBackend};

use super::unreadable::Unreadable;
use crate::sync::Mutex;

/// What is known of the file for as long as the process runs, however often it is opened.
#[derive(Default)]
pub(super) struct FileState {
    /// What was written since the last good fsync, as offsets and lengths.
    unsynced: Mutex<Vec<(u64, usize)>>,
    pub(super) unreadable: Unreadable,
    /// The file's length; zero until it is known.
    length: AtomicU64,
}

impl FileState {
    /// The file's length, in bytes.
    pub(super) fn length(&self) -> u64 {
        self.length.load(Ordering::Relaxed)
    }
}

/// An open file.
pub(super) struct SyncedFile {
    storage: Arc<dyn StorageBackend>,
    state: Arc<FileState>,
    /// Whether what may not have reached the disk was written again.
    rewritten: AtomicBool,
}

impl SyncedFile {
    pub(super) fn new(storage: Box<dyn StorageBackend>, state: &Arc<FileState>) -> Self {
        let storage = Arc::from(storage);
        state.unreadable.opened(&storage);
        state.length.store(0, Ordering::Relaxed);
        Self { storage, state: state.clone(), rewritten: AtomicBool::new(false) }
    }

    fn take_unsynced(&self) -> Vec<(u64, usize)> {
        std::mem::take(&mut *self.state.unsynced.lock())
    }

    fn remember(&self, ranges: impl IntoIterator<Item = (u64, usize)>) {
        self.state.unsynced.lock().extend(ranges);
    }

    /// Writes what may not have reached the disk once more: before anything is read, but after the file was locked, because
    /// only then is it ours.
    fn rewrite_unsynced(&self) -> io::Result<()> {
        if self.rewritten.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let ranges = self.take_unsynced();
        if ranges.is_empty() {
            return Ok(());
        }
        let rewritten = self.rewrite(&ranges);
        if rewritten.is_err() {
            self.remember(ranges);
        }
        rewritten
    }

    fn rewrite(&self, ranges: &[(u64, usize)]) -> io::Result<()> {
        let len = self.storage.len()?;
        for &(offset, count) in ranges {
            let left = usize::try_from(len.saturating_sub(offset)).unwrap_or(usize::MAX);
            let mut bytes = vec![0; count.min(left)];
            self.storage.read(offset, &mut bytes)?;
            self.storage.write(offset, &bytes)?;
        }
        self.storage.sync_data()
    }
}

impl Debug for SyncedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.storage.fmt(f)
    }
}

impl StorageBackend for SyncedFile {
    fn len(&self) -> io::Result<u64> {
        self.rewrite_unsynced()?;
        let length = self.storage.len()?;
        self.state.length.store(length, Ordering::Relaxed);
        Ok(length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.rewrite_unsynced()?;
        // Only damage leads beyond the end of the file. An error would count as the disk's and close the whole file; the
        // contents of `out` make no sense, and count as damage.
        let (length, end) = (self.state.length(), offset.saturating_add(out.len() as u64));
        if length > 0 && end > length {
            return Ok(());
        }
        let read = self.storage.read(offset, out);
        if read.is_err() {
            self.state.unreadable.failed(offset, out.len());
        }
        read
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.storage.set_len(len)?;
        self.state.length.store(len, Ordering::Relaxed);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let ranges = self.take_unsynced();
        let synced = self.storage.sync_data();
        if synced.is_err() {
            self.remember(ranges);
        }
        synced
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.remember([(offset, data.len())]);
        self.storage.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.storage.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.storage.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.storage.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.storage.query_lock_range(start, end)
    }
}
