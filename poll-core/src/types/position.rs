//! Where a question starts, as a client can name it.

use uuid::Uuid;

use super::cursor::{Cursor, Seq};
use super::time::Timestamp;

/// A place to start reading from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Before the first message, retained or not.
    Start,
    /// After the newest message there is now.
    End,
    /// After a position that an earlier answer gave.
    After(Cursor),
    /// After a bare number, of whatever life the channel is in.
    AfterSeq(Seq),
    /// After all messages taken at or before a time.
    AfterTime(Timestamp),
    /// After all messages whose UUIDv7 is not above this one.
    AfterId(Uuid),
    /// Somewhere, but what the reader calls it is no place of any channel.
    Unknown,
}

/// Whether the reader's place was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Continuity {
    /// Reading goes on where the reader was.
    Kept,
    /// The place belongs to another life of the channel, or to none: reading starts at the oldest retained.
    Reset,
}
