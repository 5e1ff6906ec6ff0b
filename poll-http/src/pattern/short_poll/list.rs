//! A short poll of several channels.

use poll_core::{ListView, Place, ReadState, Timestamp};

use crate::access::client::Client;
use crate::dialect::native;
use crate::dialect::question::{ListAnswer, ListQuestion};
use crate::message::coding::Codings;
use crate::message::outcome::Outcome;
use crate::message::refusal::Refusal;
use crate::message::reply::{Reply, Wants};
use crate::message::respond;
use crate::message::unchanged;
use crate::worker::Worker;

/// A parsed request.
pub(crate) struct ListRequest<'a> {
    pub(crate) question: Box<ListQuestion>,
    /// The client's `If-None-Match`.
    pub(crate) seen: Option<&'a [u8]>,
    pub(crate) wants: Wants,
    pub(crate) codings: Codings,
}

/// Answers at once, unless the archive has to be read.
pub(crate) fn answer_list(
    worker: &Worker,
    request: ListRequest<'_>,
    client: Client,
) -> Result<Outcome, Refusal> {
    if let Some(reply) = answer_resident(worker, &request, &client) {
        return reply.map(Outcome::Now);
    }
    let ListRequest { question, seen, wants, codings } = request;
    let (worker, seen) = (worker.clone(), seen.map(<[u8]>::to_vec));
    Ok(Outcome::later(answer_archived(worker, question, client, (wants, codings), seen)))
}

/// The response, if everything asked for is in memory.
fn answer_resident(
    worker: &Worker,
    request: &ListRequest<'_>,
    client: &Client,
) -> Option<Result<Reply, Refusal>> {
    let ListRequest { question, seen, wants, codings } = request;
    let (store, now, list) = (worker.store(), worker.now(), question.standing.channels());
    let settled = store.pin_list_resident(now, list, &question.feed.start)?;
    if let Some(unchanged) = unchanged(question, &settled, *seen, *codings, now) {
        return Some(Ok(unchanged));
    }
    let (places, states): (Vec<Place>, Vec<ReadState>) = settled.into_iter().unzip();
    let due = states.into_iter().map(Some).enumerate();
    let view = store.read_list_resident(now, list, &places, due, question.limit)?;
    Some(write(worker, question, client, (*wants, *codings), (&places, &view), now))
}

/// The response, read from the archive.
async fn answer_archived(
    worker: Worker,
    question: Box<ListQuestion>,
    client: Client,
    (wants, codings): (Wants, Codings),
    seen: Option<Vec<u8>>,
) -> Result<Reply, Refusal> {
    let (store, now, list) = (worker.store(), worker.now(), question.standing.channels());
    let read = async {
        let settled = store.pin_list(now, list, &question.feed.start).await?;
        if let Some(unchanged) = unchanged(&question, &settled, seen.as_deref(), codings, now) {
            return Ok(Err(unchanged));
        }
        let (places, states): (Vec<Place>, Vec<ReadState>) = settled.into_iter().unzip();
        let due = states.into_iter().map(Some).enumerate();
        let view = store.read_list(now, list, &places, due, question.limit).await?;
        Ok(Ok((places, view)))
    };
    match worker.archive_read(&question.standing.list, &client, worker.settings().cold_read, read).await? {
        Ok((places, view)) => write(&worker, &question, &client, (wants, codings), (&places, &view), now),
        Err(unchanged) => Ok(unchanged),
    }
}

/// 304, if the client's tag matches.
fn unchanged(
    question: &ListQuestion,
    settled: &[(Place, ReadState)],
    seen: Option<&[u8]>,
    codings: Codings,
    now: Timestamp,
) -> Option<Reply> {
    let seen = seen?;
    let tag = native::list_etag(&question.standing, settled.iter().map(|(_, state)| state), question.limit);
    unchanged::unchanged(seen, &tag, codings, now)
}

fn write(
    worker: &Worker,
    question: &ListQuestion,
    client: &Client,
    (wants, codings): (Wants, Codings),
    (places, view): (&[Place], &ListView),
    now: Timestamp,
) -> Result<Reply, Refusal> {
    let ListQuestion { standing, limit, .. } = question;
    let answer = ListAnswer { standing, places, view, now, codings };
    let tag = native::list_etag(standing, view.looks.iter().map(|(_, state)| state), *limit);
    answer.check_budget()?;
    let mut reply = native::list_poll(&answer, "polled_at", respond::NO_CACHE);
    // A HEAD delivers no messages.
    if wants == Wants::Body {
        reply = worker.permit_to_read(reply, &standing.list, client)?;
        worker.delivered_list(standing.channels(), view, client);
        worker.missed_list(view);
    }
    reply.tag = Some(tag.into());
    codings.label(&mut reply);
    Ok(reply)
}
