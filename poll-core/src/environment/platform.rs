//! What an environment has to provide, and the threads that it runs.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;

#[cfg(feature = "disk")]
use super::directory::Directory;
#[cfg(feature = "disk")]
use super::location::Location;
use crate::types::Timestamp;

/// The implementation of an [`Environment`](super::Environment).
pub trait Platform: Send + Sync + 'static {
    /// The time of day.
    fn now(&self) -> Timestamp;

    /// 64 random bits.
    fn random(&self) -> u64;

    /// Runs a thread's work.
    ///
    /// # Errors
    /// When there is no thread to be had.
    fn spawn(&self, thread: Thread) -> io::Result<Exit>;

    /// The content of the file at `path`: a key, a certificate, whatever else an operator may replace.
    ///
    /// # Errors
    /// What the operating system says, or that it is not a regular file.
    fn read_file(&self, path: &Path) -> io::Result<String> {
        super::text_file::read(path)
    }

    /// Replaces the file at `path`, or creates it and the folders above it, so that only its owner reads it. After a crash it
    /// is as it was before, or as it is now.
    ///
    /// # Errors
    /// What the operating system says; the file is as it was before.
    fn write_secret(&self, path: &Path, content: &str) -> io::Result<()> {
        super::secret_file::write(path, content)
    }

    /// How long each of `count` small writes to a new file in `directory` takes until it is synced. The file is removed.
    ///
    /// # Errors
    /// What the operating system says.
    fn sync_times(&self, directory: &Path, count: usize) -> io::Result<Vec<Duration>> {
        super::sync_probe::times(directory, count)
    }

    /// The directory at `path`.
    #[cfg(feature = "disk")]
    fn directory(&self, path: &Path) -> Box<dyn Location> {
        Box::new(Directory::new(path))
    }
}

/// Work that has a thread to itself, with a single-threaded tokio runtime. It may block. A simulation may run it, and
/// what it spawns, on a runtime that it shares with others; then it must not.
pub struct Thread {
    /// Shown by debuggers and `ps`.
    pub name: String,
    /// How many tasks run before the runtime looks at sockets and timers again, if not the runtime's own number.
    pub event_interval: Option<u32>,
    /// Called whenever the runtime has nothing more to run and goes to look at sockets and timers.
    pub on_park: Option<fn()>,
    /// The thread ends with it, and so do all tasks that it has spawned.
    pub work: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Resolves once a thread and its tasks have ended, whether or not it panicked.
#[derive(Debug)]
pub struct Exit(oneshot::Receiver<Infallible>);

/// Held for as long as a thread runs.
#[derive(Debug)]
pub struct Running(#[expect(dead_code, reason = "dropping it is the message")] oneshot::Sender<Infallible>);

impl Exit {
    /// An exit that resolves when what is held is dropped.
    #[must_use]
    pub fn pair() -> (Running, Self) {
        let (running, exit) = oneshot::channel();
        (Running(running), Self(exit))
    }
}

impl Future for Exit {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(|_ended| ())
    }
}

impl Thread {
    /// One with the runtime's defaults.
    pub fn new(name: impl Into<String>, work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { name: name.into(), event_interval: None, on_park: None, work: Box::pin(work) }
    }
}

impl std::fmt::Debug for Thread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Thread").field("name", &self.name).finish_non_exhaustive()
    }
}
