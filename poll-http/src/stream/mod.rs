//! The body of an answer that stays open: reading a channel on, framing what it brings, and writing it to many at once.
//!
//! Uses the wings below, and no pattern.

pub(crate) mod body;
pub(crate) mod broadcast;
pub(crate) mod channel_reader;
