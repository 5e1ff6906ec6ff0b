//! What can be done with channels: publish, read, wait, close, forget.
//!
//! There is one lock order: a feed of a list, a table of pending reads, a shard of the directory, one channel. Never two
//! channels, and never a lock across a wake, a journal's answer or an await. Messages become visible under the channel's
//! lock; only then are waiters woken and publishers answered. Time is always an argument.

mod archive_read;
mod arrive;
mod fetched;
mod handle;
mod inherit;
mod life;
mod life_steps;
mod list_feed;
mod list_read;
mod list_wait;
mod listing;
mod load;
mod look;
mod publish;
mod question;
mod read;
mod receipts;
mod repeat;
mod seal;
mod sealing;
mod shared_life;
mod single_flight;
mod sweep;
mod wait;

pub use handle::Store;
pub use list_feed::{ListFeed, Seat};
pub use list_read::ListView;
pub use list_wait::ListWait;
pub use listing::{ChannelPage, ListedState};
pub use publish::Publishing;
pub use read::{Found, Locator};
pub use wait::Wait;
