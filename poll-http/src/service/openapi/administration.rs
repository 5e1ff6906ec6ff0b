//! The operations of administration. Their refusals are those of its own token.

use super::operation::{Answer, JSON, OPEN, Operation, ok};
use crate::service::router::{Action, ChannelPart, Target};

const PROBLEM: &[(&str, &str)] = &[("application/problem+json", "Problem")];
const CHANNEL: &[(&str, &str)] = &[(JSON, "AdminChannel")];
const DONE: Answer =
    Answer { status: 204, description: "It is done.", headers: &["Cache-Control"], content: &[] };

/// The operation of a method; `None` if the target does not have it.
pub(super) fn of(target: &Target, action: Action) -> Option<Operation> {
    let name = &["path_channel"];
    Some(match (target, action) {
        (Target::AdminChannels, Action::Get) => operation(
            "listChannels",
            "List channels by name, a page at a time",
            &["admin_prefix", "admin_after", "admin_limit"],
            vec![ok(&[(JSON, "AdminChannels")])],
        ),
        (Target::AdminChannel(_, ChannelPart::Itself), Action::Get) => {
            operation("showChannel", "What is known of a channel", name, vec![ok(CHANNEL)])
        }
        (Target::AdminChannel(_, ChannelPart::Itself), Action::Delete) => {
            operation("deleteChannel", "Delete a channel with its messages", name, vec![DONE])
        }
        (Target::AdminChannel(_, ChannelPart::Purge), Action::Post) => {
            operation("purgeChannel", "Drop a channel's messages; its numbers go on", name, vec![ok(CHANNEL)])
        }
        (Target::AdminChannel(_, ChannelPart::Close), Action::Post) => {
            operation("closeChannel", "Close a channel: it takes nothing more", name, vec![ok(CHANNEL)])
        }
        (Target::AdminChannel(_, ChannelPart::Settings), Action::Put) => Operation {
            body: Some("ChannelSettings"),
            ..operation("configureChannel", "Set what a channel retains", name, vec![ok(CHANNEL)])
        },
        (Target::AdminChannel(_, ChannelPart::Presence), Action::Get) => operation(
            "channelPresence",
            "Which named clients wait on a channel",
            name,
            vec![ok(&[(JSON, "Presence")])],
        ),
        (Target::AdminConnections, Action::Get) => operation(
            "listConnections",
            "List the connections of this server, a page at a time",
            &["connection_after", "connection_limit"],
            vec![ok(&[(JSON, "AdminConnections")])],
        ),
        (Target::AdminConnection(_), Action::Delete) => {
            operation("cutConnection", "Cut a connection", &["connection_id"], vec![DONE])
        }
        _ => return None,
    })
}

/// With what may be refused beside that: the token, a channel that is not there, what does not fit, and the store.
fn operation(
    name: &'static str,
    summary: &'static str,
    parameters: &'static [&'static str],
    mut answers: Vec<Answer>,
) -> Operation {
    let refused = |status, description, headers| Answer { status, description, headers, content: PROBLEM };
    let absent = match name {
        "channelPresence" => "Presence is not kept, or administration is on a listener of its own.",
        "listConnections" => "Administration is on a listener of its own.",
        "cutConnection" => "There is no such connection, or administration is on a listener of its own.",
        _ => "There is no such channel, or administration is on a listener of its own.",
    };
    answers.extend([
        refused(401, "The token for operators is needed, or the one given is wrong.", &["WWW-Authenticate"]),
        refused(
            403,
            "A page of another origin tried to write, or the server keeps its own records in the channel.",
            &[],
        ),
        refused(404, absent, &[]),
        refused(429, "Too many wrong tokens.", &["Retry-After"]),
        refused(500, "What the store holds of this channel is damaged.", &[]),
        refused(503, "The store is unavailable.", &["Retry-After"]),
    ]);
    if name == "configureChannel" {
        answers.push(refused(413, "The content is larger than allowed.", &[]));
    }
    Operation { name, tag: "administration", summary, parameters, body: None, answers, failures: OPEN }
}
