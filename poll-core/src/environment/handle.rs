//! The handle to an environment.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "disk")]
use super::location::Location;
use super::platform::{Exit, Platform, Thread};
use super::seeded::Seeded;
use super::system::System;
use crate::types::Timestamp;

/// Where time, randomness, threads and files come from. A clone is the same one.
#[derive(Clone)]
pub struct Environment(Arc<dyn Platform>);

impl Environment {
    /// The operating system's.
    #[must_use]
    pub fn system() -> Self {
        Self::new(System)
    }

    /// A deterministic one: the same for the same seed; see [`Seeded`].
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self::new(Seeded::new(seed))
    }

    /// One of the caller's.
    pub fn new(platform: impl Platform) -> Self {
        Self(Arc::new(platform))
    }

    /// The same with another clock, for tests.
    #[must_use]
    pub fn with_clock(&self, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self::new(Clocked { platform: self.0.clone(), clock })
    }

    /// The time of day.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.now()
    }

    /// 64 random bits that cannot be guessed from outside.
    #[must_use]
    pub fn random(&self) -> u64 {
        self.0.random()
    }

    /// Starts a thread; see [`Thread`].
    ///
    /// # Errors
    /// If the operating system cannot create a thread or its runtime.
    pub fn spawn(&self, thread: Thread) -> io::Result<Exit> {
        self.0.spawn(thread)
    }

    /// The content of the file at `path`. It may block, but never for another program: a pipe is not read.
    ///
    /// # Errors
    /// If it is not a regular file, cannot be read, or is not UTF-8.
    pub fn read_file(&self, path: &Path) -> io::Result<String> {
        self.0.read_file(path)
    }

    /// Replaces the file at `path`, or creates it and the folders above it, so that only its owner reads it. After a crash it
    /// is as it was before, or as it is now. It may block.
    ///
    /// # Errors
    /// What the operating system says; the file is as it was before.
    pub fn write_secret(&self, path: &Path, content: &str) -> io::Result<()> {
        self.0.write_secret(path, content)
    }

    /// How long each of `count` small writes to a new file in `directory` takes until it is synced. The file is removed. It
    /// blocks.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn sync_times(&self, directory: &Path, count: usize) -> io::Result<Vec<Duration>> {
        self.0.sync_times(directory, count)
    }

    /// The directory at `path`, as the location of a journal.
    #[cfg(feature = "disk")]
    #[must_use]
    pub fn directory(&self, path: &Path) -> Box<dyn Location> {
        self.0.directory(path)
    }
}

impl Default for Environment {
    fn default() -> Self {
        Self::system()
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment").finish_non_exhaustive()
    }
}

/// A platform with another clock.
struct Clocked<C> {
    platform: Arc<dyn Platform>,
    clock: C,
}

impl<C: Fn() -> Timestamp + Send + Sync + 'static> Platform for Clocked<C> {
    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    fn random(&self) -> u64 {
        self.platform.random()
    }

    fn spawn(&self, thread: Thread) -> io::Result<Exit> {
        self.platform.spawn(thread)
    }

    fn read_file(&self, path: &Path) -> io::Result<String> {
        self.platform.read_file(path)
    }

    fn write_secret(&self, path: &Path, content: &str) -> io::Result<()> {
        self.platform.write_secret(path, content)
    }

    fn sync_times(&self, directory: &Path, count: usize) -> io::Result<Vec<Duration>> {
        self.platform.sync_times(directory, count)
    }

    #[cfg(feature = "disk")]
    fn directory(&self, path: &Path) -> Box<dyn Location> {
        self.platform.directory(path)
    }
}
