//! Publish: answered when the message is stored and every reader can see it.

use poll_core::{ChannelName, Publish, Published, Publishing};

use crate::dialect::format::PublishFormat;
use crate::message::body_charge::BodyCharge;
use crate::message::outcome::Outcome;
use crate::message::refusal::Refusal;
use crate::worker::Worker;
use crate::worker::budget::{self, cost};

/// A parsed request.
pub(crate) struct Request {
    pub(crate) channel: ChannelName,
    pub(crate) publish: Publish,
    pub(crate) format: Box<dyn PublishFormat>,
    /// The size of its content.
    pub(crate) content: usize,
    /// The charge for the content, released with the response.
    pub(crate) body_charge: Option<BodyCharge>,
}

/// Publishes, as far as possible without waiting.
pub(crate) fn answer(worker: &Worker, request: Request) -> Result<Outcome, Refusal> {
    let Request { channel, publish, format, content, body_charge } = request;
    budget::charge(cost::MESSAGE * publish.payloads.len() as u64);
    // Charged before it is published, which cannot be undone.
    let charge = worker.charge_answer(format.most_bytes(publish.payloads.len()) as u64)?;
    let body_charge = move |worker: &Worker| {
        body_charge.unwrap_or_else(|| BodyCharge::whole(worker.store().memory(), content))
    };
    if worker.has_hooks() {
        let (worker, body_charge) = (worker.clone(), body_charge(worker));
        return Ok(Outcome::later(async move {
            let published = worker.publish(&channel, publish).await?;
            drop(body_charge);
            Ok(format.write(&channel, &published).charged(charge))
        }));
    }
    let now = worker.now();
    let publishing = worker.store().start_publish(now, &channel, publish)?;
    let write = move |worker: &Worker, published: &Published| {
        worker.count_published(&channel, published);
        format.write(&channel, published).charged(charge)
    };
    Ok(match publishing {
        Publishing::Done(published) => {
            let mut reply = write(worker, &published);
            reply.made = Some(now);
            Outcome::Now(reply)
        }
        Publishing::Waiting(published) => {
            let (worker, body_charge) = (worker.clone(), body_charge(worker));
            Outcome::later(async move {
                let published = published.await?;
                drop(body_charge);
                Ok(write(&worker, &published))
            })
        }
    })
}
