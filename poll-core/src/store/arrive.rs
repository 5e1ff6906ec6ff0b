//! Where a read begins. On a journal that other servers publish to as well, it has to wait until everything that was
//! published before is visible here; a read that continues need not.
//!
//! While the journal is away, readers go on with what is known. But a position that is not known here may be known where
//! the journal is, so it is not called a reset before the journal is back.

use std::sync::Arc;

use super::handle::Store;
use super::question::Retry;
use crate::channel::{Channel, Pinned};
use crate::journal::SharedJournal;
use crate::types::{ChannelName, Continuity, JournalError, Position, Timestamp};

/// Whether all that was published before is visible.
pub(super) enum Arrival {
    Current,
    /// The journal could not be asked.
    Uncertain(JournalError),
}

impl Store {
    /// Settles what a position means in a channel of a shared journal.
    pub(super) async fn pin_shared(
        &self,
        journal: &dyn SharedJournal,
        now: Timestamp,
        name: &ChannelName,
        position: Position,
    ) -> Result<Pinned, JournalError> {
        let mut retry = Retry::default();
        loop {
            retry.begin(journal);
            let arrival = self.arrive(journal, now, name).await?;
            // It may have left memory again.
            let Some(channel) = self.residents().get(name) else { continue };
            let pinned = Pinned::of(position, channel.state.lock().log_at(now));
            let is_reset = pinned.continuity == Continuity::Reset && position != Position::Unknown;
            match arrival {
                Arrival::Uncertain(error) if is_reset => retry.after(error).await?,
                Arrival::Uncertain(_) | Arrival::Current => return Ok(pinned),
            }
        }
    }

    /// To be called where a read begins.
    ///
    /// # Errors
    /// When the channel is not in memory, and the journal never will be able to read it.
    pub(super) async fn arrive(
        &self,
        journal: &dyn SharedJournal,
        now: Timestamp,
        name: &ChannelName,
    ) -> Result<Arrival, JournalError> {
        let arrival = self.arrive_once(journal, now, name).await?;
        let over = self.residents().get(name).filter(|channel| channel.state.lock().is_over(now));
        if let Some(channel) = over
            && self.remove_expired(now, &channel).await.is_ok()
        {
            // Another server may have used it since, and then it is not over.
            return self.arrive_once(journal, now, name).await;
        }
        Ok(arrival)
    }

    async fn arrive_once(
        &self,
        journal: &dyn SharedJournal,
        now: Timestamp,
        name: &ChannelName,
    ) -> Result<Arrival, JournalError> {
        let mut retry = Retry::default();
        while self.residents().get(name).is_none() {
            retry.begin(journal);
            match self.load_now(journal, now, name).await {
                Ok(Loading::Own) => return Ok(Arrival::Current),
                // It was perhaps read from the log before this read began.
                Ok(Loading::Others) => {}
                Err(error) => retry.after(error).await?,
            }
        }
        let mut checked = self.check(journal, name).await;
        if checked.is_err() && journal.health().borrow().check_readable().is_ok() {
            // The failed one may have begun before the journal came back.
            checked = self.check(journal, name).await;
        }
        Ok(checked.map_or_else(Arrival::Uncertain, |()| Arrival::Current))
    }

    /// Waits until all that was published before is visible.
    ///
    /// # Errors
    /// When the journal cannot be asked. It is not asked again.
    pub(super) async fn ask_for_latest(
        &self,
        journal: &dyn SharedJournal,
        now: Timestamp,
        name: &ChannelName,
    ) -> Result<(), JournalError> {
        journal.health().borrow().check_readable()?;
        if self.residents().get(name).is_none()
            && let Loading::Own = self.load_now(journal, now, name).await?
        {
            return Ok(());
        }
        self.check(journal, name).await
    }

    /// Loads a channel that is not in memory, or waits for another's load of it.
    async fn load_now(
        &self,
        journal: &dyn SharedJournal,
        now: Timestamp,
        name: &ChannelName,
    ) -> Result<Loading, JournalError> {
        let mut loading = Loading::Others;
        let cached = || self.residents().get(name);
        let load = self.0.loads.share(name, cached, |flight| {
            loading = Loading::Own;
            self.start_load(journal, now, name, flight);
        });
        let _: Arc<Channel> = load.await?;
        Ok(loading)
    }

    async fn check(&self, journal: &dyn SharedJournal, name: &ChannelName) -> Result<(), JournalError> {
        journal.health().borrow().check_readable()?;
        self.ask_briefly(|reply| journal.check(name, reply)).await
    }
}

/// Whose load it was.
enum Loading {
    Own,
    Others,
}
