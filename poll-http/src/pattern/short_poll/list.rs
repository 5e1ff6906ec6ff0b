//! A short poll of several channels.

use poll_core::{Place, ReadState};

use crate::access::client::Client;
use crate::dialect::native;
use crate::dialect::question::{ListAnswer, ListQuestion, ListStanding};
use crate::message::outcome::Outcome;
use crate::message::refusal::Refusal;
use crate::message::reply::{Reply, Wants};
use crate::message::respond;
use crate::message::unchanged::{is_unchanged, not_modified};
use crate::worker::Worker;

/// A parsed request.
pub(crate) struct ListRequest<'a> {
    pub(crate) question: Box<ListQuestion>,
    /// The client's `If-None-Match`.
    pub(crate) seen: Option<&'a [u8]>,
    pub(crate) wants: Wants,
}

/// Answers at once, unless the archive has to be read.
pub(crate) fn answer_list(
    worker: &Worker,
    request: ListRequest<'_>,
    client: Client,
) -> Result<Outcome, Refusal> {
    let ListRequest { question, seen, wants } = request;
    Outcome::soon(answer(worker.clone(), question, client, wants, seen.map(<[u8]>::to_vec)))
}

async fn answer(
    worker: Worker,
    mut question: Box<ListQuestion>,
    client: Client,
    wants: Wants,
    seen: Option<Vec<u8>>,
) -> Result<Reply, Refusal> {
    let standing = ListStanding::new(&worker, &mut question);
    let (store, now, list, limit) = (worker.store(), worker.now(), &standing.list, question.limit);
    let read = async {
        let settled = store.pin_list(now, list, &question.start).await?;
        let tag = native::list_etag(&standing, settled.iter().map(|(_, state)| state), limit);
        if seen.is_some_and(|seen| is_unchanged(&seen, &tag)) {
            return Ok(Err(not_modified(&tag, now)));
        }
        let (places, states): (Vec<Place>, Vec<ReadState>) = settled.into_iter().unzip();
        let due = states.into_iter().map(Some).enumerate();
        let view = store.read_list(now, list, &places, due, limit).await?;
        Ok(Ok((places, view)))
    };
    match worker.archive_read(list, &client, worker.settings().cold_read, read).await? {
        Ok((places, view)) => {
            let answer = ListAnswer { standing: &standing, places: &places, view, now };
            let tag = native::list_etag(&standing, answer.view.looks.iter().map(|(_, state)| state), limit);
            answer.check_budget()?;
            let mut reply = native::list_poll(&answer, "polled_at", respond::NO_CACHE);
            // A HEAD delivers no messages.
            if wants == Wants::Body {
                reply = worker.permit_to_read(reply, list, &client)?;
                worker.delivered_list(list, &answer.view, &client);
                worker.missed_list(&answer.view);
            }
            reply.tag = Some(tag.into());
            Ok(reply)
        }
        Err(unchanged) => Ok(unchanged),
    }
}
