//! What a worker's requests share: timers, the drain, metrics, settings, the clock, and the share of a turn.
//!
//! Uses `message` and `access`.

pub(crate) mod clock;
pub(crate) mod drain;
pub(crate) mod metrics;
pub(crate) mod settings;
pub(crate) mod timer_wheel;
pub(crate) mod turn;
