//! Loading channels from the journal on first use, and unloading others to make room.
//!
//! A channel that was asked for and does not exist is resident too for a while, so that readers who wait for its first
//! message know that there has been none. It does not count as a channel.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::handle::{Backing, Inner, Store};
use super::question::Retry;
use super::single_flight::Flight;
use crate::channel::{Channel, Minting};
use crate::journal::{Archive, Health, Loaded};
use crate::life::Life;
use crate::types::{ChannelName, JournalError, Timestamp};

/// The most channels that one load unloads when too many are in memory.
const VICTIMS: usize = 4;

/// How long a channel stays in memory at least after its last use: a sealed time must have passed before the seal is
/// forgotten.
const SEALED: Duration = Duration::from_millis(1);

impl Store {
    /// Loads a channel, if it is not in memory. For callers that have to report a fault instead of waiting: all ways to
    /// read wait until the journal is back.
    ///
    /// # Errors
    /// If the channel is not in memory and the journal cannot be read now.
    pub async fn load(&self, now: Timestamp, channel: &ChannelName) -> Result<(), JournalError> {
        let Some(archive) = self.archive() else { return Ok(()) };
        if self.residents().get(channel).is_some() {
            return Ok(());
        }
        archive.health().borrow().check_readable()?;
        self.resident(archive, now, channel).await.map(drop)
    }

    /// Whether the journal can be used. A journal without an archive always can.
    #[must_use]
    pub fn health(&self) -> Health {
        self.archive().map_or(Health::Ready, |archive| archive.health().borrow().clone())
    }

    /// The same as it changes; `None` for a journal without an archive.
    #[must_use]
    pub fn watch_health(&self) -> Option<watch::Receiver<Health>> {
        self.archive().map(Archive::health)
    }

    /// A channel to read from; `None` if there is none. Waits until the journal can say so.
    ///
    /// # Errors
    /// When it never will: the channel is damaged, or the journal is gone.
    pub(super) async fn find(
        &self,
        now: Timestamp,
        name: &ChannelName,
    ) -> Result<Option<Arc<Channel>>, JournalError> {
        if let Some(channel) = self.residents().get(name) {
            return Ok(Some(channel));
        }
        let Some(archive) = self.archive() else { return Ok(None) };
        let mut retry = Retry::default();
        loop {
            retry.begin(archive);
            match self.resident(archive, now, name).await {
                Ok(channel) => return Ok(Some(channel)),
                Err(error) => retry.after(error).await?,
            }
        }
    }

    /// The channel with a name, loaded if need be; concurrent callers share the load.
    pub(super) async fn resident(
        &self,
        archive: &dyn Archive,
        now: Timestamp,
        name: &ChannelName,
    ) -> Result<Arc<Channel>, JournalError> {
        let cached = || self.residents().get(name);
        self.0.loads.share(name, cached, |flight| self.start_load(archive, now, name, flight)).await
    }

    /// Loads a channel. It is in memory before anything else is called from the journal's reply.
    pub(super) fn start_load(
        &self,
        archive: &dyn Archive,
        now: Timestamp,
        name: &ChannelName,
        flight: Flight<ChannelName, Arc<Channel>>,
    ) {
        let (loading, minting) = (name.clone(), self.minting());
        self.question(
            name,
            move |store, loaded| {
                let epoch = store.residents.new_epoch();
                let loaded = loaded.and_then(|loaded: Option<Loaded>| loaded.map(with_life).transpose());
                let install =
                    |loaded| store.install(Channel::resumed(loading, loaded, epoch, minting, now), now);
                flight.answer(loaded.map(install));
            },
            |reply| archive.load(name, now, reply),
        );
    }

    fn minting(&self) -> Minting {
        if self.shared().is_some() { Minting::Elsewhere } else { Minting::Here }
    }
}

/// A channel with its life read.
pub(super) fn with_life(loaded: Loaded) -> Result<(Loaded, Option<Life>), JournalError> {
    let life = loaded.life.as_deref().map(Life::from_bytes).transpose();
    let life = life.map_err(|error| JournalError::Damaged(error.to_string()))?;
    Ok((loaded, life))
}

impl Inner {
    fn install(&self, channel: Channel, now: Timestamp) -> Arc<Channel> {
        let residents = &self.residents;
        let weight = channel.state.lock().log.weight();
        let channel = residents.directory.install(channel);
        residents.add_weight(weight);
        let tail = self.archive.as_ref().map(|archive| archive.tail()).unwrap_or_default();
        for _ in 0..VICTIMS {
            let few = residents.directory.len() <= tail.channels.max(1);
            if few && residents.directory.weight() <= residents.limit.for_channels() {
                break;
            }
            self.unload_one(&channel, now);
        }
        if residents.over() > 0 {
            residents.make_room(channel.name());
        }
        channel
    }

    /// Drops a channel from memory, if it was not used after `until` and the journal has all of it. A publish to a
    /// shared journal does not load its channel, so one with waiters stays.
    pub(super) fn unload(&self, channel: &Arc<Channel>, now: Timestamp, until: Timestamp) -> bool {
        let Backing::Shared(_) = &self.backing else { return self.residents.unload(channel, now, until) };
        let notifier = &self.residents.notifier;
        let unloaded = !notifier.has_waiters(channel.name()) && self.residents.unload(channel, now, until);
        if unloaded {
            // A reader that began to wait meanwhile loads it again.
            notifier.notify(channel.name());
        }
        unloaded
    }

    /// Unloads the least recently used of some channels, except `other`.
    fn unload_one(&self, other: &Arc<Channel>, now: Timestamp) {
        let mut sample = self.residents.sample();
        sample.retain(|(_, channel)| !Arc::ptr_eq(channel, other));
        sample.sort_by_key(|(used, _)| *used);
        let before = now.before(SEALED);
        let _ = sample.iter().any(|(_, channel)| self.unload(channel, now, before));
    }
}
