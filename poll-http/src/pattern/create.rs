//! Create: answered when the channel is stored with its first content, or was there already.

use bytes::Bytes;
use poll_core::ChannelName;
use poll_core::life::{Standing, Use};

use crate::dialect::durable_streams::{self, Create};
use crate::message::body_charge::BodyCharge;
use crate::message::outcome::Outcome;
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::worker::Worker;

/// A parsed request.
pub(crate) struct Request {
    pub(crate) channel: ChannelName,
    pub(crate) create: Create,
    /// What it means may depend on the channel that this one is forked from.
    pub(crate) content: Bytes,
    /// The new channel's URL.
    pub(crate) location: String,
    /// The charge for the content, released with the response.
    pub(crate) body_charge: Option<BodyCharge>,
}

/// Creates a channel, as far as possible without waiting.
pub(crate) fn answer(worker: &Worker, request: Request) -> Result<Outcome, Refusal> {
    Outcome::soon(create(worker.clone(), request))
}

async fn create(worker: Worker, request: Request) -> Result<Reply, Refusal> {
    let Request { channel, create, content, location, body_charge } = request;
    let most = worker.settings().max_payload_bytes;
    let body_charge =
        body_charge.unwrap_or_else(|| BodyCharge::whole(worker.store().memory(), content.len()));
    let (store, now) = (worker.store(), worker.now());
    let source = match create.read_as().filter(|_| !content.is_empty()) {
        Some(source) => match store.describe(now, source, Use::Look).await.map_err(Refusal::unreadable)? {
            Standing::Live(source) => source.life.content_type.clone(),
            // The store refuses that.
            Standing::Absent | Standing::Hidden => None,
        },
        None => None,
    };
    let create = create.with(&content, source.as_ref(), most)?;
    drop(content);
    let created = worker.create(&channel, create).await.map_err(durable_streams::refuse_create)?;
    drop(body_charge);
    Ok(durable_streams::created(&created, location))
}
