//! `/api/presence`: the channel that is asked about, and who is there.

use http::StatusCode;
use poll_core::ChannelName;

use super::question::channel_or_default;
use crate::message::body::Body;
use crate::message::head::Head;
use crate::message::json::{write_number, write_string, write_time};
use crate::message::query::{Query, Repeats};
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::message::respond;
use crate::presence::Present;

/// The channel of a request.
///
/// # Errors
/// 400 if the query is malformed.
pub(crate) fn presence(head: Head<'_>) -> Result<ChannelName, Refusal> {
    let [channel] = Query::of(head).get_all(["channel"], Repeats::Refused)?;
    channel_or_default(&channel)
}

/// Who is present.
pub(crate) fn present(channel: &ChannelName, present: &Present) -> Reply {
    let mut out = br#"{"channel":"#.to_vec();
    write_string(&mut out, channel.as_str());
    out.extend_from_slice(br#","count":"#);
    write_number(&mut out, present.count as u64);
    out.extend_from_slice(br#","clients":["#);
    for (index, (client, since)) in present.clients.iter().enumerate() {
        out.extend_from_slice(if index > 0 { br#",{"id":"# } else { br#"{"id":"# });
        write_string(&mut out, client);
        out.extend_from_slice(br#","since":"#);
        write_time(&mut out, *since);
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    respond::whole(StatusCode::OK, respond::JSON, respond::NO_STORE, Body::full(out))
}
