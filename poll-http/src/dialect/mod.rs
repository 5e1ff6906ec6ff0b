//! How a request is parsed and its response written. A dialect never waits: it parses, and it renders.
//!
//! `format` is the interface of dialects to the long poll and publish patterns; everything else of a dialect is its own.

pub(crate) mod channel;
pub(crate) mod chat;
pub(crate) mod durable_streams;
pub(crate) mod format;
pub(crate) mod frame;
pub(crate) mod golongpoll;
pub(crate) mod message_list;
pub(crate) mod native;
pub(crate) mod object;
pub(crate) mod question;
pub(crate) mod stream_event;
pub(crate) mod timeout;
