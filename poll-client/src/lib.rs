//! The Rust client of a poll server: publish to channels, and subscribe to one or several with any HTTP pattern.
//!
//! # What
//! [`Client`] knows the server and pools its connections. Each pattern is a type ([`ShortPoll`], [`LongPoll`],
//! [`ChunkedStream`], [`EventSource`], [`Push`]), and all return a [`Subscription`]: a stream of [`Event`]s. The `poll`
//! command uses only this API.
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
//!         Event::Missed { channel, count, reset } => println!("missed {count:?} of {channel}, reset: {reset}"),
//!         Event::Refused { channel } => println!("may not read {channel}"),
//!         Event::Closed { reason } => println!("closed: {reason:?}"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Why
//! Subscribing is easy until something breaks. Then a client must resume from its cursor without losing or repeating a
//! message, report what is gone, notice a dead connection, and not reconnect in step with ten thousand others.
//! [`Subscription`] does all that once for every pattern.
//!
//! - Every pattern resumes by cursor. Messages are never skipped without an [`Event::Missed`].
//! - Several channels are one request, and a list that changes ([`ChannelList`]) costs the others nothing.
//! - Transient failures are retried with full jitter ([`backoff`]) after any `Retry-After`.
//! - A server at `https` is checked against the system's certificates, or those of [`Builder::trust`] (the
//!   feature `tls`).
//! - Connections are reused: up to 10 idle ones are kept for 90 s.
//! - Every wait has a deadline: the server's wait plus 5 s, or two and a half heartbeats.
//!
//! # Durable Streams
//! The module [`durable_streams`] has the open protocol of that name, which poll servers and others speak: streams of bytes,
//! text or JSON with a life of their own, and producers that append exactly once.
//!
//! # Administration
//! [`Client::administration`] lists a server's channels, purges, closes and deletes them, and sets what they retain. It lists
//! the clients present on a channel, and lists and cuts connections.
//!
//! # Presence
//! [`Client::present`] lists the named clients that wait on a channel, and [`Client::follow_presence`] goes on with each join
//! and leave.
//!
//! # Signed links
//! A program that has the server's key gives others a right on one channel for a while ([`link`], the feature `links`):
//!
//! ```
//! use std::time::{Duration, SystemTime};
//!
//! use poll_client::link::{Link, LinkRight, SigningKey};
//! use poll_client::{ChannelName, Timestamp};
//!
//! let key = SigningKey::secret(b"what is in the server's --jwt-secret-file")?;
//! let channel = ChannelName::parse("orders.7")?;
//! let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
//! let link = Link {
//!     channel: &channel,
//!     right: LinkRight::Subscribe,
//!     expires: Timestamp::from_millis(now.as_millis() as u64).after(Duration::from_secs(3_600)),
//!     subject: None,
//!     issuer: None,
//!     audience: None,
//! };
//! let token = key.sign(&link).ok_or("there is no randomness")?;
//! let url = format!("https://poll.example/api/stream?channel=orders.7&access_token={token}");
//! # assert!(url.len() > 100);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What not
//! No HTTP proxy, no redirects, no runtime of its own (any tokio runtime with time and IO), no thread, no log.
//! One client talks to one server. Persisting the cursor is up to the caller, who knows when a message has been
//! processed.

pub mod administration;
pub mod backoff;
mod channels;
mod client;
pub mod connect;
pub mod durable_streams;
mod error;
mod exchange;
mod http2;
mod message;
pub mod ndjson;
mod notice;
pub mod pattern;
mod pool;
mod position;
mod presence;
mod publish;
mod reader;
mod reading;
mod retry;
mod source;
pub mod sse;
mod stats;
mod subscription;
#[cfg(feature = "tls")]
mod tls;
mod tracker;
mod wire;

pub use backoff::BackoffSettings;
pub use channels::{ChannelList, Channels};
pub use client::{Builder, Client};
pub use error::{Error, Problem};
pub use message::{Closed, Content, Event, Message, StartAt};
pub use notice::Notice;
pub use pattern::progress::{Progress, Step};
pub use pattern::{ChunkedStream, EventSource, LongPoll, Push, ShortPoll};
#[cfg(feature = "links")]
pub use poll_core::link;
pub use poll_core::{ChannelName, Cursor, IdempotencyKey, Payload, Seq, Timestamp, Token};
pub use presence::{PresenceEvent, PresenceEvents, Present, PresentClient};
pub use publish::Receipt;
pub use stats::{Counts, Stats};
pub use subscription::Subscription;
