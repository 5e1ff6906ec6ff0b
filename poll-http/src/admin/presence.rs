//! Presence: which named clients wait on a channel, on any server of the log.
//!
//! Unlike in `pattern::presence`, the right to read the channel is not needed.

use poll_core::ChannelName;

use crate::message::outcome::Outcome;
use crate::message::refusal::Refusal;
use crate::worker::Worker;

/// Answers at once.
///
/// # Errors
/// 404 if presence is not kept, 503 without memory for the response.
pub(crate) fn answer(worker: &Worker, channel: &ChannelName) -> Result<Outcome, Refusal> {
    let presence = worker.server().presence.as_ref().ok_or_else(Refusal::not_found)?;
    let reply = presence.list(channel).reply(channel);
    let charge = worker.charge_answer(reply.body.exact_length().unwrap_or_default())?;
    Ok(Outcome::Now(reply.charged(charge)))
}
