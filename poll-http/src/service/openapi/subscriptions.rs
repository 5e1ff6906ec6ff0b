//! The operations on subscriptions to streams.

use super::operation::{Answer, JSON, Operation};
use crate::dialect::durable_streams::subscriptions::SubscriptionPath;
use crate::service::router::Action;

const LOOK: &[u16] = &[400, 401, 403, 404, 421, 429, 431, 500, 501, 503];
const CHANGE: &[u16] = &[400, 401, 403, 404, 408, 409, 413, 421, 429, 431, 500, 501, 503, 507];
const DONE: Answer = Answer { status: 204, description: "It is so from now on.", headers: &[], content: &[] };

/// The operation of a method on what a path names.
pub(super) fn of(path: &SubscriptionPath, action: Action) -> Option<Operation> {
    Some(match (path, action) {
        (SubscriptionPath::Whole, Action::Get | Action::Head) => Operation {
            answers: vec![shown(200, "The subscription.")],
            failures: LOOK,
            ..plain("readSubscription", "What a subscription is, and what of each stream was acknowledged")
        },
        (SubscriptionPath::Whole, Action::Put) => Operation {
            body: Some("Subscription"),
            answers: vec![shown(201, "It begins."), shown(200, "There was one like it.")],
            ..plain("createSubscription", "Have workers woken when streams have new content")
        },
        (SubscriptionPath::Whole, Action::Delete) => {
            plain("deleteSubscription", "Delete a subscription, if there is one")
        }
        (SubscriptionPath::Streams, Action::Post) => Operation {
            body: Some("SubscriptionStreams"),
            ..plain("addSubscriptionStreams", "Add streams to a subscription, each from its end on")
        },
        (SubscriptionPath::Stream(_), Action::Delete) => Operation {
            parameters: &["subscription_id", "path_name"],
            ..plain(
                "removeSubscriptionStream",
                "Remove a stream that was added; one that matches the pattern stays",
            )
        },
        (SubscriptionPath::Callback, Action::Post) => Operation {
            body: Some("SubscriptionTurn"),
            answers: vec![turned()],
            ..plain("callBack", "Acknowledge what a webhook told of, or ask for more time; with its token")
        },
        (SubscriptionPath::Claim, Action::Post) => Operation {
            body: Some("SubscriptionClaim"),
            answers: vec![Answer {
                status: 200,
                description: "The worker has it until the lease ends.",
                headers: &["Cache-Control"],
                content: &[(JSON, "SubscriptionClaimed")],
            }],
            ..plain("claimWake", "Take the wake of a subscription")
        },
        (SubscriptionPath::Ack, Action::Post) => Operation {
            body: Some("SubscriptionTurn"),
            answers: vec![turned()],
            ..plain("acknowledgeWake", "Acknowledge, or ask for more time; with the token of the claim")
        },
        (SubscriptionPath::Release, Action::Post) => Operation {
            body: Some("SubscriptionTurn"),
            ..plain("releaseWake", "Give a wake back; with the token of the claim")
        },
        _ => return None,
    })
}

/// The keys that webhooks are signed with.
pub(super) fn keys() -> Operation {
    Operation {
        answers: vec![Answer {
            status: 200,
            description: "The public keys (RFC 7517).",
            headers: &["Cache-Control"],
            content: &[("application/jwk-set+json", "KeySet")],
        }],
        parameters: &[],
        failures: &[400, 421, 429, 431, 501, 503],
        ..plain("webhookKeys", "The keys that webhooks are signed with")
    }
}

fn plain(name: &'static str, summary: &'static str) -> Operation {
    let (tag, parameters) = ("subscriptions", &["subscription_id"]);
    Operation { name, tag, summary, parameters, body: None, answers: vec![DONE], failures: CHANGE }
}

fn shown(status: u16, description: &'static str) -> Answer {
    Answer { status, description, headers: &["Cache-Control"], content: &[(JSON, "Subscription")] }
}

fn turned() -> Answer {
    Answer {
        status: 200,
        description: "It counts.",
        headers: &["Cache-Control"],
        content: &[(JSON, "SubscriptionTurned")],
    }
}
