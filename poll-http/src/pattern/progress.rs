//! Progress of a job: all steps so far, then each new one, then a clean end.

mod demo;

use crate::access::client::Client;
use crate::dialect::native;
use crate::dialect::question::StreamQuestion;
use crate::message::body::Body;
use crate::message::outcome::Outcome;
use crate::message::refusal::Refusal;
use crate::message::reply::{Reply, Wants};
use crate::message::respond;
use crate::stream::body::StreamBody;
use crate::stream::open::open;
use crate::stream::style::Style;
use crate::worker::Worker;
use crate::worker::metrics::Waiter;

pub(crate) use demo::demo_job;

/// A parsed request.
pub(crate) struct Request {
    pub(crate) asked: StreamQuestion,
    pub(crate) job: Job,
    pub(crate) wants: Wants,
}

/// Which job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    /// A publisher's, whether or not it has reported a step yet.
    Reported,
    /// A demonstration, which this request starts.
    Demo,
}

/// Opens a stream of a job's steps.
pub(crate) fn answer(worker: &Worker, request: Request, client: Client) -> Result<Outcome, Refusal> {
    // A HEAD must not start it.
    if request.job == Job::Demo && request.wants == Wants::HeadOnly {
        let content_type = native::content_type(request.asked.framing);
        return Ok(Outcome::Now(respond::streamed(content_type, Body::empty())));
    }
    Ok(Outcome::later(progress(worker.clone(), request, client)))
}

async fn progress(worker: Worker, request: Request, client: Client) -> Result<Reply, Refusal> {
    let Request { asked, job, .. } = request;
    if job == Job::Demo {
        demo::start(&worker, &asked.question.reading.channel)?;
    }
    let framing = asked.framing;
    let Some(opened) = open(&worker, asked, Waiter::Stream, client).await? else {
        return Ok(respond::nothing_more());
    };
    let body = StreamBody::new(opened.reader, Style::Steps(framing), None);
    Ok(respond::streamed(native::content_type(framing), Body::broadcastable(body).on_end(opened.permit)))
}
