//! Publish: the answer comes when the message is kept and every reader can see it.

use poll_core::{ChannelName, Publish, Published, Publishing};

use crate::dialect::format::PublishFormat;
use crate::message::body_charge::Held;
use crate::message::outcome::Outcome;
use crate::message::refusal::Refusal;
use crate::worker::Worker;
use crate::worker::budget::{self, cost};

/// What is published.
pub(crate) struct Request {
    pub(crate) channel: ChannelName,
    pub(crate) publish: Publish,
    pub(crate) format: Box<dyn PublishFormat>,
    /// The size of the content that it came in…
    pub(crate) content: usize,
    /// … and what is charged for that already; let go of with the answer.
    pub(crate) held: Option<Held>,
}

/// Publishes, as far as that goes without waiting.
pub(crate) fn answer(worker: &Worker, request: Request) -> Result<Outcome, Refusal> {
    let Request { channel, publish, format, content, held } = request;
    budget::charge(cost::MESSAGE * publish.payloads.len() as u64);
    // Before it is published: then there is no way back.
    let charge = worker.charge_answer(format.most_bytes(publish.payloads.len()) as u64)?;
    let held = move |worker: &Worker| held.unwrap_or_else(|| Held::whole(worker.store().memory(), content));
    if worker.has_hooks() {
        let (worker, held) = (worker.clone(), held(worker));
        return Ok(Outcome::later(async move {
            let published = worker.publish(&channel, publish).await?;
            drop(held);
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
            let (worker, held) = (worker.clone(), held(worker));
            Outcome::later(async move {
                let published = published.await?;
                drop(held);
                Ok(write(&worker, &published))
            })
        }
    })
}
