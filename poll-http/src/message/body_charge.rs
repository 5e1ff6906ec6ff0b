//! The memory of a request's content, charged to the account and to the connection until the request is answered.

use std::sync::Arc;

use poll_core::{Charge, Kind, Memory, OverBudget};

use crate::message::allowance::Allowance;

/// What a request with content takes besides it, in bytes: a stream, a future, the parsed head.
const A_REQUEST: usize = 1_024;

/// The charge for one request's content.
pub(crate) struct BodyCharge {
    charge: Charge,
    allowance: Option<Arc<Allowance>>,
}

impl BodyCharge {
    /// For content that is still to come.
    ///
    /// # Errors
    /// If there is no memory for the request.
    pub(crate) fn new(memory: &Memory, allowance: Option<&Arc<Allowance>>) -> Result<Self, OverBudget> {
        let mut body = Self { charge: memory.charge(Kind::Bodies, 0)?, allowance: allowance.cloned() };
        body.grow(A_REQUEST)?;
        Ok(body)
    }

    /// For content that arrived with its head, which is no more than one read.
    pub(crate) fn whole(memory: &Memory, bytes: usize) -> Self {
        Self { charge: memory.charge_unbounded(Kind::Bodies, (A_REQUEST + bytes) as u64), allowance: None }
    }

    /// Charges more bytes.
    ///
    /// # Errors
    /// If there is no memory for them.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), OverBudget> {
        let bytes = bytes as u64;
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

impl Drop for BodyCharge {
    fn drop(&mut self) {
        if let Some(allowance) = &self.allowance {
            allowance.give(self.charge.bytes());
        }
    }
}
