//! The body of a response that stays open: the reader of a channel, its framing, and one writer for many readers.
//!
//! Uses `dialect` and the modules below it. Knows no pattern.

pub(crate) mod body;
pub(crate) mod broadcast;
pub(crate) mod channel_reader;
pub(crate) mod event_body;
pub(crate) mod list_reader;
pub(crate) mod open;
mod reader;
mod schedule;
pub(crate) mod style;
mod subject;
