//! Opens a stream of one channel or of several: resolves its positions, checks whether everything has ended, and acquires a
//! permit to stay open.

use std::sync::Arc;

use bytes::Bytes;
use poll_core::{ChannelName, Place, ReadState, Timestamp};

use crate::access::client::Client;
use crate::dialect::frame::Framing;
use crate::dialect::native;
use crate::dialect::question::{Arrival, ListStreamQuestion, StreamQuestion};
use crate::message::refusal::Refusal;
use crate::stream::channel_reader::ChannelReader;
use crate::stream::list_reader::ListReader;
use crate::worker::Worker;
use crate::worker::lists::SharedList;
use crate::worker::metrics::Waiter;
use crate::worker::permit::Permit;

/// An open stream's reader.
pub(crate) struct Opened {
    pub(crate) reader: ChannelReader,
    /// The state of its channel, and when that was read.
    pub(crate) read_state: ReadState,
    pub(crate) now: Timestamp,
    /// Held while the response is open.
    pub(crate) permit: Permit<ChannelName>,
}

/// Opens a channel to a reader; `None` if nothing more can follow: an EventSource reconnects after every end, until it is
/// answered 204.
///
/// # Errors
/// 429 if too many requests wait, 503 if the archive does not answer in time, 500 if the data is damaged.
pub(crate) async fn open(
    worker: &Worker,
    asked: StreamQuestion,
    waiter: Waiter,
    client: Client,
) -> Result<Option<Opened>, Refusal> {
    let now = worker.now();
    let StreamQuestion { question, given, framing } = asked;
    let reading = question.reading;
    let (pinned, read_state) = worker.pin(now, &reading.channel, reading.position, &client).await?;
    if framing == Framing::Events && given.is_some() && is_over(&read_state) {
        return Ok(None);
    }
    let permit = worker.permit(waiter, &reading.channel, &client)?;
    let reader = ChannelReader::new(worker, reading.channel, pinned, client);
    Ok(Some(Opened { reader, read_state, now, permit }))
}

/// An open stream's reader of several channels.
pub(crate) struct OpenedList {
    pub(crate) reader: ListReader,
    /// The first frame.
    pub(crate) first: Bytes,
    /// Held while the response is open.
    pub(crate) permit: Permit<Arc<SharedList>>,
}

/// Opens several channels to a reader, as [`open`] does one.
///
/// # Errors
/// As for [`open`].
pub(crate) async fn open_list(
    worker: &Worker,
    asked: ListStreamQuestion,
    waiter: Waiter,
    client: Client,
) -> Result<Option<OpenedList>, Refusal> {
    let now = worker.now();
    let ListStreamQuestion { standing, start, arrival, framing } = asked;
    let read = worker.store().pin_list(now, standing.channels(), &start);
    let settled = worker.archive_read(&standing.list, &client, worker.settings().cold_read, read).await?;
    let over = settled.iter().all(|(_, read_state)| is_over(read_state));
    if framing == Framing::Events && arrival == Arrival::Returning && over {
        return Ok(None);
    }
    let permit = worker.permit(waiter, &standing.list, &client)?;
    let places: Arc<[Place]> = settled.into_iter().map(|(place, _)| place).collect();
    let first = native::list_connected(framing, worker.random_id(), &standing, &places, now);
    let reader = ListReader::new(worker, standing, places, client, framing)?;
    Ok(Some(OpenedList { reader, first, permit }))
}

/// Whether a returning reader has everything, and the channel has ended.
fn is_over(read_state: &ReadState) -> bool {
    read_state.ended && read_state.position >= read_state.newest && read_state.missed() == Some(0)
}
