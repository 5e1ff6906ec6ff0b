//! When a request is answered: at once, on the next message, continuously, by push.
//!
//! Each pattern is a file with the same members in the same order: `Request`, fully parsed; `answer(worker, request,
//! client)`, which returns the response or a future of it; then its helpers. A pattern never uses another, and leaves all
//! parsing to dialects and all admission to the service. `long_poll` and `publish` get their dialect as a trait object
//! (`dialect::format`); `append`, `catch_up`, `create`, `delete`, `describe` and `events` speak Durable Streams only, the
//! others the native dialect.

pub(crate) mod append;
pub(crate) mod catch_up;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod describe;
pub(crate) mod events;
pub(crate) mod long_poll;
pub(crate) mod message;
pub(crate) mod presence;
pub(crate) mod progress;
pub(crate) mod publish;
pub(crate) mod push;
pub(crate) mod short_poll;
pub(crate) mod stream;
pub(crate) mod subscription;
