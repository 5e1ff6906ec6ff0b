//! Memory for answers that are made for one client, charged before they are.

use poll_core::{Charge, Kind, OverBudget};

use crate::worker::Worker;

/// Answers up to this many bytes are on no account: there is one to a socket, or what waits on an HTTP/2 connection is
/// bounded there.
const SMALL: u64 = 4 * 1024;

impl Worker {
    /// Room on the account for an answer of so many bytes; small ones need none.
    ///
    /// # Errors
    /// Where there is none.
    pub(crate) fn charge_answer(&self, bytes: u64) -> Result<Option<Charge>, OverBudget> {
        let charge = |bytes| self.store().memory().charge(Kind::Answers, bytes);
        (bytes > SMALL).then_some(bytes).map(charge).transpose()
    }
}
