//! The patterns: when a server answers. Each is a type with its own settings, and all return a
//! [`Subscription`](crate::Subscription).
//!
//! | pattern | type | request | what it costs |
//! | --- | --- | --- | --- |
//! | short poll | [`ShortPoll`] | `GET /api/poll` every few seconds | latency of half the interval; a 304 each time |
//! | long poll | [`LongPoll`] | `GET /api/longpoll`, back to back | one waiting request |
//! | chunked stream | [`ChunkedStream`] | `GET /api/stream`, JSON lines | one open answer |
//! | server-sent events | [`EventSource`] | `GET /api/stream` as `text/event-stream` | one open answer |
//! | push | [`Push`] | `GET /api/push` over HTTP/2 | one HTTP/2 connection |
//! | progress | [`Progress`](progress::Progress) | `GET /api/progress/{job}` | one open answer |
//!
//! A pattern never uses another pattern.

mod event_source;
mod long_poll;
pub(crate) mod progress;
mod push;
mod short_poll;
mod stream;

pub use event_source::EventSource;
pub use long_poll::{LongPoll, READ_SLACK};
pub use push::Push;
pub use short_poll::ShortPoll;
pub use stream::ChunkedStream;
