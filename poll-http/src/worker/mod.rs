//! What a worker's requests share: the store, lanes, timers, the drain, metrics, settings, the environment, permits to wait.
//!
//! Uses `message` and `access`. It knows no dialect, no pattern and no path.

mod answer_charge;
pub(crate) mod archive_read;
pub(crate) mod budget;
mod delivery;
pub(crate) mod drain;
mod hooks;
pub(crate) mod metrics;
pub(crate) mod permit;
pub(crate) mod settings;
pub(crate) mod shared;
pub(crate) mod timer_wheel;

pub(crate) use shared::Worker;
