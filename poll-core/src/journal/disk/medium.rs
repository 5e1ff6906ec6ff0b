//! Where the file lives, and the watch on its writes.
//!
//! After a failed fsync a kernel may hold pages that it will never write, and shows them to whoever reads the
//! file: it would look as if they had been kept. So everything written since the last good fsync is remembered,
//! and written once more before the file is trusted again.

use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

/// Something that one journal can be kept in. The usual one is a [`Directory`]; tests bring others.
pub trait Medium: Debug + Send + Sync + 'static {
    /// What to call it in an error.
    fn name(&self) -> String;

    /// Opens it, or makes it.
    ///
    /// # Errors
    /// What the operating system says.
    fn open(&self) -> io::Result<Box<dyn StorageBackend>>;

    /// How many bytes it has room for; `None` where that cannot be known.
    fn free(&self) -> Option<u64> {
        None
    }
}

/// A directory that holds the journal as one file.
#[derive(Debug, Clone)]
pub struct Directory {
    path: PathBuf,
    file: PathBuf,
}

/// The file's name within its directory.
const FILE: &str = "poll.redb";

impl Directory {
    /// The directory at `path`, which is made if there is none.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { file: path.join(FILE), path }
    }

    /// The file's own path.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }
}

impl Medium for Directory {
    fn name(&self) -> String {
        self.file.display().to_string()
    }

    fn open(&self) -> io::Result<Box<dyn StorageBackend>> {
        std::fs::create_dir_all(&self.path)?;
        let is_new = !self.file.exists();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&self.file)?;
        if is_new {
            // The name must outlast a power cut as the content does.
            File::open(&self.path)?.sync_all()?;
        }
        let backend = FileBackend::new(file).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Box::new(backend))
    }

    fn free(&self) -> Option<u64> {
        let room = rustix::fs::statvfs(&self.path).ok()?;
        Some(room.f_bavail.saturating_mul(room.f_frsize))
    }
}

/// What was written since the last good fsync, as offsets and lengths.
pub(super) type Unsynced = Arc<Mutex<Vec<(u64, usize)>>>;

/// A medium's storage with the watch on it.
#[derive(Debug)]
pub(super) struct Watched {
    storage: Box<dyn StorageBackend>,
    unsynced: Unsynced,
    mended: AtomicBool,
    /// The file's, once it is known.
    length: AtomicU64,
}

impl Watched {
    pub(super) fn new(storage: Box<dyn StorageBackend>, unsynced: Unsynced) -> Self {
        Self { storage, unsynced, mended: AtomicBool::new(false), length: AtomicU64::new(0) }
    }

    fn take(&self) -> Vec<(u64, usize)> {
        std::mem::take(&mut *self.unsynced.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn remember(&self, ranges: impl IntoIterator<Item = (u64, usize)>) {
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner).extend(ranges);
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

impl StorageBackend for Watched {
    fn len(&self) -> io::Result<u64> {
        self.mend()?;
        let length = self.storage.len()?;
        self.length.store(length, Ordering::Relaxed);
        Ok(length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.mend()?;
        // Only damage leads beyond the end of the file. An error would count as one of the disk's, and take the whole file
        // away; what is in `out` makes no sense, and is told as damage.
        let (length, end) = (self.length.load(Ordering::Relaxed), offset.saturating_add(out.len() as u64));
        if length > 0 && end > length { Ok(()) } else { self.storage.read(offset, out) }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.storage.set_len(len)?;
        self.length.store(len, Ordering::Relaxed);
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
