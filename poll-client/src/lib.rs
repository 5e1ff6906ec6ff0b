//! The Rust client of a poll server: publish to a channel, and follow it by whichever HTTP pattern suits.
//!
//! # What
//! [`Client`] knows the server and keeps its connections. Each pattern is one type ([`ShortPoll`], [`LongPoll`],
//! [`ChunkedStream`], [`EventSource`], [`Push`]), and all give the same [`Subscription`]: a stream of [`Event`]s.
//! The thin `poll` command is built on nothing else.
//!
//! ```no_run
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use futures_util::TryStreamExt;
//! use poll_client::{ChannelName, ChunkedStream, Client, Event, Payload, StartAt};
//!
//! let client = Client::new("http://127.0.0.1:8080")?;
//! let channel = ChannelName::parse("news")?;
//! client.publish(&channel, &Payload::text("hello")).await?;
//!
//! let mut events = ChunkedStream::new(&client, &channel).start_at(StartAt::Oldest).subscribe();
//! while let Some(event) = events.try_next().await? {
//!     match event {
//!         Event::Message(message) => println!("{} {:?}", message.seq, message.content.text()),
//!         Event::Missed { count, reset } => println!("missed {count:?}, reset: {reset}"),
//!         Event::Closed { reason } => println!("closed: {reason:?}"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Why
//! Following a channel is easy until something breaks. Then a client must go on from its cursor, neither lose a
//! message nor give it twice, say what is gone, notice a dead connection, and not come back in step with ten
//! thousand others. That is written once here, in [`Subscription`], and each pattern only asks and reads.
//!
//! - Every pattern resumes by cursor. [`Event::Missed`] is the only way in which messages can be absent.
//! - Failures that pass by themselves are waited out with full jitter ([`backoff`]), `Retry-After` included.
//! - Connections are kept and reused: 10 idle, for 90 s.
//! - Everything that is waited for has a deadline: the server's wait and 5 s more, or two and a half heartbeats.
//!
//! # What not
//! No TLS, no HTTP proxy, no redirects, no runtime of its own (any tokio runtime with time and IO), no thread, no log.
//! One client talks to one server. A subscription does not persist its cursor: that is the caller's, who knows when a
//! message has been dealt with.

pub mod backoff;
mod client;
pub mod connect;
mod error;
mod exchange;
mod http2;
mod message;
pub mod ndjson;
pub mod pattern;
mod pool;
mod publish;
mod reader;
pub mod sse;
mod stats;
mod subscription;
mod tracker;
mod wire;

pub use backoff::BackoffSettings;
pub use client::{Builder, Client};
pub use error::{Error, Problem};
pub use message::{Closed, Content, Event, Message, StartAt};
pub use pattern::progress::{Progress, Step};
pub use pattern::{ChunkedStream, EventSource, LongPoll, Push, ShortPoll};
pub use poll_core::{ChannelName, Cursor, IdempotencyKey, Payload, Seq, Timestamp};
pub use publish::Receipt;
pub use stats::{Counts, Stats};
pub use subscription::Subscription;
