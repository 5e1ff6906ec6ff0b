//! How much content the requests of one connection may buffer together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use poll_core::{Kind, Memory, OverBudget};

/// A connection's share of the memory for content, so that no peer uses it all up.
#[derive(Debug)]
pub(crate) struct Allowance {
    most: u64,
    used: AtomicU64,
}

impl Allowance {
    /// At least the largest content, and what a thousand streams take before any content has arrived.
    const LEAST: u64 = 2 << 20;

    /// An eighth of the memory for content.
    pub(crate) fn of(memory: &Memory) -> Arc<Self> {
        let most = Self::LEAST.max(memory.bound(Kind::Bodies) / 8);
        Arc::new(Self { most, used: AtomicU64::new(0) })
    }

    /// Takes bytes from the share.
    ///
    /// # Errors
    /// If too few are left.
    pub(crate) fn take(&self, bytes: u64) -> Result<(), OverBudget> {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) <= self.most {
            return Ok(());
        }
        self.give(bytes);
        Err(OverBudget(Kind::Bodies))
    }

    /// Returns bytes to the share.
    pub(crate) fn give(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}
