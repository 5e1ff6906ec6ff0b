//! Regions of the file that cannot be read, and the channels they belong to.
//!
//! A read error fails the whole database, which then has to be opened again. If the same region still cannot be read, the
//! disk is bad there and nowhere else. So the region is remembered with the channel whose read failed, and tried before the
//! database is: as long as it fails, that channel counts as damaged, and no other is affected.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use redb::{Error, StorageBackend};

use crate::sync::Mutex;
use crate::types::{ChannelName, NameMap};

/// How many channels are remembered; a disk with more unreadable ones is bad as a whole.
const REMEMBERED: usize = 1_024;

/// A region of the file: offset and length.
type Region = (u64, usize);

#[derive(Default)]
pub(super) struct Unreadable {
    channels: Mutex<NameMap<Region>>,
    /// Their number. Usually zero, and then the lock is not taken.
    count: AtomicUsize,
    /// The file, as last opened.
    storage: Mutex<Option<Weak<dyn StorageBackend>>>,
    /// Where a read failed. Nothing more is read after that.
    failed: Mutex<Option<Region>>,
}

impl Unreadable {
    /// The file was opened.
    pub(super) fn opened(&self, storage: &Arc<dyn StorageBackend>) {
        *self.storage.lock() = Some(Arc::downgrade(storage));
        *self.failed.lock() = None;
    }

    /// This region could not be read.
    pub(super) fn failed(&self, offset: u64, len: usize) {
        *self.failed.lock() = Some((offset, len));
    }

    /// Assigns the failed region to the channel whose read failed first. Other channels may see errors that follow from it.
    pub(super) fn attribute(&self, channel: Option<&ChannelName>, error: &Error) {
        let (Some(channel), Error::Io(_)) = (channel, error) else { return };
        let Some(region) = self.failed.lock().take() else { return };
        let mut channels = self.channels.lock();
        if channels.len() < REMEMBERED {
            channels.insert(channel.clone(), region);
            self.count.store(channels.len(), Ordering::Relaxed);
        }
    }

    /// Tries a channel's region again, if there is one.
    pub(super) fn check(&self, channel: &ChannelName) -> Result<(), Error> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        let region = self.channels.lock().get(channel).copied();
        let storage = self.storage.lock().as_ref().and_then(Weak::upgrade);
        let (Some((offset, len)), Some(storage)) = (region, storage) else { return Ok(()) };
        if let Err(error) = storage.read(offset, &mut vec![0; len]) {
            return Err(Error::Corrupted(format!("{len} bytes at {offset} cannot be read: {error}")));
        }
        self.forget(channel);
        Ok(())
    }

    /// A channel needs nothing of its region any more.
    pub(super) fn forget(&self, channel: &ChannelName) {
        let mut channels = self.channels.lock();
        channels.remove(channel);
        self.count.store(channels.len(), Ordering::Relaxed);
    }
}
