//! poll over HTTP: publish once, read by any polling pattern, over HTTP/1.1 and HTTP/2.
//!
//! ```
//! # use std::sync::Arc;
//! # use poll_core::{ChannelName, Payload, Publish, Retention, Store};
//! # use poll_http::{ConnectionSettings, Service, serve};
//! # use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let service = Service::builder(Store::in_memory(Retention::default())).build();
//! service.publish(&ChannelName::parse("news")?, Publish::one(Payload::text("hello"))).await?;
//!
//! // A server has a socket from `accept` here, and does this for each.
//! let (mut client, socket) = tokio::io::duplex(4096);
//! let connections = Arc::new(service.connections(ConnectionSettings::default()));
//! let peer = std::net::SocketAddr::from(([127, 0, 0, 1], 4711));
//! tokio::spawn(serve(socket, peer, service, connections));
//!
//! client.write_all(b"GET /api/longpoll?channel=news HTTP/1.0\r\n\r\n").await?;
//! let mut answer = String::new();
//! client.read_to_string(&mut answer).await?;
//! assert!(answer.contains(r#""content":"hello""#));
//! # Ok(()) }
//! ```
//!
//! [`Mount`] serves the same under a path of another server.
//!
//! # Patterns: when a request is answered
//!
//! | pattern | file in `pattern/` | path | specification |
//! | --- | --- | --- | --- |
//! | short poll | `short_poll.rs` | `/api/poll` | conditional requests, RFC 9110 §13 |
//! | long poll | `long_poll.rs` | `/api/longpoll`, and every dialect's | RFC 6202 §2; `Prefer: wait`, RFC 7240 §4.3 |
//! | stream | `stream.rs` | `/api/stream` | chunks, RFC 9112 §7.1; server-sent events, WHATWG HTML §9.2 |
//! | push | `push.rs` | `/api/push` | server push, RFC 9113 §8.4 |
//! | progress | `progress.rs` | `/api/progress/{job}` | as a stream |
//! | publish | `publish.rs` | `/api/message`, and every dialect's | POST, RFC 9110 §9.3.3 |
//! | presence | `presence.rs` | `/api/presence` | |
//! | one message | `message.rs` | `/api/messages/{channel}/{cursor}` | GET, RFC 9110 §9.3.1 |
//! | create, append, delete | `create.rs`, `append.rs`, `delete.rs` | `/v1/stream/{name}` | Durable Streams 1.0 |
//! | catch-up, describe | `catch_up.rs`, `describe.rs` | `/v1/stream/{name}` | the same |
//! | subscription | `subscription.rs` | `/v1/stream/__ds/…` | the same |
//! | events | `events.rs` | `/v1/stream/{name}` with `live=sse` | the same |
//!
//! # Dialects: how a request is parsed and its response written
//!
//! `native`, `golongpoll`, `chat`, `channel` and `durable_streams`, each a file in `dialect/`.
//!
//! # The other modules
//!
//! `message` is HTTP messages: request heads, bodies, responses, errors. `access` decides who may make requests and how
//! often, `presence` knows which clients wait, `worker` is what a worker's requests share, `stream` the body of a response that stays open, `service` one
//! request's way through all of them, and `transport` the connections. Each uses those before it: `message < access <
//! presence < worker < dialect < stream < pattern < service`; `transport` uses little of them, and none of them uses it.

mod access;
mod admin;
mod dialect;
#[cfg(fuzzing)]
pub mod fuzzing;
mod message;
mod pattern;
mod presence;
mod service;
mod stream;
mod transport;
mod worker;

pub use access::administration::{AdminPlace, Administration};
pub use access::admission::{Limits, Rate};
pub use access::authority::{Authority, Denied, Grant, KeyFetch, Scope};
pub use access::client::rate_limit_address;
#[cfg(feature = "jwt")]
pub use access::jwt;
pub use access::origin::{Cors, HostCheck};
pub use access::pattern::Pattern;
pub use access::tokens::Access;
pub use dialect::durable_streams::subscriptions::{
    Loopback, SubscriptionId, SubscriptionPath, WebhookUrl, WebhookUrlError,
};
pub use message::access_log::{AccessLog, AccessRecord, AnswerEnd};
pub use message::body::{Body, BodyError, Piece, Pieces, Promise};
pub use message::connection_info::{ConnectionInfo, EarlyHints, Peer, Protocol, PushPolicy, Secured, Unread};
pub use message::connection_record::{ConnectionRecord, OpenRecord};
pub use message::early_hints::{Asset, Preload};
pub use message::refusal::Refusal;
pub use message::reply::Reply;
pub use message::request::Request;
pub use message::request_body::{BodyStream, RequestBody, RequestBodyError};
pub use message::trace_context::{Sampled, TraceContext};
pub use pattern::subscription::{Signer, Webhook, WebhookAnswer, WebhookClient};
pub use service::mount::{Called, Mount, Mounted};
pub use service::redirect::Redirect;
pub use service::router::{Action, Target};
pub use service::site::Site;
pub use service::{Answering, Ask, Builder, Service};
pub use transport::connection::serve;
pub use transport::context::ConnectionContext;
pub use transport::error::ConnectionError;
pub use transport::handle::Handle;
pub use transport::settings::{ConnectionSettings, EarlyHintsHttp1};
pub use worker::budget::{end_turn, watch_turns};
pub use worker::drain::{Drain, Phase, WaitDraining};
pub use worker::metrics::{Cut, Metrics};
pub use worker::settings::{
    AfterDelivery, Compress, Demo, DurableStreams, KeepPresence, MaxChannels, Receipts, ServiceSettings,
};
pub use worker::timer_wheel::{Timer, Timers, Until};

impl Handle for Service {
    type Future = Answering;

    fn handle(&self, request: Request<'_>, connection: &ConnectionInfo) -> Answering {
        self.dispatch(request, connection)
    }
}

impl Handle for Redirect {
    type Future = std::future::Ready<Reply>;

    fn handle(&self, request: Request<'_>, connection: &ConnectionInfo) -> Self::Future {
        connection.note_request();
        std::future::ready(self.answer(&request))
    }
}

impl Service {
    /// What the connections of the service's worker share, within these limits.
    #[must_use]
    pub fn connections(&self, settings: ConnectionSettings) -> ConnectionContext {
        ConnectionContext {
            settings,
            timers: self.timers().clone(),
            drain: self.drain().clone(),
            memory: self.store().memory().clone(),
            metrics: self.metrics().clone(),
        }
    }
}
