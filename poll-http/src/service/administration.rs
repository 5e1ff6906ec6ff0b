//! Requests of operators: from targets and methods to what `admin` answers.

use bytes::Bytes;
use http::StatusCode;
use poll_core::ChannelName;

use crate::admin::{channels, connections, presence, settings};
use crate::message::connection_info::ConnectionInfo;
use crate::message::head::Head;
use crate::message::outcome::Outcome;
use crate::message::refusal::Refusal;
use crate::message::request::Content;
use crate::presence::is_records;
use crate::service::program::is_reserved;
use crate::service::read_body::{self, Bounds};
use crate::service::router::{Action, ChannelPart, Target};
use crate::worker::Worker;

/// The answer, if the target is one of administration.
///
/// # Errors
/// 400 if the request is malformed, and those of what is asked.
pub(super) fn answer(
    worker: &Worker,
    target: Target,
    action: Action,
    head: Head<'_>,
    content: Content<'_>,
    connection: &ConnectionInfo,
) -> Result<Outcome, Refusal> {
    use channels::Request;
    if let Target::AdminChannel(channel, ChannelPart::Close | ChannelPart::Settings) = &target
        && is_servers_own(worker, channel)
    {
        let why = "the server keeps its own records in this channel";
        return Err(Refusal::new(StatusCode::FORBIDDEN, why));
    }
    let request = match (target, action) {
        (Target::AdminConnections, _) => {
            return connections::answer(worker, connections::Request::list(head)?);
        }
        (Target::AdminConnection(id), _) => {
            let (id, own) = (id.ok_or_else(connections::no_connection)?, connection.record.as_ref());
            return connections::answer(worker, connections::Request::Cut { id, own });
        }
        (Target::AdminChannels, _) => Request::list(head)?,
        (Target::AdminChannel(channel, ChannelPart::Itself), Action::Delete) => Request::Delete(channel),
        (Target::AdminChannel(channel, ChannelPart::Itself), _) => Request::Show(channel),
        (Target::AdminChannel(channel, ChannelPart::Purge), _) => Request::Purge(channel),
        (Target::AdminChannel(channel, ChannelPart::Close), _) => Request::Close(channel),
        (Target::AdminChannel(channel, ChannelPart::Presence), _) => {
            return presence::answer(worker, &channel);
        }
        (Target::AdminChannel(channel, ChannelPart::Settings), _) => {
            return with_content(worker, content, move |worker, content| {
                channels::answer(worker, Request::Configure(channel, settings::parse(content)?))
            });
        }
        _ => return Err(Refusal::not_found()),
    };
    channels::answer(worker, request)
}

/// Whether a channel holds the server's own records, which it could not write if the channel were closed, or would lose if it
/// retained less.
fn is_servers_own(worker: &Worker, channel: &ChannelName) -> bool {
    is_reserved(channel) || (worker.server().presence.is_some() && is_records(channel))
}

/// Reads the content, then answers.
fn with_content(
    worker: &Worker,
    content: Content<'_>,
    answer: impl FnOnce(&Worker, &[u8]) -> Result<Outcome, Refusal> + Send + 'static,
) -> Result<Outcome, Refusal> {
    let bounds = Bounds { bytes: settings::MOST_BYTES, time: worker.settings().body };
    if let Some(content) = content.whole() {
        if content.len() > bounds.bytes {
            return Err(Refusal::too_large("the content", bounds.bytes));
        }
        return answer(worker, content);
    }
    let (worker, body) = (worker.clone(), content.into_body());
    Ok(Outcome::later(async move {
        let (content, _charge) =
            read_body::read(body, bounds, worker.store().memory(), worker.timers()).await?;
        let content = Bytes::copy_from_slice(content.as_ref());
        answer(&worker, &content)?.finished().await
    }))
}
