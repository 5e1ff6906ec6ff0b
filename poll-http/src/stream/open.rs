//! Opens a stream: resolves its position, checks whether the channel has ended, and acquires a permit to stay open.

use poll_core::{ReadState, Timestamp};

use crate::access::client::Client;
use crate::dialect::frame::Framing;
use crate::dialect::question::StreamQuestion;
use crate::message::refusal::Refusal;
use crate::stream::channel_reader::ChannelReader;
use crate::worker::Worker;
use crate::worker::metrics::Waiter;
use crate::worker::permit::Permit;

/// An open stream's reader.
pub(crate) struct Opened {
    pub(crate) reader: ChannelReader,
    /// The state of its channel, and when that was read.
    pub(crate) read_state: ReadState,
    pub(crate) now: Timestamp,
    /// Held while the response is open.
    pub(crate) permit: Permit,
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
    let reading = question.channels.into_only();
    let (pinned, read_state) = worker.pin(now, &reading.channel, reading.position, &client).await?;
    if framing == Framing::Events && given.is_some() && is_over(&read_state) {
        return Ok(None);
    }
    let permit = worker.permit(waiter, &reading.channel, &client)?;
    let reader = ChannelReader::new(worker, reading.channel, pinned, client);
    Ok(Some(Opened { reader, read_state, now, permit }))
}

/// Whether a returning reader has everything, and the channel has ended.
fn is_over(read_state: &ReadState) -> bool {
    read_state.ended && read_state.position >= read_state.newest && read_state.missed() == Some(0)
}
