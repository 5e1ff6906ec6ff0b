//! One message by its cursor or number, with its receipts if they are on.

use http::StatusCode;
use poll_core::{ChannelName, Found, Locator};

use crate::access::client::Client;
use crate::dialect::native;
use crate::message::outcome::Outcome;
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::message::respond;
use crate::worker::Worker;

/// A parsed request.
pub(crate) struct Request {
    pub(crate) channel: ChannelName,
    pub(crate) locator: Locator,
}

/// Answers at once, unless the message has to be read from the archive.
pub(crate) fn answer(worker: &Worker, request: Request, client: Client) -> Result<Outcome, Refusal> {
    Outcome::soon(find(worker.clone(), request, client))
}

async fn find(worker: Worker, request: Request, client: Client) -> Result<Reply, Refusal> {
    let (now, Request { channel, locator }) = (worker.now(), request);
    let read = worker.store().message(now, &channel, locator);
    match worker.archive_read(&channel, &client, worker.settings().cold_read, read).await? {
        Found::Message(message, at, until) => {
            let receipts = worker.receipts(&channel, at);
            // A bare number names another message once the channel starts over, and receipts grow: such a response must
            // not be cached.
            let cache = match (locator, &receipts) {
                (Locator::Cursor(_), None) => native::message_cache(now, until).into(),
                _ => respond::NO_CACHE.into(),
            };
            let reply = native::message(&message, receipts.as_deref(), cache);
            let charge = worker.charge_answer(reply.body.exact_length().unwrap_or_default())?;
            worker.permit_to_read(reply.charged(charge), &channel, &client)
        }
        Found::Gone => {
            Err(Refusal::new(StatusCode::GONE, "the message is no longer retained, or cannot be read"))
        }
        Found::Never => Err(Refusal::new(StatusCode::NOT_FOUND, "there never was such a message")),
    }
}
