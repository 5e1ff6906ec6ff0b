//! Which channels are in memory, where a journal keeps them all: loading on first use, letting go after the
//! last.
//!
//! A channel that was looked for and does not exist has a place here too while it is asked for, so that
//! whoever waits for its birth knows that it has not happened. That is not a channel: it does not count.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::channel::{Channel, Stage};
use super::flight::Landing;
use super::{Inner, Store};
use crate::journal::{Archive, Health, Loaded};
use crate::types::{ChannelName, JournalError, Timestamp};

/// How many channels one load lets go of at the most, where there are too many in memory.
const VICTIMS: usize = 4;

/// How long a channel stays at the least after its last use: a time that was sealed for a reader is the clock's, and must
/// be over before the seal is forgotten.
const SEALED: Duration = Duration::from_millis(1);

impl Store {
    /// Brings a channel into memory, if it is not. For whoever has to say what is wrong rather than wait:
    /// the ways to read wait until the journal is back.
    ///
    /// # Errors
    /// When the channel is not in memory and the journal cannot give it now.
    pub async fn load(&self, now: Timestamp, channel: &ChannelName) -> Result<(), JournalError> {
        let Some(archive) = self.0.journal.archive() else { return Ok(()) };
        if self.0.directory.get(channel).is_some() {
            return Ok(());
        }
        archive.health().borrow().gives()?;
        self.resident(archive, now, channel).await.map(drop)
    }

    /// Whether the journal can be used. One that keeps everything in memory always can.
    #[must_use]
    pub fn health(&self) -> Health {
        self.0.journal.archive().map_or(Health::Ready, |archive| archive.health().borrow().clone())
    }

    /// A channel for somebody who reads it: `None` if there is none. Waits until the journal can say so.
    ///
    /// # Errors
    /// When it never will: the channel is damaged, or the journal is gone.
    pub(super) async fn find(
        &self,
        now: Timestamp,
        name: &ChannelName,
    ) -> Result<Option<Arc<Channel>>, JournalError> {
        if let Some(channel) = self.0.directory.get(name) {
            return Ok(Some(channel));
        }
        let Some(archive) = self.0.journal.archive() else { return Ok(None) };
        let mut patience = Patience::default();
        loop {
            patience.begin(archive);
            match self.resident(archive, now, name).await {
                Ok(channel) => return Ok(Some(channel)),
                Err(error) => patience.after(error).await?,
            }
        }
    }

    /// The channel of a name, loaded if need be; all who need it share the load.
    pub(super) async fn resident(
        &self,
        archive: &dyn Archive,
        now: Timestamp,
        name: &ChannelName,
    ) -> Result<Arc<Channel>, JournalError> {
        let ask = |landing: Landing<ChannelName, Arc<Channel>>| {
            let (asked, name) = (name, name.clone());
            let take = move |store: &Arc<Inner>, loaded: Result<Option<Loaded>, JournalError>| {
                landing.land(loaded.map(|loaded| store.install(Channel::resumed(name, loaded, now), now)));
            };
            self.question(asked, take, |reply| archive.load(asked, now, reply));
        };
        self.0.loads.share(name, || self.0.directory.get(name), ask).await
    }
}

/// How somebody waits who asks the journal until it gives.
#[derive(Default)]
pub(super) struct Patience {
    health: Option<watch::Receiver<Health>>,
    failed: bool,
}

impl Patience {
    /// Before the journal is asked.
    pub(super) fn begin(&mut self, archive: &dyn Archive) {
        if let Some(health) = &mut self.health {
            health.mark_unchanged();
        } else {
            self.health = Some(archive.health());
        }
    }

    /// After it failed: waits until there is reason to ask again.
    ///
    /// # Errors
    /// The same one, where there never will be.
    pub(super) async fn after(&mut self, error: JournalError) -> Result<(), JournalError> {
        let Some(health) = &mut self.health else { return Err(error) };
        let is_final = matches!(error, JournalError::Damaged(_) | JournalError::OverBudget(_));
        if is_final || matches!(*health.borrow(), Health::Lost(_)) {
            return Err(error);
        }
        // The question may have been somebody else's, from before the journal came back. The next one is not.
        if std::mem::replace(&mut self.failed, true) {
            // An error would mean that the journal is gone, which this store holds.
            drop(health.changed().await);
        }
        let settled = |health: &Health| health.gives().is_ok() || matches!(health, Health::Lost(_));
        match health.wait_for(settled).await.as_deref() {
            Ok(Health::Lost(_)) | Err(_) => Err(error),
            Ok(_) => Ok(()),
        }
    }
}

impl Inner {
    fn install(&self, channel: Channel, now: Timestamp) -> Arc<Channel> {
        let weight = channel.state.lock().log.weight();
        let channel = self.directory.install(channel);
        self.weight.fetch_add(weight, std::sync::atomic::Ordering::Relaxed);
        let tail = self.journal.archive().map(Archive::tail).unwrap_or_default();
        for _ in 0..VICTIMS {
            let few = self.directory.len() <= tail.channels.max(1);
            if few && self.directory.weight() <= self.room.for_channels() {
                break;
            }
            self.let_go_of_one(&channel, now);
        }
        if self.over() > 0 {
            self.make_room(channel.name());
        }
        channel
    }

    /// Lets go of the longest unused of some channels, but not of `other`.
    fn let_go_of_one(&self, other: &Arc<Channel>, now: Timestamp) {
        let mut sample = self.sample();
        sample.retain(|(_, channel)| !Arc::ptr_eq(channel, other));
        sample.sort_by_key(|(used, _)| *used);
        let before = now.before(SEALED);
        let _ = sample.iter().any(|(_, channel)| self.let_go(channel, now, before));
    }

    /// Takes a channel out of memory, if it was not used after `until` and the journal has all of it.
    pub(super) fn let_go(&self, channel: &Arc<Channel>, now: Timestamp, until: Timestamp) -> bool {
        let mut freed = 0;
        let agrees = |channel: &Channel| {
            let mut state = channel.state.lock();
            let noted = state.notes.is_some();
            let unused = state.unused_since(now) <= until;
            let agrees = state.is_kept() && unused && state.stage != Stage::Failing && !noted;
            if agrees {
                state.stage = Stage::Forgotten;
                freed = state.log.weight();
            }
            agrees
        };
        let gone = self.directory.remove(channel, agrees);
        self.lighten(freed);
        gone
    }
}
