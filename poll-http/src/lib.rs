//! poll-http

mod body;
mod connection;
mod deadline;
mod drain;
mod early_hints;
mod http1;
mod http2;
mod link;
mod settings_frame;
mod stall;

pub use body::{Body, BodyError, Piece, Pieces, Promise, RequestBody, RequestBodyError};
pub use connection::{
    ConnectionError, ConnectionInfo, ConnectionSettings, EarlyHints, EarlyHintsHttp1, Handle, Protocol,
    PushPolicy, serve,
};
pub use deadline::{Deadlines, Timer, Until};
pub use drain::{Drain, Phase, WaitDraining};
pub use early_hints::{Asset, Preload};
