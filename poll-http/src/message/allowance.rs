//! How much content the requests of one connection may hold together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use poll_core::{Kind, Memory, OverBudget};

/// A connection's share of the account for content: one peer must not use it all up.
#[derive(Debug)]
pub(crate) struct Allowance {
    most: u64,
    used: AtomicU64,
}

impl Allowance {
    /// The least: the largest content of all, and what a thousand streams take before any of theirs has come.
    const LEAST: u64 = 2 << 20;

    /// An eighth of what the account has for content.
    pub(crate) fn of(memory: &Memory) -> Arc<Self> {
        let most = Self::LEAST.max(memory.bound(Kind::Bodies) / 8);
        Arc::new(Self { most, used: AtomicU64::new(0) })
    }

    /// Takes so many bytes of it.
    ///
    /// # Errors
    /// Where that many are not left.
    pub(crate) fn take(&self, bytes: u64) -> Result<(), OverBudget> {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) <= self.most {
            return Ok(());
        }
        self.give(bytes);
        Err(OverBudget(Kind::Bodies))
    }

    /// Gives back what was taken.
    pub(crate) fn give(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}
