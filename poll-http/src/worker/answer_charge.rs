//! Memory for responses made for one client, charged before they are made.

use poll_core::{Charge, Kind, OverBudget};

use crate::worker::Worker;

/// Responses of at most this many bytes are not charged: there is one per socket, or the HTTP/2 connection limits them.
const SMALL: u64 = 4 * 1024;

impl Worker {
    /// Charges a response of this many bytes, unless it is small.
    ///
    /// # Errors
    /// If there is no memory left for responses.
    pub(crate) fn charge_answer(&self, bytes: u64) -> Result<Option<Charge>, OverBudget> {
        let charge = |bytes| self.store().memory().charge(Kind::Answers, bytes);
        (bytes > SMALL).then_some(bytes).map(charge).transpose()
    }
}
