//! What the connections of one worker share.

use poll_core::Memory;

use crate::transport::settings::ConnectionSettings;
use crate::worker::drain::Drain;
use crate::worker::metrics::Metrics;
use crate::worker::timer_wheel::Timers;

/// What the connections of one worker share.
#[derive(Clone, Debug)]
pub struct ConnectionContext {
    /// Their limits.
    pub settings: ConnectionSettings,
    /// The worker's timers, on which their deadlines run.
    pub timers: Timers,
    /// Tells them that the server goes down.
    pub drain: Drain,
    /// The account of what their peers make the server hold.
    pub memory: Memory,
    /// Counts them.
    pub metrics: Metrics,
}

impl ConnectionContext {
    /// A context for connections on their own: with timers of their own, an account without a bound, a drain that
    /// does not come.
    #[must_use]
    pub fn new(settings: ConnectionSettings) -> Self {
        Self {
            settings,
            timers: Timers::new(),
            drain: Drain::new(),
            memory: Memory::new(0),
            metrics: Metrics::new(),
        }
    }
}
