//! Append: a publish on conditions, to a channel that exists. Answered when it is stored and every reader can see it.

use poll_core::life::{AppendError, Condition};
use poll_core::{ChannelName, Publish};

use crate::dialect::durable_streams;
use crate::message::body_charge::BodyCharge;
use crate::message::outcome::Outcome;
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::worker::Worker;
use crate::worker::budget::{self, cost};

/// A parsed request.
pub(crate) struct Request {
    pub(crate) channel: ChannelName,
    pub(crate) publish: Publish,
    pub(crate) condition: Condition,
    /// The size of its content.
    pub(crate) content: usize,
    /// The charge for the content, released with the response.
    pub(crate) body_charge: Option<BodyCharge>,
}

/// Appends, as far as possible without waiting.
pub(crate) fn answer(worker: &Worker, request: Request) -> Result<Outcome, Refusal> {
    budget::charge(cost::MESSAGE * request.publish.payloads.len() as u64);
    Outcome::soon(append(worker.clone(), request))
}

async fn append(worker: Worker, request: Request) -> Result<Reply, Refusal> {
    let Request { channel, publish, condition, content, body_charge } = request;
    let body_charge = body_charge.unwrap_or_else(|| BodyCharge::whole(worker.store().memory(), content));
    let (ending, producer) = (publish.ending, condition.producer.clone());
    let closes = publish.payloads.is_empty();
    let appended = match worker.append(&channel, publish, condition).await {
        Ok(appended) => appended,
        Err(AppendError::Closed { end }) if closes && producer.is_none() => {
            return Ok(durable_streams::closed_before(end));
        }
        Err(error) => return Err(durable_streams::refuse_append(error)),
    };
    drop(body_charge);
    Ok(durable_streams::appended(&appended, producer.as_ref(), ending))
}
