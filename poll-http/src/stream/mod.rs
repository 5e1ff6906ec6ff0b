//! The body of an answer that stays open: the reader of a channel, its framing, and one writer for many readers.
//!
//! Uses `dialect` and what lies below it. Which pattern an answer belongs to is not known here.

pub(crate) mod body;
pub(crate) mod broadcast;
pub(crate) mod channel_reader;
pub(crate) mod open;
pub(crate) mod style;
