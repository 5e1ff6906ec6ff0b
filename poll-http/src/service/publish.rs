//! Requests that publish: reads, parses and checks the content, then hands it to the pattern.

use std::future::poll_fn;
use std::sync::Arc;

use poll_core::ChannelName;

use crate::access::authority::Grant;
use crate::message::access_log::Logged;
use crate::message::body_charge::BodyCharge;
use crate::message::head::Head;
use crate::message::outcome::Outcome;
use crate::message::refusal::Refusal;
use crate::message::request::Content;
use crate::service::parse::Posted;
use crate::service::program::{Ask, Program};
use crate::service::read_body::{self, Bounds};
use crate::worker::Worker;
use crate::worker::budget::{self, cost};

/// How much of a large body of lines is parsed at once: half a millisecond's worth.
const PIECE: usize = 64 * 1024;

/// Publishes a request's content, as far as possible without waiting.
///
/// # Errors
/// 413 if the content is too large, 400 if it is malformed, 403 if the token does not grant it, the program's refusal, and those of a publish.
pub(super) fn answer(
    worker: &Worker,
    program: &Arc<Program>,
    mut posted: Posted,
    head: Head<'_>,
    content: Content<'_>,
    grant: Arc<Grant>,
    logged: Logged,
) -> Result<Outcome, Refusal> {
    let most = posted.most_bytes(worker.settings());
    let hub = program.subscriptions.clone();
    let trace = hub.as_ref().and_then(|hub| hub.trace_of(head));
    let follow = move |channel: &ChannelName| {
        if let Some(hub) = &hub {
            hub.follow(channel, trace);
        }
    };
    if let Some(content) = content.whole() {
        if content.len() > most {
            return Err(Refusal::too_large("the content", most));
        }
        budget::charge(cost::JSON_BYTE * content.len() as u64);
        let check = |ask: Ask<'_>| {
            logged.channels(std::slice::from_ref(ask.channel()));
            program.check(Some(head), &grant, ask)
        };
        return publish(worker, posted, content, None, (check, follow));
    }
    let body = content.into_body();
    let (worker, program, head) = (worker.clone(), program.clone(), program.keep_head(head));
    Ok(Outcome::later(async move {
        let bounds = Bounds { bytes: most, time: worker.settings().body };
        let (content, body_charge) =
            read_body::read(body, bounds, worker.store().memory(), worker.timers()).await?;
        read_lines(&mut posted, content.as_ref()).await?;
        let check = |ask: Ask<'_>| {
            logged.channels(std::slice::from_ref(ask.channel()));
            program.check(head.as_deref().map(Head::from), &grant, ask)
        };
        let outcome = publish(&worker, posted, content.as_ref(), Some(body_charge), (check, follow))?;
        drop(content);
        outcome.finished().await
    }))
}

/// Parses, checks, tells the channel's subscriptions, and hands over to the pattern. The charge for the content is
/// released with the response.
fn publish(
    worker: &Worker,
    posted: Posted,
    content: &[u8],
    body_charge: Option<BodyCharge>,
    (check, follow): (impl Fn(Ask<'_>) -> Result<(), Refusal>, impl FnOnce(&ChannelName)),
) -> Result<Outcome, Refusal> {
    let write = posted.with(content, body_charge, worker.settings())?;
    if let Some(source) = write.source() {
        check(Ask::Read(source))?;
    }
    check(Ask::Publish(write.channel()))?;
    follow(write.channel());
    write.answer(worker)
}

/// Parses a large body of lines in pieces, within the worker's budget.
async fn read_lines(posted: &mut Posted, content: &[u8]) -> Result<(), Refusal> {
    let lines = if content.len() > PIECE { posted.lines(content) } else { None };
    let Some((mut lines, incoming)) = lines else {
        budget::charge(cost::JSON_BYTE * content.len() as u64);
        return Ok(());
    };
    loop {
        let read = lines.read(PIECE)?;
        budget::charge(cost::JSON_BYTE * read as u64);
        if read == 0 {
            return incoming.give(lines);
        }
        poll_fn(budget::poll_go_on).await;
    }
}
