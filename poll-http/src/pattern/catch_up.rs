//! Catch-up: answers at once with what follows an offset, or with 304 if the client has that already.

use poll_core::life::Use;
use poll_core::{ChannelName, Kind, Limit, OverBudget, Pinned};

use crate::access::client::Client;
use crate::dialect::durable_streams::{self, Begins, Cached, CatchUp, Read};
use crate::message::coding::Codings;
use crate::message::outcome::Outcome;
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::worker::Worker;

/// A parsed request.
pub(crate) struct Request<'a> {
    pub(crate) channel: ChannelName,
    pub(crate) read: Read,
    pub(crate) cached: Cached,
    /// The client's `If-None-Match`.
    pub(crate) seen: Option<&'a [u8]>,
    pub(crate) codings: Codings,
}

/// Answers at once, unless the archive has to be read.
pub(crate) fn answer(worker: &Worker, request: Request<'_>, client: Client) -> Result<Outcome, Refusal> {
    let Request { channel, read, cached, seen, codings } = request;
    let (worker, seen) = (worker.clone(), seen.map(<[u8]>::to_vec));
    Outcome::soon(async move {
        catch_up(&worker, &channel, read, cached, (seen.as_deref(), codings), &client).await
    })
}

async fn catch_up(
    worker: &Worker,
    channel: &ChannelName,
    read: Read,
    cached: Cached,
    (seen, codings): (Option<&[u8]>, Codings),
    client: &Client,
) -> Result<Reply, Refusal> {
    let standing = worker.describe(channel, Use::Renew, client).await?;
    let catch_up = CatchUp::new(&read, &durable_streams::live(standing)?, cached)?;
    let (store, now) = (worker.store(), worker.now());
    let pinned = Pinned::after(catch_up.start.cursor);
    let view = async {
        match catch_up.start.begins {
            Begins::AtTail => store.read_state(now, channel, &pinned).await.map(durable_streams::at_tail),
            Begins::Anywhere | Begins::AfterOffset => {
                store.read(now, channel, &pinned, Limit::default()).await
            }
        }
    };
    let view = worker.archive_read(channel, client, worker.settings().cold_read, view).await?;
    if view.batch.as_ref().is_some_and(|batch| batch.is_over_budget()) {
        return Err(OverBudget(Kind::Answers).into());
    }
    let reply = catch_up.write(&view, now, seen, codings)?;
    let reply = worker.permit_to_read(reply, channel, client)?;
    if let Some(batch) = view.batch.as_ref().filter(|_| reply.status.is_success()) {
        worker.delivered(channel, &view.read_state, batch.messages(), client);
    }
    worker.missed(view.read_state.missed());
    Ok(reply)
}
