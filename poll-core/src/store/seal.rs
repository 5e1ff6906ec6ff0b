//! Sealing time for readers who continue from one; what that means is explained where a channel does it.
//!
//! A shared journal seals where it gives out the times. A channel in memory remembers how far that went.

use std::sync::Arc;

use super::handle::{Backing, Inner, Store};
use super::question::Retry;
use crate::channel::{Channel, Seal};
use crate::journal::SharedJournal;
use crate::types::{ChannelName, JournalError, Message, Timestamp};

impl Store {
    /// Seals the millisecond of `message`, unless a later message has that millisecond or may still turn out to have
    /// it. On a shared journal this takes a while: the answer is open, and closed some time later.
    #[must_use]
    pub fn seal(&self, now: Timestamp, channel: &ChannelName, message: &Message) -> Seal {
        let resident = self.residents().get(channel);
        match (&self.0.backing, resident) {
            (Backing::Sole(_), Some(channel)) => channel.state.lock().seal(now, message),
            // Not in memory, so nothing was minted since; a publisher loads it first, and gets a later millisecond.
            (Backing::Sole(_), None) => Seal::Closed,
            (Backing::Shared(journal), Some(channel)) => {
                let seal = channel.state.lock().is_sealed(message);
                if seal == Seal::Open {
                    self.start_seal(journal.as_ref(), channel, message.at.as_millis());
                }
                seal
            }
            // The next look loads it.
            (Backing::Shared(_), None) => Seal::Open,
        }
    }

    /// Seals the time up to the end of `millis`, in milliseconds since the Unix epoch. Returns the newest millisecond,
    /// that one or an earlier, of which everything was visible by then and into which nothing will follow. Waits only
    /// on a shared journal; if that is away, the answer is what is known, if anything is.
    ///
    /// # Errors
    /// When a shared journal is away for good, and nothing is known.
    pub async fn settle(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        millis: u64,
    ) -> Result<u64, JournalError> {
        match &self.0.backing {
            Backing::Sole(_) => {
                let channel = self.residents().get(channel);
                Ok(channel.map_or(millis, |channel| channel.state.lock().settle(now, millis)))
            }
            Backing::Shared(journal) => self.settle_shared(journal.as_ref(), channel, millis).await,
        }
    }

    async fn settle_shared(
        &self,
        journal: &dyn SharedJournal,
        name: &ChannelName,
        millis: u64,
    ) -> Result<u64, JournalError> {
        let mut retry = Retry::default();
        loop {
            retry.begin(journal);
            let resident = self.residents().get(name);
            let error = match self.ask(name, |reply| journal.seal(name, millis, reply)).await {
                Ok(sealed) => {
                    if let Some(channel) = resident {
                        channel.state.lock().sealed_elsewhere(sealed);
                    }
                    return Ok(sealed.min(millis));
                }
                Err(error) => error,
            };
            if let Some(channel) = resident {
                let state = channel.state.lock();
                if state.visible_log().is_some() {
                    return Ok(state.sealed().min(millis));
                }
            }
            retry.after(error).await?;
        }
    }

    /// Seals a time in the background. Only this incarnation of the channel learns of it.
    fn start_seal(&self, journal: &dyn SharedJournal, channel: Arc<Channel>, millis: u64) {
        let name = channel.name().clone();
        let Some(begun) = self.0.sealing.begin(&name) else { return };
        let sealed = move |_: &Arc<Inner>, sealed: Result<u64, JournalError>| {
            if let Ok(millis) = sealed {
                channel.state.lock().sealed_elsewhere(millis);
            }
            drop(begun);
        };
        self.question(&name, sealed, |reply| journal.seal(&name, millis, reply));
    }
}
