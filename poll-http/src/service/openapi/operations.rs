//! Which operation each method of a target is.

use super::operation::{OPEN, OPEN_MESSAGE, OPTIONS, Operation, PLAIN, ok};
use super::{administration, publishing, reading, streams, subscriptions};
use crate::dialect::durable_streams::subscriptions::SubscriptionPath;
use crate::service::router::{Action, Target};

/// The operation of a method; `None` if the target does not have it.
pub(super) fn of(target: &Target, action: Action) -> Option<Operation> {
    if target.is_administration() && action != Action::Options {
        return administration::of(target, if action == Action::Head { Action::Get } else { action });
    }
    if let (Target::Subscription(_, path), false) = (target, action == Action::Options) {
        return subscriptions::of(path, action);
    }
    match action {
        Action::Head if matches!(target, Target::DurableStream(_)) => Some(streams::describe()),
        Action::Get | Action::Head => get(target),
        Action::Post => post(target),
        Action::Put => matches!(target, Target::DurableStream(_)).then(streams::create),
        Action::Delete => matches!(target, Target::DurableStream(_)).then(streams::delete),
        Action::Options => {
            let Operation { name, tag, .. } = of_any(target)?;
            let summary = "The methods of this path";
            let parameters = names(target);
            let names_what_cannot_be =
                matches!(target, Target::Message(..) | Target::DurableStream(_) | Target::Subscription(..));
            let failures = if names_what_cannot_be { OPEN_MESSAGE } else { OPEN };
            Some(Operation { name, tag, summary, parameters, body: None, answers: vec![OPTIONS], failures })
        }
    }
}

/// An operation of it other than OPTIONS.
fn of_any(target: &Target) -> Option<Operation> {
    if let Target::Subscription(_, path) = target {
        let actions = [Action::Get, Action::Post, Action::Delete];
        return actions.into_iter().find_map(|action| subscriptions::of(path, action));
    }
    let others = [Action::Put, Action::Delete];
    get(target)
        .or_else(|| post(target))
        .or_else(|| others.into_iter().find_map(|action| administration::of(target, action)))
}

/// The names in its path.
fn names(target: &Target) -> &'static [&'static str] {
    match target {
        Target::Message(..) => &["path_channel", "path_cursor"],
        Target::Job(_) => &["job"],
        Target::ChannelPoll(_) | Target::ChannelPublish(_) | Target::AdminChannel(..) => &["path_channel"],
        Target::DurableStream(_) => &["path_name"],
        Target::Subscription(_, SubscriptionPath::Stream(_)) => &["subscription_id", "path_name"],
        Target::Subscription(..) => &["subscription_id"],
        Target::AdminConnection(_) => &["connection_id"],
        _ => &[],
    }
}

fn get(target: &Target) -> Option<Operation> {
    Some(match target {
        Target::ShortPoll => reading::short_poll(),
        Target::LongPoll => reading::long_poll(),
        Target::Stream => reading::stream(),
        Target::Push => reading::push(),
        Target::Message(..) => reading::message(),
        Target::Presence => reading::presence(),
        Target::Job(_) => reading::job(),
        Target::DemoJob => reading::demo_job(),
        Target::Events => reading::golongpoll_events(),
        Target::Chat => reading::chat_messages(),
        Target::ChannelPoll(_) => reading::channel_poll(),
        Target::DurableStream(_) => streams::read(),
        Target::Health => reading::server("healthz", "Liveness: the process runs", vec![ok(&[(PLAIN, "")])]),
        Target::Ready => reading::readiness(),
        Target::Metrics => reading::metrics(),
        Target::OpenApi => reading::document(),
        Target::File => reading::file(),
        Target::AdminChannels
        | Target::AdminChannel(..)
        | Target::AdminConnections
        | Target::AdminConnection(_) => return administration::of(target, Action::Get),
        Target::WebhookKeys => subscriptions::keys(),
        Target::Publish | Target::PublishEvent | Target::ChannelPublish(_) | Target::Subscription(..) => {
            return None;
        }
    })
}

fn post(target: &Target) -> Option<Operation> {
    Some(match target {
        Target::Publish => publishing::publish(),
        Target::Job(_) => publishing::report_step(),
        Target::PublishEvent => publishing::golongpoll_publish(),
        Target::Chat => publishing::chat_publish(),
        Target::ChannelPublish(_) => publishing::channel_publish(),
        Target::DurableStream(_) => streams::append(),
        Target::AdminChannel(..) => return administration::of(target, Action::Post),
        _ => return None,
    })
}
