//! The native dialect (the paths under `/api/` that are named after what they do).
//!
//! `ask` reads questions, `publish` reads what is published, `answer` writes polls and single messages, `lines`
//! writes streams, and `job` knows the steps of a job.

mod answer;
mod ask;
mod job;
mod lines;
mod media;
mod multipart;
mod publish;

pub(crate) use answer::{LongPoll, PublishedStep, etag, message, message_cache, poll};
pub(crate) use ask::{demo_job, job, long_poll, short_poll, stream};
pub(crate) use job::{progress_report, step};
pub(crate) use lines::{connected, media, notice, progress, promise, updates};
pub(crate) use publish::{Incoming, Lines, address, key, publish};
