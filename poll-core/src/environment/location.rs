//! Where a journal's file is.

use std::fmt::Debug;
use std::io;

use redb::StorageBackend;

/// A place for the one file of a journal. The usual one is a [`Directory`](super::Directory); tests bring others.
pub trait Location: Debug + Send + Sync + 'static {
    /// What to call the file in an error.
    fn name(&self) -> String;

    /// Opens the file, or creates it where the location may be written. The location is in use from then on, until it is
    /// [released](Self::release).
    ///
    /// # Errors
    /// What the operating system says; [`WouldBlock`](io::ErrorKind::WouldBlock) where another process uses it.
    fn open(&self) -> io::Result<Box<dyn StorageBackend>>;

    /// Opens the file that was open before, and no other. It creates nothing.
    ///
    /// # Errors
    /// What the operating system says; [`NotFound`](io::ErrorKind::NotFound) where that file is no longer there.
    fn reopen(&self) -> io::Result<Box<dyn StorageBackend>> {
        self.open()
    }

    /// Checks that the open file is still the one that [`reopen`](Self::reopen), and the next start, would find.
    ///
    /// # Errors
    /// Those of [`reopen`](Self::reopen).
    fn verify(&self) -> io::Result<()> {
        Ok(())
    }

    /// Lets others use the location.
    fn release(&self) {}

    /// How many bytes there is room for; `None` where that cannot be known.
    fn free(&self) -> Option<u64> {
        None
    }

    /// The numbers of the log's segments that are there, in order.
    ///
    /// # Errors
    /// What the operating system says.
    fn segments(&self) -> io::Result<Vec<u64>>;

    /// Opens a segment of the log, or creates it where the location may be written. Its name survives a power cut.
    ///
    /// # Errors
    /// What the operating system says.
    fn open_segment(&self, number: u64) -> io::Result<Box<dyn StorageBackend>>;

    /// Removes a segment of the log, if it is there.
    ///
    /// # Errors
    /// What the operating system says.
    fn remove_segment(&self, number: u64) -> io::Result<()>;

    /// Records the message of the panic that is about to end this process, for those that come after it. A power cut may lose
    /// it.
    ///
    /// # Errors
    /// What the operating system says.
    fn note_panic(&self, message: &str) -> io::Result<()>;

    /// What an earlier process recorded, and how to have the file opened anyway; `None` if there is nothing.
    ///
    /// # Errors
    /// What the operating system says.
    fn noted_panic(&self) -> io::Result<Option<String>>;
}

impl Location for Box<dyn Location> {
    fn name(&self) -> String {
        (**self).name()
    }

    fn open(&self) -> io::Result<Box<dyn StorageBackend>> {
        (**self).open()
    }

    fn reopen(&self) -> io::Result<Box<dyn StorageBackend>> {
        (**self).reopen()
    }

    fn verify(&self) -> io::Result<()> {
        (**self).verify()
    }

    fn release(&self) {
        (**self).release();
    }

    fn free(&self) -> Option<u64> {
        (**self).free()
    }

    fn segments(&self) -> io::Result<Vec<u64>> {
        (**self).segments()
    }

    fn open_segment(&self, number: u64) -> io::Result<Box<dyn StorageBackend>> {
        (**self).open_segment(number)
    }

    fn remove_segment(&self, number: u64) -> io::Result<()> {
        (**self).remove_segment(number)
    }

    fn note_panic(&self, message: &str) -> io::Result<()> {
        (**self).note_panic(message)
    }

    fn noted_panic(&self) -> io::Result<Option<String>> {
        (**self).noted_panic()
    }
}
