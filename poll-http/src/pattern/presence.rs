//! Presence: which named clients wait on a channel, at once.

use poll_core::ChannelName;

use crate::access::client::Client;
use crate::message::outcome::Outcome;
use crate::message::refusal::Refusal;
use crate::worker::Worker;

/// A parsed request.
pub(crate) struct Request {
    pub(crate) channel: ChannelName,
}

/// Answers at once.
///
/// # Errors
/// 404 if presence is not kept, 503 without memory for the response, 429 if it is large and too many requests wait.
pub(crate) fn answer(worker: &Worker, request: &Request, client: &Client) -> Result<Outcome, Refusal> {
    let Request { channel } = request;
    let presence = worker.server().presence.as_ref().ok_or_else(Refusal::not_found)?;
    let reply = presence.list(channel).reply(channel);
    let charge = worker.charge_answer(reply.body.exact_length().unwrap_or_default())?;
    Ok(Outcome::Now(worker.permit_to_read(reply.charged(charge), channel, client)?))
}
