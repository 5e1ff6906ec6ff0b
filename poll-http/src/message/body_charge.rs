//! The memory that a request's content takes, charged to the account and to its connection until the request is answered.

use std::sync::Arc;

use poll_core::{Charge, Kind, Memory, OverBudget};

use crate::message::allowance::Allowance;

/// What a request whose content is awaited takes beside it, in bytes: a stream, a future, what its head said.
const A_REQUEST: u64 = 1_024;

/// What is held for a request whose content is read or published.
pub(crate) struct Held {
    charge: Charge,
    allowance: Option<Arc<Allowance>>,
}

impl Held {
    /// For content that is still to come.
    ///
    /// # Errors
    /// Where there is no memory for the request.
    pub(crate) fn new(memory: &Memory, allowance: Option<&Arc<Allowance>>) -> Result<Self, OverBudget> {
        let mut held = Self { charge: memory.charge(Kind::Bodies, 0)?, allowance: allowance.cloned() };
        held.take(A_REQUEST)?;
        Ok(held)
    }

    /// For content that came with its head: small, as one read is.
    pub(crate) fn whole(memory: &Memory, bytes: usize) -> Self {
        Self { charge: memory.charge_unbounded(Kind::Bodies, A_REQUEST + bytes as u64), allowance: None }
    }

    /// For so many bytes more.
    ///
    /// # Errors
    /// Where there is no memory for them.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), OverBudget> {
        self.take(bytes as u64)
    }

    fn take(&mut self, bytes: u64) -> Result<(), OverBudget> {
        if let Some(allowance) = &self.allowance {
            allowance.take(bytes)?;
        }
        self.charge.grow(bytes).inspect_err(|_| {
            if let Some(allowance) = &self.allowance {
                allowance.give(bytes);
            }
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(allowance) = &self.allowance {
            allowance.give(self.charge.bytes());
        }
    }
}
