//! A directory that holds a journal's file: how it is created, locked and recognised.
//!
//! Two locks keep a second server out. The database locks its file, wherever that is moved to. The lock here is on the
//! directory: while the old file is still open under another name, a server that would create a new one is refused.
//! Both are held on what was opened, not on a path.
//!
//! A directory can also be opened only to be read, which works on a file system that cannot be written.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use redb::StorageBackend;
use redb::backends::FileBackend;

use super::location::Location;
use crate::sync::Mutex;

/// The file's name within its directory.
const FILE: &str = "poll.redb";
/// The message of a panic that ended a process.
const PANIC: &str = "poll.panic";
/// How the names of the log's segments begin, before their numbers in hexadecimal.
const SEGMENT: &str = "poll.log.";

/// A directory that holds a journal's file. A clone names the same directory, but does not hold its locks.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    file: PathBuf,
    access: Access,
    held: Mutex<Held>,
}

/// What may be done to the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

/// What is held and known while the directory is in use.
#[derive(Debug, Default)]
struct Held {
    /// The directory, locked until this is closed.
    #[expect(dead_code, reason = "closing it unlocks the directory")]
    lock: Option<File>,
    /// The file that was opened.
    identity: Option<Identity>,
}

/// Identifies a file whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Directory {
    /// The directory at `path`, which is created if there is none.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::of(path.into(), Access::Write)
    }

    /// The directory at `path`, in which nothing is created, written or removed. For [`check`](crate::journal::disk::check)
    /// and [`salvage`](crate::journal::disk::salvage), which only read; a journal cannot be opened in it.
    pub fn read_only(path: impl Into<PathBuf>) -> Self {
        Self::of(path.into(), Access::Read)
    }

    fn of(path: PathBuf, access: Access) -> Self {
        Self { file: path.join(FILE), path, access, held: Mutex::default() }
    }

    /// The file's own path.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    fn segment(&self, number: u64) -> PathBuf {
        self.path.join(format!("{SEGMENT}{number:016x}"))
    }

    /// Opens a file. Where it may be written, it is created if there is none, and its name survives a power cut just as its
    /// content does.
    fn open_file(&self, path: &Path) -> io::Result<File> {
        if self.access == Access::Read {
            return File::open(path);
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        sync_directory(&self.path)?;
        Ok(file)
    }

    /// Checks that a file is the one that was opened, and has not been truncated to nothing.
    fn recognise(&self, found: &Metadata) -> io::Result<()> {
        let same = self.held.lock().identity.is_none_or(|identity| identity == Identity::of(found));
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
        Self::of(self.path.clone(), self.access)
    }
}

impl Location for Directory {
    fn name(&self) -> String {
        self.file.display().to_string()
    }

    fn open(&self) -> io::Result<Box<dyn StorageBackend>> {
        if self.access == Access::Write {
            make_directories(&self.path, &mut sync_directory)?;
        }
        let lock = lock_directory(&self.path)?;
        if self.access == Access::Write && !self.file.exists() {
            // It is about another file.
            remove(&self.path.join(PANIC))?;
        }
        let file = self.open_file(&self.file)?;
        *self.held.lock() = Held { lock, identity: Some(Identity::of(&file.metadata()?)) };
        storage(file)
    }

    fn reopen(&self) -> io::Result<Box<dyn StorageBackend>> {
        let file = OpenOptions::new().read(true).write(self.access == Access::Write).open(&self.file)?;
        self.recognise(&file.metadata()?)?;
        storage(file)
    }

    fn verify(&self) -> io::Result<()> {
        self.recognise(&std::fs::metadata(&self.file)?)
    }

    fn release(&self) {
        *self.held.lock() = Held::default();
    }

    fn free(&self) -> Option<u64> {
        let room = rustix::fs::statvfs(&self.path).ok()?;
        Some(room.f_bavail.saturating_mul(room.f_frsize))
    }

    fn segments(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            numbers.extend(entry?.file_name().to_str().and_then(segment_number));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn open_segment(&self, number: u64) -> io::Result<Box<dyn StorageBackend>> {
        storage(self.open_file(&self.segment(number))?)
    }

    fn remove_segment(&self, number: u64) -> io::Result<()> {
        if self.access == Access::Read {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        remove(&self.segment(number))
    }

    fn note_panic(&self, message: &str) -> io::Result<()> {
        if self.access == Access::Read {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        let mut file = self.open_file(&self.path.join(PANIC))?;
        file.set_len(0)?;
        file.write_all(message.as_bytes())
    }

    fn noted_panic(&self) -> io::Result<Option<String>> {
        let path = self.path.join(PANIC);
        match std::fs::read(&path) {
            Ok(note) => {
                let note = String::from_utf8_lossy(&note);
                Ok(Some(format!("{note}; remove {} to open it anyway", path.display())))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Identity {
    #[cfg(unix)]
    fn of(file: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self { device: file.dev(), inode: file.ino() }
    }

    /// Elsewhere a file that replaced another goes unnoticed.
    #[cfg(not(unix))]
    fn of(_: &Metadata) -> Self {
        Self { device: 0, inode: 0 }
    }
}

/// Removes a file, if it is there.
fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn storage(file: File) -> io::Result<Box<dyn StorageBackend>> {
    let backend = FileBackend::new(file).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(Box::new(backend))
}

fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(SEGMENT).filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}

fn gone(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, why)
}

/// Locks a directory. `None` on file systems that cannot: the file's own lock has to do there.
fn lock_directory(path: &Path) -> io::Result<Option<File>> {
    let directory = File::open(path)?;
    match directory.try_lock() {
        Ok(()) => Ok(Some(directory)),
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// Creates a directory and its missing parents, and syncs the parent of each. The parent is synced even if the directory
/// exists, because an earlier start may have stopped between creating and syncing.
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
            // Another process created it first.
            Err(_) if path.is_dir() => {}
            made => made?,
        }
        return sync(above);
    }
    // The parent was there before us and may not be readable; then syncing it is not our task.
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
    fn what_is_only_read_is_not_changed() {
        let root = tempfile::tempdir().unwrap();
        let names = |path: &Path| -> Vec<_> {
            std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect()
        };
        let there_is_none = Directory::read_only(root.path().join("none")).open();
        assert_eq!(there_is_none.unwrap_err().kind(), io::ErrorKind::NotFound);
        let reading = Directory::read_only(root.path());
        assert_eq!(reading.open().unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(reading.open_segment(1).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(names(root.path()).is_empty());

        let writing = Directory::new(root.path());
        for file in [writing.open().unwrap(), writing.open_segment(1).unwrap()] {
            file.write(0, b"kept").unwrap();
        }
        assert_eq!(reading.open().unwrap_err().kind(), io::ErrorKind::WouldBlock, "a server has it");
        writing.release();
        for file in [reading.clone().open().unwrap(), reading.open_segment(1).unwrap()] {
            assert!(file.write(0, b"lost").is_err() && file.set_len(0).is_err());
            let mut content = [0; 4];
            file.read(0, &mut content).unwrap();
            assert_eq!(&content, b"kept");
        }
        reading.remove_segment(1).unwrap_err();
        assert_eq!(reading.segments().unwrap(), [1]);
    }

    #[test]
    fn a_panic_is_noted_beside_the_file() {
        let root = tempfile::tempdir().unwrap();
        let (writing, reading) = (Directory::new(root.path()), Directory::read_only(root.path()));
        for place in [&writing, &reading, &Directory::new(root.path().join("none"))] {
            assert_eq!(place.noted_panic().unwrap(), None);
        }
        reading.note_panic("lost").unwrap_err();
        writing.note_panic("kept").unwrap();
        let advice = format!("kept; remove {} to open it anyway", root.path().join(PANIC).display());
        for place in [&writing, &reading] {
            assert_eq!(place.noted_panic().unwrap().as_ref(), Some(&advice));
        }
        drop(writing.open().unwrap());
        assert_eq!(reading.noted_panic().unwrap(), None, "it was about another file");
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
