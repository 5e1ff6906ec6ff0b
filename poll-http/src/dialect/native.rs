//! The native dialect (the paths under `/api/` that are named after what they do).
//!
//! `ask` reads questions, `publish` reads what is published, `answer` writes polls and single messages, `lines`
//! writes streams, and `job` knows the steps of a job.

mod answer;
mod ask;
mod job;
mod lines;
mod multipart;
mod publish;

pub(crate) use answer::{etag, message, message_cache, poll, published};
pub(crate) use ask::{framing, job, long_poll, short_poll, stream, wait};
pub(crate) use job::{progress_report, step};
pub(crate) use lines::{Reason, closed, connected, heartbeat, media, progress, promise, reset, updates};
pub(crate) use publish::{Incoming, Lines, address, key, publish};
