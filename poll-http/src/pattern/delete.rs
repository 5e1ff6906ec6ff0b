//! Delete: answered when the channel and its messages are gone, or hidden from all but those forked from it.

use poll_core::ChannelName;

use crate::dialect::durable_streams;
use crate::message::outcome::Outcome;
use crate::message::refusal::Refusal;
use crate::worker::Worker;

/// Deletes a channel, as far as possible without waiting.
pub(crate) fn answer(worker: &Worker, channel: ChannelName) -> Result<Outcome, Refusal> {
    let worker = worker.clone();
    Outcome::soon(async move {
        let deleted = worker.store().delete(worker.now(), &channel).await?;
        durable_streams::deleted(&deleted)
    })
}
