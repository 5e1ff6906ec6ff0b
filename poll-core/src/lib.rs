//! The heart of poll: append-only, bounded logs, one for each channel, and the means to publish to them, read them and
//! wait for what comes. Publish once; every polling pattern reads the same log.
//!
//! A [`Store`] holds the channels. A publish is handed to a [`Journal`], which gives its messages their numbers, ids and
//! times in one order and keeps them; then they are made visible, and only then is the publisher answered. A reader
//! stands on a [`Position`]; a [`View`] gives it the messages after that, where to continue, and how many it missed.
//! All readers that ask for the same position share one [`Batch`].
//!
//! What this crate does not do: no HTTP, no sockets, no logging set-up. Time is an argument, and whatever else comes
//! from outside comes in through an [`Environment`](environment::Environment). It runs on any executor.
//!
//! ```
//! use poll_core::{ChannelName, Limit, Payload, Position, Publish, Retention, Store, Timestamp};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let store = Store::in_memory(Retention::default());
//! let (orders, lane) = (ChannelName::parse("orders")?, store.lane());
//! let now = Timestamp::from_millis(1_700_000_000_000);
//!
//! // A reader resolves its position, and waits while there is nothing to read.
//! let pinned = store.pin(now, &orders, Position::Start).await?;
//! let wait = store.wait(&orders, &pinned, &lane);
//! store.publish(now, &orders, Publish::one(Payload::text("shipped"))).await?;
//! wait.await;
//!
//! let view = store.read(now, &orders, &pinned, Limit::default()).await?;
//! let batch = view.batch.expect("one message");
//! assert_eq!(batch.messages()[0].payload, Payload::text("shipped"));
//! assert_eq!(view.next, batch.end());
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```

mod channel;
pub mod environment;
pub mod journal;
pub mod life;
#[cfg(feature = "links")]
pub mod link;
mod list;
mod memory;
mod notifier;
#[doc(hidden)]
pub mod planted;
mod residents;
mod store;
mod sync;
mod types;

pub use channel::{Batch, Form, Log, Pinned, ReadState, Rendering, Seal, View};
pub use journal::{Append, Journal};
pub use list::{ChannelList, Life, ListBatch, ListEntry, ListStart, Place};
pub use memory::{Charge, Kind, Memory, OverBudget};
pub use notifier::{Heard, Lane, Notifier, Ticket, Wake, WakeWatch};
pub use store::{
    ChannelPage, Found, ListFeed, ListView, ListWait, ListedState, Locator, Publishing, Seat, Store, Wait,
};
pub use types::{
    ChannelKey, ChannelName, ChannelNameError, Continuity, Cursor, CursorError, CursorSet, Ending, Epoch,
    IdempotencyKey, IdempotencyKeyError, JournalError, JsonError, Limit, MAX_JSON_DEPTH, Message, Payload,
    Position, Publish, PublishError, Published, Retention, Selection, Seq, SeqRange, Stamp, Stamps,
    Timestamp, Token, compact_json, escape_line_separators, mint_id, time_of,
};
