//! A fork that is being made: its source cannot be removed until it is known whether there is one.

use std::sync::Arc;

use super::entry::Channel;

/// Holds a source, from when its fork is worked out until the journal has the fork or has not.
pub(crate) struct ForkPin(Arc<Channel>);

impl ForkPin {
    /// Takes hold of a source whose lock is not held.
    pub(crate) fn on(source: Arc<Channel>) -> Self {
        source.state.lock().ledger().pins += 1;
        Self(source)
    }

    pub(crate) fn source(&self) -> &Arc<Channel> {
        &self.0
    }

    /// There is a fork.
    pub(crate) fn made(&self) {
        let mut state = self.0.state.lock();
        let ledger = state.ledger();
        ledger.forks += 1;
        ledger.forked += 1;
    }
}

impl Drop for ForkPin {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        let ledger = state.ledger();
        ledger.pins = ledger.pins.saturating_sub(1);
    }
}

impl std::fmt::Debug for ForkPin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ForkPin").field(self.0.name()).finish()
    }
}
