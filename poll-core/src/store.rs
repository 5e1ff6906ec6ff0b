//! What is done with channels: publish, read, wait, close, forget.
//!
//! The only lock order is: a table of loads under way, a shard of the directory, one channel; never two channels, never a
//! lock over a wake, a journal's answer or an await. Messages become visible under the channel's lock, and only then is
//! anybody woken or answered. Time is an argument everywhere.

mod archive_read;
mod fetched;
mod handle;
mod load;
mod look;
mod publish;
mod question;
mod read;
mod receipts;
mod repeat;
mod seal;
mod single_flight;
mod sweep;
mod wait;

pub use handle::Store;
pub use publish::Publishing;
pub use read::{Found, Locator};
pub use wait::Wait;
