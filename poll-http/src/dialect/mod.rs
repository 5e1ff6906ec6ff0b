//! How a question is read and its answer written. A dialect never waits: it parses, and it renders.
//!
//! What the patterns know of a dialect is in `format`; what belongs to one dialect alone lives with it.

pub(crate) mod channel;
pub(crate) mod chat;
pub(crate) mod format;
pub(crate) mod frame;
pub(crate) mod golongpoll;
pub(crate) mod list;
pub(crate) mod native;
pub(crate) mod object;
pub(crate) mod question;
pub(crate) mod stream_event;
pub(crate) mod wait;
