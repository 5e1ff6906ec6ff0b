//! Several channels in one request: the list, a reader's place in each channel, and the messages merged from them.
//!
//! Pure, like a log: nothing here finds a channel, locks one or waits. Reading and waiting are the store's.

mod batch;
mod channels;
mod place;
mod share;

pub use batch::{ListBatch, ListEntry};
pub use channels::ChannelList;
pub use place::{Life, ListStart, Place};
pub(crate) use share::{Unread, merge, most_of_each, turns};
