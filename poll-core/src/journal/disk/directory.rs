//! A directory that holds the journal as one file: how it is made, locked, and recognised.
//!
//! Two locks keep a second server out. The database locks its file, wherever that is moved to; this locks the
//! directory, so that a server which would make a new file there is refused while the old one, renamed, is still
//! open. Both are locks on what was opened and not on a path.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;
use redb::backends::FileBackend;

use super::synced_file::Medium;

/// The file's name within its directory.
const FILE: &str = "poll.redb";

/// A directory that holds the journal as one file. A clone is the same place, and not in use by the clone.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    file: PathBuf,
    held: Mutex<Held>,
}

/// What is known of a directory that is in use.
#[derive(Debug, Default)]
struct Held {
    /// The directory, locked for as long as this is open.
    #[expect(dead_code, reason = "it is there to be closed")]
    lock: Option<File>,
    /// The file that was opened.
    identity: Option<Identity>,
}

/// Tells one file from all others, whatever they are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Directory {
    /// The directory at `path`, which is made if there is none.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { file: path.join(FILE), path, held: Mutex::default() }
    }

    /// The file's own path.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a file is the one that was opened, and has not been emptied.
    fn recognise(&self, found: &Metadata) -> io::Result<()> {
        let same = self.held().identity.is_none_or(|identity| identity == Identity::of(found));
        if !same {
            return Err(gone("another file has its name"));
        }
        if found.len() == 0 {
            return Err(gone("it was emptied"));
        }
        Ok(())
    }
}

impl Clone for Directory {
    fn clone(&self) -> Self {
        Self::new(&self.path)
    }
}

impl Medium for Directory {
    fn name(&self) -> String {
        self.file.display().to_string()
    }

    fn open(&self) -> io::Result<Box<dyn StorageBackend>> {
        make_directories(&self.path, &mut sync_directory)?;
        let lock = lock_directory(&self.path)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&self.file)?;
        // The name must outlast a power cut as the content does.
        sync_directory(&self.path)?;
        *self.held() = Held { lock, identity: Some(Identity::of(&file.metadata()?)) };
        storage(file)
    }

    fn reopen(&self) -> io::Result<Box<dyn StorageBackend>> {
        let file = OpenOptions::new().read(true).write(true).open(&self.file)?;
        self.recognise(&file.metadata()?)?;
        storage(file)
    }

    fn look(&self) -> io::Result<()> {
        self.recognise(&std::fs::metadata(&self.file)?)
    }

    fn release(&self) {
        *self.held() = Held::default();
    }

    fn free(&self) -> Option<u64> {
        let room = rustix::fs::statvfs(&self.path).ok()?;
        Some(room.f_bavail.saturating_mul(room.f_frsize))
    }
}

impl Identity {
    #[cfg(unix)]
    fn of(file: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self { device: file.dev(), inode: file.ino() }
    }

    /// Elsewhere a file is not told from another of its name.
    #[cfg(not(unix))]
    fn of(_: &Metadata) -> Self {
        Self { device: 0, inode: 0 }
    }
}

fn storage(file: File) -> io::Result<Box<dyn StorageBackend>> {
    let backend = FileBackend::new(file).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(Box::new(backend))
}

fn gone(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, why)
}

/// Takes the lock on a directory. `None` where a file system has none for directories: the file has its own.
fn lock_directory(path: &Path) -> io::Result<Option<File>> {
    let directory = File::open(path)?;
    match directory.try_lock() {
        Ok(()) => Ok(Some(directory)),
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// Makes a directory and all above it that are missing, each of them kept by `sync` in the one above it. That one
/// is synced even where nothing is made, because an earlier start may have stopped between the two.
fn make_directories(path: &Path, sync: &mut dyn FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    let above = match path.parent() {
        Some(above) if above.as_os_str().is_empty() => Path::new("."),
        Some(above) => above,
        None => return Ok(()),
    };
    if !path.is_dir() {
        if !above.is_dir() {
            make_directories(above, sync)?;
        }
        match std::fs::create_dir(path) {
            // Somebody else was faster.
            Err(_) if path.is_dir() => {}
            made => made?,
        }
        return sync(above);
    }
    // It is somebody else's, and may not be readable: what was made in it is theirs to keep.
    drop(sync(above));
    Ok(())
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_directory_that_is_made_is_synced_in_the_one_above_it() {
        let root = tempfile::tempdir().unwrap();
        let synced = |path: &str| {
            let mut synced = Vec::new();
            make_directories(&root.path().join(path), &mut |path| {
                synced.push(path.strip_prefix(root.path().parent().unwrap()).unwrap().to_owned());
                sync_directory(path)
            })
            .unwrap();
            let root = Path::new(root.path().file_name().unwrap());
            let under = |path: PathBuf| path.strip_prefix(root).unwrap().display().to_string();
            synced.into_iter().map(under).collect::<Vec<_>>()
        };
        assert_eq!(synced("one/two/three"), ["", "one", "one/two"]);
        assert_eq!(synced("one/two/four"), ["one/two"]);
        assert_eq!(synced("one/two"), ["one"], "as if it had stopped before");
    }

    #[test]
    fn a_relative_path_lies_in_the_directory_of_the_process() {
        let mut synced = Vec::new();
        let made = make_directories(Path::new("src"), &mut |path| {
            synced.push(path.to_owned());
            Ok(())
        });
        made.unwrap();
        assert_eq!(synced, [Path::new(".")]);
    }
}
