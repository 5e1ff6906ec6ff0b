//! What a worker's requests share: store, lanes, timers, drain, metrics, settings, environment, permits to wait.
//!
//! Uses `message` and `access`. Knows no dialect, no pattern and no path.

mod answer_charge;
pub(crate) mod archive_read;
pub(crate) mod budget;
mod delivery;
pub(crate) mod drain;
mod hooks;
pub(crate) mod intake;
pub(crate) mod lists;
pub(crate) mod metrics;
pub(crate) mod permit;
pub(crate) mod settings;
pub(crate) mod shared;
pub(crate) mod timer_wheel;
mod wake_to_write;

pub(crate) use shared::Worker;
