//! Places of the file that cannot be read, and whose they are.
//!
//! An error of input fails the whole database, which then has to be opened again. If the same place cannot be read
//! then either, the disk is bad there and nowhere else. So the place is remembered with the channel that was asked
//! for, and tried before the database is: as long as it fails, that channel is damaged, and nobody else is held up.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::types::{ChannelName, NameMap};
use redb::{Error, StorageBackend};

/// Channels remembered; a disk with more that cannot be read is bad as a whole.
const REMEMBERED: usize = 1_024;

/// A place in the file: its offset and length.
type Region = (u64, usize);

#[derive(Default)]
pub(super) struct Unreadable {
    channels: Mutex<NameMap<Region>>,
    /// How many those are: mostly none, and then nobody waits for the others.
    count: AtomicUsize,
    /// The file as it was opened last.
    storage: Mutex<Option<Weak<dyn StorageBackend>>>,
    /// Where it failed. It is read no more after that.
    failed: Mutex<Option<Region>>,
}

impl Unreadable {
    /// The file was opened.
    pub(super) fn opened(&self, storage: &Arc<dyn StorageBackend>) {
        *lock(&self.storage) = Some(Arc::downgrade(storage));
        *lock(&self.failed) = None;
    }

    /// This place could not be read.
    pub(super) fn failed(&self, offset: u64, len: usize) {
        *lock(&self.failed) = Some((offset, len));
    }

    /// Whoever looked for this channel got that error. Others may get the ones that come of it.
    pub(super) fn blame(&self, channel: Option<&ChannelName>, error: &Error) {
        let (Some(channel), Error::Io(_)) = (channel, error) else { return };
        let Some(place) = lock(&self.failed).take() else { return };
        let mut channels = lock(&self.channels);
        if channels.len() < REMEMBERED {
            channels.insert(channel.clone(), place);
            self.count.store(channels.len(), Ordering::Relaxed);
        }
    }

    /// Whether a channel was found unreadable.
    pub(super) fn has(&self, channel: &ChannelName) -> bool {
        self.count.load(Ordering::Relaxed) > 0 && lock(&self.channels).contains_key(channel)
    }

    /// Looks whether it still is.
    pub(super) fn check(&self, channel: &ChannelName) -> Result<(), Error> {
        if !self.has(channel) {
            return Ok(());
        }
        let place = lock(&self.channels).get(channel).copied();
        let storage = lock(&self.storage).as_ref().and_then(Weak::upgrade);
        let (Some((offset, len)), Some(storage)) = (place, storage) else { return Ok(()) };
        if let Err(error) = storage.read(offset, &mut vec![0; len]) {
            return Err(Error::Corrupted(format!("{len} bytes at {offset} cannot be read: {error}")));
        }
        let mut channels = lock(&self.channels);
        channels.remove(channel);
        self.count.store(channels.len(), Ordering::Relaxed);
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
