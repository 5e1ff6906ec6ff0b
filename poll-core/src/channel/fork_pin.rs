//! A fork that is being made: its source cannot be removed until it is known whether there is one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::entry::Channel;
use super::phase::ChannelPhase;

/// Holds a source, from when its fork is worked out until the journal has the fork or has not. Where a fork is there before
/// that, only its source in memory knows of it, and stays.
pub(crate) struct ForkPin {
    source: Arc<Channel>,
    /// Whether there is a fork. Changed under the source's lock.
    is_made: AtomicBool,
}

impl ForkPin {
    /// Takes hold of a source whose lock is not held; `None` where it has left memory already.
    pub(crate) fn on(source: Arc<Channel>) -> Option<Self> {
        let mut state = source.state.lock();
        if state.phase == ChannelPhase::Forgotten {
            return None;
        }
        state.ledger().pins += 1;
        drop(state);
        Some(Self { source, is_made: AtomicBool::new(false) })
    }

    pub(crate) fn source(&self) -> &Arc<Channel> {
        &self.source
    }

    /// There is a fork.
    pub(crate) fn made(&self) {
        let mut state = self.source.state.lock();
        let ledger = state.ledger();
        ledger.forks += 1;
        ledger.forked += 1;
        if !self.is_made.swap(true, Ordering::Relaxed) {
            ledger.pins = ledger.pins.saturating_sub(1);
            ledger.holds += 1;
        }
    }
}

impl Drop for ForkPin {
    fn drop(&mut self) {
        let mut state = self.source.state.lock();
        let ledger = state.ledger();
        let count = if *self.is_made.get_mut() { &mut ledger.holds } else { &mut ledger.pins };
        *count = count.saturating_sub(1);
    }
}

impl std::fmt::Debug for ForkPin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ForkPin").field(self.source.name()).finish()
    }
}
