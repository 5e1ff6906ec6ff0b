//! Where a subscription is kept.

use poll_core::{Store, Timestamp};

use super::cell::Cell;
use super::register::{Found, Register, Saved};
use crate::dialect::durable_streams::subscriptions::Keeping;
use crate::message::refusal::Refusal;

/// A value in the store.
pub(super) enum Place {
    /// In the store of one server.
    Own(Cell),
    /// In a log that several servers share.
    Shared(Register),
}

impl Place {
    pub(super) fn keeping(&self) -> Keeping {
        match self {
            Self::Own(_) => Keeping::Alone,
            Self::Shared(_) => Keeping::Shared,
        }
    }

    /// Looks whether another server has changed it.
    ///
    /// # Errors
    /// When the log cannot be asked.
    pub(super) async fn read(&mut self, store: &Store, now: Timestamp) -> Result<Found, Refusal> {
        match self {
            Self::Own(_) => Ok(Found::Same),
            Self::Shared(register) => register.read(store, now).await.map_err(Refusal::unreadable),
        }
    }

    /// Keeps a value, if no other server has kept one since this one looked.
    ///
    /// # Errors
    /// If the store does not, or it is not known whether it did.
    pub(super) async fn save(
        &mut self,
        store: &Store,
        now: Timestamp,
        value: &[u8],
    ) -> Result<Saved, Refusal> {
        match self {
            Self::Own(cell) => cell.save(store, now, value).await.map(|()| Saved::Kept),
            Self::Shared(register) => register.save(store, now, value).await,
        }
    }

    /// Removes the value.
    ///
    /// # Errors
    /// If the store does not.
    pub(super) async fn remove(&mut self, store: &Store, now: Timestamp) -> Result<(), Refusal> {
        match self {
            Self::Own(cell) => cell.remove(store, now).await,
            Self::Shared(register) => register.remove(store, now).await.map_err(Refusal::from),
        }
    }
}
