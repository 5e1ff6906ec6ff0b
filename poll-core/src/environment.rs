//! What a program takes from outside itself: the time of day, randomness, threads and files.
//!
//! Everything of that kind comes in through an [`Environment`], so that a whole server can be run by a simulation
//! which gives the same every time. Timers and tasks are the [runtime](tokio::runtime)'s that an [`Environment`]
//! starts; where its clock is paused, time passes as the simulation says. Sockets are bound outside and handed to the
//! server.
//!
//! Not here: what anybody does with these.

#[cfg(feature = "disk")]
mod directory;
mod hash_key;
#[cfg(feature = "disk")]
mod location;
mod platform;
mod seeded;
mod system;

use std::io;
#[cfg(feature = "disk")]
use std::path::Path;
use std::sync::Arc;

use crate::types::Timestamp;
#[cfg(feature = "disk")]
pub use directory::Directory;
pub use hash_key::{HashKey, KeyedMap};
#[cfg(feature = "disk")]
pub use location::Location;
pub use platform::{Exit, Platform, Running, Thread};
pub use seeded::Seeded;
use system::System;

/// Where time, randomness, threads and files come from. A clone is the same one.
#[derive(Clone)]
pub struct Environment(Arc<dyn Platform>);

impl Environment {
    /// The operating system's.
    #[must_use]
    pub fn system() -> Self {
        Self::new(System)
    }

    /// One that gives the same for the same seed; see [`Seeded`].
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self::new(Seeded::new(seed))
    }

    /// One of the caller's.
    pub fn new(platform: impl Platform) -> Self {
        Self(Arc::new(platform))
    }

    /// The time of day.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.now()
    }

    /// 64 random bits that nobody outside can guess.
    #[must_use]
    pub fn random(&self) -> u64 {
        self.0.random()
    }

    /// A key for hash tables, so that nobody outside can choose what collides in them.
    #[must_use]
    pub fn hash_key(&self) -> HashKey {
        HashKey::new([self.random(), self.random()])
    }

    /// An empty table with a key of its own.
    #[must_use]
    pub fn map<K, V>(&self) -> KeyedMap<K, V> {
        KeyedMap::with_hasher(self.hash_key())
    }

    /// Starts a thread; see [`Thread`].
    ///
    /// # Errors
    /// When the operating system gives no thread, or what its runtime needs.
    pub fn spawn(&self, thread: Thread) -> io::Result<Exit> {
        self.0.spawn(thread)
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
