//! `/api/presence`: parses the channel that is asked about.

use poll_core::ChannelName;

use super::question::channel_or_default;
use crate::message::head::Head;
use crate::message::query::{Query, Repeats};
use crate::message::refusal::Refusal;

/// The channel of a request.
///
/// # Errors
/// 400 if the query is malformed.
pub(crate) fn presence(head: Head<'_>) -> Result<ChannelName, Refusal> {
    let [channel] = Query::of(head).get_all(["channel"], Repeats::Refused)?;
    channel_or_default(&channel)
}
