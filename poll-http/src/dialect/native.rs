//! The native dialect (the paths under `/api/` that are named after what they do).
//!
//! `ask` reads questions, `publish` reads what is published, `answer` writes polls and single messages, `lines`
//! writes streams, and `job` knows the steps of a job.

mod answer;
mod content_type;
mod frames;
mod job;
mod multipart;
mod publish;
mod question;

pub(crate) use answer::{LongPoll, PublishedStep, etag, message, message_cache, poll};
pub(crate) use frames::{connected, media, notice, progress, promise, updates};
pub(crate) use job::{progress_report, step};
pub(crate) use publish::{Incoming, Lines, address, key, publish};
pub(crate) use question::{demo_job, job, long_poll, short_poll, stream};
