//! [Durable Streams](https://github.com/durable-streams/durable-streams), an open protocol for append-only streams over
//! HTTP, in which any server may be the other end.
//!
//! # What
//! A [`DurableStream`] is a path on the client's server: it is created, appended to, read, followed, closed, deleted and
//! forked. A [`Producer`] appends exactly once. [`DurableStream::follow`] is a [`Subscription`](crate::Subscription) to
//! [`Chunk`]s, by long poll or by server-sent events.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use futures_util::TryStreamExt;
//! use poll_client::Client;
//! use poll_client::durable_streams::{Append, Create, DurableStream, Live, Offset, Producer};
//!
//! let client = Client::new("http://127.0.0.1:8080")?;
//! let orders = DurableStream::new(&client, "/v1/stream/orders")?;
//! orders.create(&Create::new("application/json")).await?;
//!
//! let mut shop = Producer::new(&orders, "shop-7")?;
//! shop.append(Append::json(&42)?).await?;
//! shop.close(None).await?;
//!
//! let mut chunks = orders.follow(&Offset::START, Live::ServerSentEvents);
//! while let Some(chunk) = chunks.try_next().await? {
//!     println!("{:?}, go on from {}", chunk.json::<u64>()?, chunk.next);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Why
//! Offsets are opaque: they are returned, kept and sent back, never computed. What was asked with them is repeated after a
//! failure, for nothing is read twice that way; an append is repeated only by a producer, because the server cannot tell
//! the repetition of any other from a second one.
//!
//! # What not
//! Nothing is batched or sent in the background. No subscriptions (webhooks and pull-wake).

mod answer;
mod append;
mod create;
mod error;
mod follow;
mod offset;
mod producer;
mod read;
mod stream;

pub use answer::Reach;
pub use append::Append;
pub use create::{Birth, Create, Created, Fork};
pub use error::AppendError;
pub use follow::Live;
pub use offset::{Offset, OffsetError};
pub use producer::{Claim, Producer};
pub use read::{Chunk, Metadata};
pub use stream::DurableStream;
