//! Describe: what is known of a channel, at once and without its messages.

use poll_core::ChannelName;
use poll_core::life::Use;

use crate::access::client::Client;
use crate::dialect::durable_streams;
use crate::message::outcome::Outcome;
use crate::message::refusal::Refusal;
use crate::worker::Worker;

/// A parsed request.
pub(crate) struct Request {
    pub(crate) channel: ChannelName,
}

/// Answers at once, unless the archive has to be read. A look does not keep the channel alive.
pub(crate) fn answer(worker: &Worker, request: Request, client: Client) -> Result<Outcome, Refusal> {
    let worker = worker.clone();
    Outcome::soon(async move {
        let standing = worker.describe(&request.channel, Use::Look, &client).await?;
        Ok(durable_streams::described(&durable_streams::live(standing)?))
    })
}
