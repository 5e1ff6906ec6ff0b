//! poll over HTTP: every polling pattern as a raw service on hyper (HTTP/1.1) and h2 (HTTP/2).

mod access;
mod dialect;
#[cfg(fuzzing)]
pub mod fuzzing;
mod message;
mod pattern;
mod service;
mod stream;
mod transport;
mod worker;

pub use access::admission::{Limits, Rate};
pub use access::client::counted as counted_address;
pub use access::origin::{Cors, HostCheck};
pub use access::tokens::Access;
pub use message::body::{Body, BodyError, Piece, Pieces, Promise};
pub use message::connection_info::{ConnectionInfo, EarlyHints, Protocol, PushPolicy, Unread};
pub use message::early_hints::{Asset, Preload};
pub use message::refusal::Refusal;
pub use message::reply::Reply;
pub use message::request::Request;
pub use message::request_body::{BodyStream, RequestBody, RequestBodyError};
pub use service::mount::{Called, Mount, Mounted};
pub use service::router::{Action, Target};
pub use service::site::Site;
pub use service::{Answering, Ask, Builder, Service};
pub use transport::connection::serve;
pub use transport::context::ConnectionContext;
pub use transport::error::ConnectionError;
pub use transport::handle::Handle;
pub use transport::settings::{ConnectionSettings, EarlyHintsHttp1};
pub use worker::budget::{end_turn, watch_turns};
pub use worker::clock::Clock;
pub use worker::drain::{Drain, Phase, WaitDraining};
pub use worker::metrics::{Cut, Metrics};
pub use worker::settings::{Demo, Given, Receipts, ServiceSettings};
pub use worker::timer_wheel::{Timer, Timers, Until};

impl Handle for Service {
    type Future = Answering;

    fn handle(&self, request: Request<'_>, connection: &ConnectionInfo) -> Answering {
        self.dispatch(request, connection)
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
