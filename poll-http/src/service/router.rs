//! Paths to targets, and which methods each target allows. Pure; the one list of the server's resources, from which
//! `openapi` makes its document, too.
//!
//! A path is matched segment by segment before percent-encoding is undone, so a `/` inside a name is `%2F`.

use std::borrow::Cow;

use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use poll_core::{ChannelName, Cursor, Locator, Seq};

use crate::access::authority::Right;
use crate::access::origin::{CrossOriginFields, USUAL_FIELDS};
use crate::dialect::durable_streams::subscriptions::{SubscriptionId, SubscriptionPath};
use crate::dialect::{channel, chat, durable_streams, golongpoll, native};
use crate::message::percent_encoding::is_encoded;
use crate::message::query::number;
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::worker::settings::{DurableStreams, KeepPresence, ServiceSettings};

/// The resource that a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `/api/message`.
    Publish,
    /// `/api/messages/{channel}/{cursor or number}`.
    Message(ChannelName, Locator),
    /// `/api/poll`.
    ShortPoll,
    /// `/api/longpoll`.
    LongPoll,
    /// `/api/stream`.
    Stream,
    /// `/api/push`.
    Push,
    /// `/api/presence`.
    Presence,
    /// `/api/progress`.
    DemoJob,
    /// `/api/progress/{job}`: the channel of the job.
    Job(ChannelName),
    /// `/healthz`.
    Health,
    /// `/readyz`.
    Ready,
    /// `/metrics`.
    Metrics,
    /// `/openapi.json`: the document that describes all of these.
    OpenApi,
    /// `/events` of the golongpoll dialect.
    Events,
    /// `/publish` of the golongpoll dialect.
    PublishEvent,
    /// `/messages` of the chat dialect.
    Chat,
    /// `/api/poll/{channel}` of the channel dialect.
    ChannelPoll(ChannelName),
    /// `/api/publish/{channel}` of the channel dialect.
    ChannelPublish(ChannelName),
    /// `/v1/stream/{name}` of the Durable Streams dialect; the name may have `/` in it.
    DurableStream(ChannelName),
    /// `/admin/channels`.
    AdminChannels,
    /// `/admin/channels/{channel}`, and what is below that.
    AdminChannel(ChannelName, ChannelPart),
    /// `/admin/connections`.
    AdminConnections,
    /// `/admin/connections/{id}`; `None` for what cannot be a connection's.
    AdminConnection(Option<u64>),
    /// `/v1/stream/__ds/subscriptions/{id}` and what is below it.
    Subscription(SubscriptionId, SubscriptionPath),
    /// `/v1/stream/__ds/jwks.json`: the keys that webhooks are signed with.
    WebhookKeys,
    /// Any other path: a file of the site, or nothing.
    File,
}

/// What administration does with a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelPart {
    /// Shows or deletes it.
    Itself,
    /// Drops its messages.
    Purge,
    /// Closes it.
    Close,
    /// Sets what it retains.
    Settings,
    /// Lists the named clients that wait on it.
    Presence,
}

/// The dialect that a path belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Native,
    Golongpoll,
    Chat,
    Channel,
    DurableStreams,
}

/// What a request does with its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// GET, or any method where the target accepts all.
    Get,
    /// GET without body, wait or effect (RFC 9110 §9.3.2).
    Head,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// DELETE.
    Delete,
    /// OPTIONS: lists the methods.
    Options,
}

/// The server's paths, each once: how it is matched, and what lists it. Those with names in them begin with a fixed part.
macro_rules! paths {
    (
        fixed { $($fixed:literal => $target:ident)* }
        named { $($before:literal $names:literal => $parse:path)* }
    ) => {
        /// All paths, with names in braces.
        pub(super) const PATHS: &[&str] = &[$($fixed,)* $(concat!($before, $names),)*];

        impl Target {
            /// The target of `path`.
            ///
            /// # Errors
            /// 400 if a name in the path is malformed, 404 if the path names a message that cannot exist.
            pub fn of(path: &str) -> Result<Self, Refusal> {
                match path {
                    $($fixed => return Ok(Self::$target),)*
                    _ => {}
                }
                $(if let Some(rest) = path.strip_prefix($before) {
                    return $parse(rest);
                })*
                Ok(Self::File)
            }
        }
    };
}

paths! {
    fixed {
        "/api/poll" => ShortPoll
        "/api/longpoll" => LongPoll
        "/api/message" => Publish
        "/api/stream" => Stream
        "/api/push" => Push
        "/api/presence" => Presence
        "/api/progress" => DemoJob
        "/events" => Events
        "/publish" => PublishEvent
        "/messages" => Chat
        "/healthz" => Health
        "/readyz" => Ready
        "/metrics" => Metrics
        "/openapi.json" => OpenApi
        "/admin/channels" => AdminChannels
        "/admin/connections" => AdminConnections
        "/v1/stream/__ds/jwks.json" => WebhookKeys
    }
    named {
        "/api/messages/" "{channel}/{cursor}" => message
        "/api/progress/" "{job}" => job
        "/api/poll/" "{channel}" => channel_poll
        "/api/publish/" "{channel}" => channel_publish
        "/v1/stream/__ds/subscriptions/" "{id}" => subscription
        "/v1/stream/__ds/subscriptions/" "{id}/streams" => subscription
        "/v1/stream/__ds/subscriptions/" "{id}/streams/{name}" => subscription
        "/v1/stream/__ds/subscriptions/" "{id}/callback" => subscription
        "/v1/stream/__ds/subscriptions/" "{id}/claim" => subscription
        "/v1/stream/__ds/subscriptions/" "{id}/ack" => subscription
        "/v1/stream/__ds/subscriptions/" "{id}/release" => subscription
        "/v1/stream/" "{name}" => durable_stream
        "/admin/channels/" "{channel}" => admin_channel
        "/admin/channels/" "{channel}/purge" => admin_channel
        "/admin/channels/" "{channel}/close" => admin_channel
        "/admin/channels/" "{channel}/settings" => admin_channel
        "/admin/channels/" "{channel}/presence" => admin_channel
        "/admin/connections/" "{id}" => admin_connection
    }
}

impl Target {
    /// What `method` does with this target.
    ///
    /// # Errors
    /// 405 with `Allow` if the target does not have the method.
    pub fn action(&self, method: &Method) -> Result<Action, Refusal> {
        let (reads, posts) = self.reads_and_posts();
        match *method {
            Method::GET if reads => Ok(Action::Get),
            Method::HEAD if reads => Ok(Action::Head),
            Method::POST if posts => Ok(Action::Post),
            Method::PUT if self.allow().contains("PUT") => Ok(Action::Put),
            Method::DELETE if self.allow().contains("DELETE") => Ok(Action::Delete),
            Method::OPTIONS => Ok(Action::Options),
            // As in the library, which accepts any method here.
            _ if *self == Self::Events => Ok(Action::Get),
            _ if *self == Self::PublishEvent => {
                let detail = "Invalid HTTP Method. Only POST allowed.";
                Err(Refusal::method_not_allowed(self.allow()).with_detail(detail))
            }
            _ => Err(Refusal::method_not_allowed(self.allow())),
        }
    }

    /// The target's methods, for `Allow` (RFC 9110 §10.2.1).
    #[must_use]
    pub fn allow(&self) -> &'static str {
        match self.reads_and_posts() {
            _ if self.is_durable_stream() => "GET, HEAD, POST, PUT, DELETE, OPTIONS",
            _ if matches!(self, Self::AdminChannel(_, ChannelPart::Itself)) => "GET, HEAD, DELETE, OPTIONS",
            _ if matches!(self, Self::AdminChannel(_, ChannelPart::Settings)) => "PUT, OPTIONS",
            _ if matches!(self, Self::Subscription(_, SubscriptionPath::Whole)) => {
                "GET, HEAD, PUT, DELETE, OPTIONS"
            }
            (false, false) => "DELETE, OPTIONS",
            (false, _) => "POST, OPTIONS",
            (true, true) => "GET, HEAD, POST, OPTIONS",
            (true, false) => "GET, HEAD, OPTIONS",
        }
    }

    /// The right that a request needs. The demonstration job is started by a GET, and publishes.
    pub(super) fn right(&self, action: Action) -> Right {
        match (action, self) {
            // What a subscriber may change is what it reads.
            (_, Self::Subscription(..)) => Right::Subscribe,
            (Action::Post | Action::Put | Action::Delete, _) | (_, Self::DemoJob) => Right::Publish,
            _ => Right::Subscribe,
        }
    }

    /// Whether it has GET, and whether it has POST.
    fn reads_and_posts(&self) -> (bool, bool) {
        match self {
            Self::Publish | Self::PublishEvent | Self::ChannelPublish(_) => (false, true),
            Self::AdminChannel(_, ChannelPart::Purge | ChannelPart::Close) => (false, true),
            Self::AdminChannel(_, ChannelPart::Settings) | Self::AdminConnection(_) => (false, false),
            Self::Subscription(_, SubscriptionPath::Whole) => (true, false),
            Self::Subscription(_, SubscriptionPath::Stream(_)) => (false, false),
            Self::Subscription(..) => (false, true),
            Self::Job(_) | Self::Chat | Self::DurableStream(_) => (true, true),
            _ => (true, false),
        }
    }

    /// Whether it is for operators.
    pub(super) fn is_administration(&self) -> bool {
        matches!(
            self,
            Self::AdminChannels | Self::AdminChannel(..) | Self::AdminConnections | Self::AdminConnection(_)
        )
    }

    /// Whether it exists only where presence is kept.
    pub(super) fn is_presence(&self) -> bool {
        matches!(self, Self::Presence | Self::AdminChannel(_, ChannelPart::Presence))
    }

    fn is_durable_stream(&self) -> bool {
        matches!(self, Self::DurableStream(_))
    }
}

impl Action {
    /// Whether it carries content to be stored.
    pub(super) fn is_write(self) -> bool {
        matches!(self, Self::Post | Self::Put)
    }
}

/// Whether the service has what may be at a path.
pub(super) fn is_served(path: &str, settings: &ServiceSettings) -> bool {
    let is_presence = Target::of(path).is_ok_and(|target| target.is_presence());
    Dialect::of(path).is_spoken(settings) && (!is_presence || settings.presence == KeepPresence::On)
}

impl Dialect {
    /// The dialect of a path, even an unknown one.
    pub(crate) fn of(path: &str) -> Self {
        match path {
            "/events" | "/publish" => Self::Golongpoll,
            "/messages" => Self::Chat,
            _ if path.starts_with(durable_streams::ROOT) => Self::DurableStreams,
            _ if path.starts_with("/api/poll/") || path.starts_with("/api/publish/") => Self::Channel,
            _ => Self::Native,
        }
    }

    /// Whether the service speaks it.
    pub(super) fn is_spoken(self, settings: &ServiceSettings) -> bool {
        self != Self::DurableStreams || settings.durable_streams == DurableStreams::On
    }

    /// The fields that pages of other origins may read and send.
    pub(super) fn cross_origin_fields(self) -> CrossOriginFields {
        match self {
            Self::DurableStreams => durable_streams::CROSS_ORIGIN_FIELDS,
            Self::Native | Self::Golongpoll | Self::Chat | Self::Channel => USUAL_FIELDS,
        }
    }

    /// Writes a refusal in the dialect's format.
    pub(crate) fn refuse(self, refusal: Refusal) -> Reply {
        match self {
            Self::Native => refusal.into_reply(native::ERRORS),
            Self::Chat => refusal.into_reply(chat::ERRORS),
            Self::Channel => refusal.into_reply(channel::ERRORS),
            Self::DurableStreams => refusal.into_reply(durable_streams::ERRORS),
            Self::Golongpoll => golongpoll::uncached(refusal.into_reply(golongpoll::ERRORS)),
        }
    }
}

/// `{channel}/{cursor}`.
fn message(names: &str) -> Result<Target, Refusal> {
    let Some((channel, place)) = names.split_once('/') else { return Ok(Target::File) };
    Ok(Target::Message(channel_name(channel)?, locator(place)?))
}

/// `{job}`.
fn job(name: &str) -> Result<Target, Refusal> {
    if name.contains('/') { Ok(Target::File) } else { Ok(Target::Job(job_channel(name)?)) }
}

/// `{channel}`.
fn channel_poll(name: &str) -> Result<Target, Refusal> {
    if name.contains('/') { Ok(Target::File) } else { Ok(Target::ChannelPoll(channel_name(name)?)) }
}

/// `{channel}`.
fn channel_publish(name: &str) -> Result<Target, Refusal> {
    if name.contains('/') { Ok(Target::File) } else { Ok(Target::ChannelPublish(channel_name(name)?)) }
}

/// `{name}`.
fn durable_stream(name: &str) -> Result<Target, Refusal> {
    if name.is_empty() { Ok(Target::File) } else { Ok(Target::DurableStream(durable_streams::name(name)?)) }
}

/// `{channel}` or `{channel}/purge` and its like.
fn admin_channel(names: &str) -> Result<Target, Refusal> {
    let (name, part) = names.split_once('/').map_or((names, ""), |(name, part)| (name, part));
    let part = match part {
        "" if !names.ends_with('/') => ChannelPart::Itself,
        "purge" => ChannelPart::Purge,
        "close" => ChannelPart::Close,
        "settings" => ChannelPart::Settings,
        "presence" => ChannelPart::Presence,
        _ => return Ok(Target::File),
    };
    Ok(Target::AdminChannel(channel_name(name)?, part))
}

/// `{id}`: a connection's, if it is a number.
fn admin_connection(id: &str) -> Result<Target, Refusal> {
    if id.is_empty() || id.contains('/') {
        return Ok(Target::File);
    }
    Ok(Target::AdminConnection(number(id)))
}

/// What is below `__ds/subscriptions/`.
fn subscription(path: &str) -> Result<Target, Refusal> {
    let (id, part) = SubscriptionPath::parse(path)?;
    Ok(Target::Subscription(id, part))
}

/// The channel of a job: `progress/{job}`.
fn job_channel(job: &str) -> Result<ChannelName, Refusal> {
    let name = segment(job)?;
    if name.is_empty() {
        return Err(Refusal::bad_request("`job`: a job must have a name"));
    }
    ChannelName::parse(&format!("progress/{name}"))
        .map_err(|error| Refusal::bad_request(format!("`job`: {error}")))
}

/// A path segment as a channel's name.
fn channel_name(text: &str) -> Result<ChannelName, Refusal> {
    if text.is_empty() {
        return Err(Refusal::bad_request("`channel`: its name is missing in the path"));
    }
    Ok(ChannelName::parse(&segment(text)?)?)
}

fn locator(text: &str) -> Result<Locator, Refusal> {
    if let Ok(cursor) = text.parse::<Cursor>() {
        return Ok(Locator::Cursor(cursor));
    }
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits => Ok(Locator::Seq(Seq::new(number))),
        _ => Err(Refusal::new(StatusCode::NOT_FOUND, "there never was a message of this cursor or number")),
    }
}

fn segment(text: &str) -> Result<Cow<'_, str>, Refusal> {
    let not_text = "the path is not percent-encoded UTF-8: `channel`";
    if !is_encoded(text.as_bytes()) {
        return Err(Refusal::bad_request(not_text));
    }
    percent_decode_str(text).decode_utf8().map_err(|_| Refusal::bad_request(not_text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ChannelName {
        ChannelName::parse(text).unwrap()
    }

    #[test]
    fn paths_name_targets() {
        let cursor = format!("{:016x}{:016x}", 7, 3);
        let cases = [
            ("/api/message", Target::Publish),
            ("/api/poll", Target::ShortPoll),
            ("/api/longpoll", Target::LongPoll),
            ("/api/progress", Target::DemoJob),
            ("/api/progress/a%2Fb", Target::Job(name("progress/a/b"))),
            ("/api/messages/a%20%E2%98%83/12", Target::Message(name("a ☃"), Locator::Seq(Seq::new(12)))),
            (
                &format!("/api/messages/a%2Fb/{cursor}"),
                Target::Message(name("a/b"), Locator::Cursor(cursor.parse().unwrap())),
            ),
            ("/admin/channels", Target::AdminChannels),
            ("/admin/channels/a%2Fb", Target::AdminChannel(name("a/b"), ChannelPart::Itself)),
            ("/admin/channels/a/presence", Target::AdminChannel(name("a"), ChannelPart::Presence)),
            ("/admin/channels/purge/purge", Target::AdminChannel(name("purge"), ChannelPart::Purge)),
            ("/admin/channels/a/", Target::File),
            ("/admin/channels/a/b", Target::File),
            ("/admin/channels/a/close/", Target::File),
            ("/admin/connections", Target::AdminConnections),
            ("/admin/connections/12", Target::AdminConnection(Some(12))),
            ("/admin/connections/-1", Target::AdminConnection(None)),
            ("/admin/connections/", Target::File),
            ("/admin/connections/1/", Target::File),
            ("/", Target::File),
            ("/api", Target::File),
            ("/api/progress/a/b", Target::File),
            ("/healthz", Target::Health),
        ];
        for (path, target) in cases {
            assert_eq!(Target::of(path), Ok(target), "{path}");
        }
    }

    #[test]
    fn broken_names_are_refused_and_impossible_messages_never_were() {
        for path in ["/api/progress/%", "/api/progress/", "/api/messages/%0a/1", "/api/messages/%ff/1"] {
            assert_eq!(Target::of(path).unwrap_err().status(), StatusCode::BAD_REQUEST, "{path}");
        }
        for path in ["/api/messages/a/x", "/api/messages/a/", "/api/messages/a/+1"] {
            assert_eq!(Target::of(path).unwrap_err().status(), StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[test]
    fn methods_are_those_in_allow() {
        assert_eq!(Target::ShortPoll.action(&Method::HEAD), Ok(Action::Head));
        assert_eq!(Target::Publish.action(&Method::GET), Err(Refusal::method_not_allowed("POST, OPTIONS")));
        assert_eq!(Target::Publish.action(&Method::OPTIONS), Ok(Action::Options));
        assert!(Target::File.action(&Method::DELETE).is_err());
    }
}
