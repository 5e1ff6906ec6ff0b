//! The native dialect (the paths under `/api/` that are named after what they do).
//!
//! `ask` reads questions, `publish` reads what is published, `answer` writes polls and single messages, and
//! `lines` writes streams.

mod answer;
mod ask;
mod lines;
mod publish;

pub(crate) use answer::{etag, message, message_cache, poll, published};
pub(crate) use ask::{framing, job, long_poll, short_poll, stream, wait};
pub(crate) use lines::{Reason, closed, connected, heartbeat, media, progress, promise, reset, updates};
pub(crate) use publish::{Incoming, address, key, progress_report, publish, step};
