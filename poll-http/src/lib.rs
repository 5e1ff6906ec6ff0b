//! poll over HTTP: every polling pattern as a raw service on hyper (HTTP/1.1) and h2 (HTTP/2).

mod accept;
mod access;
mod admission;
mod body;
mod chunk;
mod client;
mod clock;
mod coding;
mod connection;
mod content;
mod date;
mod deadline;
mod dialect;
mod drain;
mod early_hints;
mod error;
mod fan_out;
mod feed;
mod follow;
mod foreign;
mod frame;
#[cfg(fuzzing)]
pub mod fuzzing;
mod head;
mod http1;
mod http2;
mod intake;
mod lend;
mod link;
mod metrics;
mod mount;
mod object;
mod origin;
mod pattern;
mod query;
mod question;
mod reply;
mod request_body;
mod respond;
mod route;
mod service;
mod settings;
mod stall;
mod turn;

pub use access::Access;
pub use admission::{Limits, Rate};
pub use body::{Body, BodyError, Piece, Pieces, Promise};
pub use client::counted as counted_address;
pub use clock::Clock;
pub use connection::{
    ConnectionError, ConnectionInfo, ConnectionSettings, EarlyHints, EarlyHintsHttp1, Handle, Handled,
    Protocol, PushPolicy, Unread, serve,
};
pub use deadline::{Deadlines, Timer, Until};
pub use drain::{Drain, Phase, WaitDraining};
pub use early_hints::{Asset, Preload};
pub use error::Refusal;
pub use foreign::ForeignBody;
pub use head::PlainRequest;
pub use http1::Http1Body;
pub use http2::Http2Content;
pub use metrics::{Cut, Metrics};
pub use mount::{Called, Mount, Mounted};
pub use reply::Reply;
pub use request_body::{RequestBody, RequestBodyError};
pub use route::{Action, Target};
pub use service::{Answering, Ask, Builder, Service};
pub use settings::{Cors, Demo, Given, HostCheck, Receipts, ServiceSettings, Site};
pub use turn::{end_turn, watch_turns};
