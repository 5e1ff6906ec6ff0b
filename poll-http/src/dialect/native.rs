//! The native dialect: `/api/message`, `/api/messages/{channel}/{cursor}`, `/api/poll`, `/api/longpoll`, `/api/stream`,
//! `/api/push`, `/api/presence`, `/api/progress`.
//!
//! `question` and `publish` (with `content_type`, `multipart` and `job`) parse; `poll_answer`, `list_answer`,
//! `publish_answer`, `message`, `frames` and `list_frames` write.

use crate::message::refusal::ErrorFormat;

mod content_type;
mod frames;
mod job;
mod list_answer;
mod list_frames;
mod message;
mod multipart;
mod poll_answer;
mod presence;
mod publish;
mod publish_answer;
mod question;

pub(crate) use frames::{connected, content_type, notice, progress, promise, updates};
pub(crate) use job::{progress_report, step};
pub(crate) use list_answer::{list_etag, list_poll};
pub(crate) use list_frames::{list_connected, list_promise, list_updates, render_list_updates};
pub(crate) use message::{message, message_cache};
pub(crate) use poll_answer::{PollAnswer, etag, poll};
pub(crate) use presence::presence;
pub(crate) use publish::{Lines, PublishBody, idempotency_key, publish, publish_query};
pub(crate) use publish_answer::StepAnswer;
pub(crate) use question::{demo_job, job, long_poll, short_poll, stream};

/// How errors are written.
pub(crate) const ERRORS: ErrorFormat = ErrorFormat::ProblemJson;
