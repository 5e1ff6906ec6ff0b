//! Short poll: answers at once with the messages there are, or with 304 if the client has them all.

mod list;

use poll_core::{ReadState, Timestamp, View};

use crate::access::client::Client;
use crate::dialect::native;
use crate::dialect::question::{Answer, Question};
use crate::message::coding::Codings;
use crate::message::outcome::Outcome;
use crate::message::refusal::Refusal;
use crate::message::reply::{Reply, Wants};
use crate::message::respond;
use crate::message::unchanged;
use crate::worker::Worker;

pub(crate) use list::{ListRequest, answer_list};

/// A parsed request.
pub(crate) struct Request<'a> {
    pub(crate) question: Question,
    /// The client's `If-None-Match`.
    pub(crate) seen: Option<&'a [u8]>,
    pub(crate) wants: Wants,
    pub(crate) codings: Codings,
}

/// Answers at once, unless the archive has to be read.
pub(crate) fn answer(worker: &Worker, request: Request<'_>, client: Client) -> Result<Outcome, Refusal> {
    if let Some(reply) = answer_resident(worker, &request, &client) {
        return reply.map(Outcome::Now);
    }
    let Request { question, seen, wants, codings } = request;
    let (worker, seen) = (worker.clone(), seen.map(<[u8]>::to_vec));
    Ok(Outcome::later(answer_archived(worker, question, client, (wants, codings), seen)))
}

/// The response, if everything asked for is in memory.
fn answer_resident(
    worker: &Worker,
    request: &Request<'_>,
    client: &Client,
) -> Option<Result<Reply, Refusal>> {
    let Request { question, seen, wants, codings } = request;
    let (store, now, reading) = (worker.store(), worker.now(), &question.reading);
    let view = if let Some(seen) = *seen {
        let (pinned, read_state) = store.read_state_resident(now, &reading.channel, reading.position)?;
        if let Some(unchanged) = unchanged(&read_state, question, seen, *codings, now) {
            return Some(Ok(unchanged));
        }
        store.read_resident(now, &reading.channel, &pinned, question.limit)?
    } else {
        store.open_resident(now, &reading.channel, reading.position, question.limit)?.1
    };
    Some(write(worker, question, client, (*wants, *codings), view, now))
}

/// The response, read from the archive.
async fn answer_archived(
    worker: Worker,
    question: Question,
    client: Client,
    (wants, codings): (Wants, Codings),
    seen: Option<Vec<u8>>,
) -> Result<Reply, Refusal> {
    let (store, now, reading) = (worker.store(), worker.now(), &question.reading);
    let read = async {
        let pinned = store.pin(now, &reading.channel, reading.position).await?;
        if let Some(seen) = &seen {
            let read_state = store.read_state(now, &reading.channel, &pinned).await?;
            if let Some(unchanged) = unchanged(&read_state, &question, seen, codings, now) {
                return Ok(Err(unchanged));
            }
        }
        store.read(now, &reading.channel, &pinned, question.limit).await.map(Ok)
    };
    let wait = worker.settings().cold_read;
    match worker.archive_read(&reading.channel, &client, wait, read).await? {
        Ok(view) => write(&worker, &question, &client, (wants, codings), view, now),
        Err(unchanged) => Ok(unchanged),
    }
}

/// 304, if the client's tag matches.
fn unchanged(
    read_state: &ReadState,
    question: &Question,
    seen: &[u8],
    codings: Codings,
    now: Timestamp,
) -> Option<Reply> {
    let tag = native::etag(read_state, question.limit);
    unchanged::unchanged(seen, tag.as_bytes(), codings, now)
}

fn write(
    worker: &Worker,
    question: &Question,
    client: &Client,
    (wants, codings): (Wants, Codings),
    view: View,
    now: Timestamp,
) -> Result<Reply, Refusal> {
    let tag = native::etag(&view.read_state, question.limit);
    let answer = Answer { view, now, only: None, missing: 0, is_unread: false, codings };
    answer.check_budget()?;
    let mut reply = native::poll(&answer, "polled_at", respond::NO_CACHE);
    // A HEAD delivers no messages.
    if wants == Wants::Body {
        let channel = &question.reading.channel;
        reply = worker.permit_to_read(reply, channel, client)?;
        worker.delivered(channel, &answer.view.read_state, answer.messages(), client);
        worker.missed(answer.missed());
    }
    reply.tag = Some(tag.as_bytes().into());
    codings.label(&mut reply);
    Ok(reply)
}
