//! What a journal can be kept in, and the watch on its reads and writes.
//!
//! After a failed fsync a kernel may hold pages that it will never write, and shows them to whoever reads the
//! file: it would look as if they had been kept. So everything written since the last good fsync is remembered,
//! and written once more before the file is trusted again.

use std::fmt::Debug;
use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use redb::{BackendError, StorageBackend};

use super::unreadable::Unreadable;

/// Something that one journal can be kept in. The usual one is a [`Directory`](super::Directory); tests bring others.
pub trait Medium: Debug + Send + Sync + 'static {
    /// What to call it in an error.
    fn name(&self) -> String;

    /// Opens it, or makes it. It is in use from then on, until it is [released](Self::release).
    ///
    /// # Errors
    /// What the operating system says; [`WouldBlock`](io::ErrorKind::WouldBlock) where another process uses it.
    fn open(&self) -> io::Result<Box<dyn StorageBackend>>;

    /// Opens what was open before, and nothing else: it makes nothing.
    ///
    /// # Errors
    /// What the operating system says; [`NotFound`](io::ErrorKind::NotFound) where that is not there any more.
    fn reopen(&self) -> io::Result<Box<dyn StorageBackend>> {
        self.open()
    }

    /// Looks whether what is open is still what [`reopen`](Self::reopen), and the next start, would find.
    ///
    /// # Errors
    /// Those of [`reopen`](Self::reopen).
    fn look(&self) -> io::Result<()> {
        Ok(())
    }

    /// Lets others use it.
    fn release(&self) {}

    /// How many bytes it has room for; `None` where that cannot be known.
    fn free(&self) -> Option<u64> {
        None
    }
}

/// What the watch knows, for as long as the process runs.
#[derive(Default)]
pub(super) struct Watch {
    /// What was written since the last good fsync, as offsets and lengths.
    unsynced: Mutex<Vec<(u64, usize)>>,
    pub(super) unreadable: Unreadable,
    /// How often the file's first page was written, or that was tried. It names the root of everything: before it
    /// is written, a commit has not happened.
    roots: AtomicU64,
    /// How long the file is.
    length: AtomicU64,
}

/// The length of the first page.
const ROOT: u64 = 4_096;

impl Watch {
    /// How often a commit has come so far that it may have happened.
    pub(super) fn roots(&self) -> u64 {
        self.roots.load(Ordering::Relaxed)
    }

    /// How long the file is, in bytes.
    pub(super) fn length(&self) -> u64 {
        self.length.load(Ordering::Relaxed)
    }
}

/// A medium's storage with the watch on it.
pub(super) struct Watched {
    storage: Arc<dyn StorageBackend>,
    watch: Arc<Watch>,
    mended: AtomicBool,
    /// The file's, once it is known.
    length: AtomicU64,
}

impl Watched {
    pub(super) fn new(storage: Box<dyn StorageBackend>, watch: &Arc<Watch>) -> Self {
        let storage = Arc::from(storage);
        watch.unreadable.opened(&storage);
        let mended = AtomicBool::new(false);
        Self { storage, watch: watch.clone(), mended, length: AtomicU64::new(0) }
    }

    fn take(&self) -> Vec<(u64, usize)> {
        std::mem::take(&mut *self.watch.unsynced.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn remember(&self, ranges: impl IntoIterator<Item = (u64, usize)>) {
        self.watch.unsynced.lock().unwrap_or_else(PoisonError::into_inner).extend(ranges);
    }

    /// Writes once more what may not have reached the disk: before anything is read, but after the file was
    /// locked, for only then is it ours.
    fn mend(&self) -> io::Result<()> {
        if self.mended.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let ranges = self.take();
        if ranges.is_empty() {
            return Ok(());
        }
        let mended = self.write_again(&ranges);
        if mended.is_err() {
            self.remember(ranges);
        }
        mended
    }

    fn write_again(&self, ranges: &[(u64, usize)]) -> io::Result<()> {
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

impl Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.storage.fmt(f)
    }
}

impl StorageBackend for Watched {
    fn len(&self) -> io::Result<u64> {
        self.mend()?;
        let length = self.storage.len()?;
        self.length.store(length, Ordering::Relaxed);
        self.watch.length.store(length, Ordering::Relaxed);
        Ok(length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.mend()?;
        // Only damage leads beyond the end of the file. An error would count as one of the disk's, and take the whole file
        // away; what is in `out` makes no sense, and is told as damage.
        let (length, end) = (self.length.load(Ordering::Relaxed), offset.saturating_add(out.len() as u64));
        if length > 0 && end > length {
            return Ok(());
        }
        let read = self.storage.read(offset, out);
        if read.is_err() {
            self.watch.unreadable.failed(offset, out.len());
        }
        read
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.storage.set_len(len)?;
        self.length.store(len, Ordering::Relaxed);
        self.watch.length.store(len, Ordering::Relaxed);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let ranges = self.take();
        let synced = self.storage.sync_data();
        if synced.is_err() {
            self.remember(ranges);
        }
        synced
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.remember([(offset, data.len())]);
        if offset < ROOT {
            self.watch.roots.fetch_add(1, Ordering::Relaxed);
        }
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
