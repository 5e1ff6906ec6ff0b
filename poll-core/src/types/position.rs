//! Where a reader starts, as a client can say it.

use uuid::Uuid;

use super::cursor::{Cursor, Seq};
use super::time::Timestamp;

/// A position to start reading from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Before the first message, retained or not.
    Start,
    /// After the newest message there is now.
    End,
    /// After a position that an earlier answer gave.
    After(Cursor),
    /// After a number, in whatever incarnation the channel is.
    AfterSeq(Seq),
    /// After all messages taken at or before a time.
    AfterTime(Timestamp),
    /// After all messages whose UUIDv7 is not above this one.
    AfterId(Uuid),
    /// A position that the reader could not name properly: it reads from the oldest retained message, and gets a reset.
    Unknown,
}

/// Whether the reader's position was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Continuity {
    /// Reading continues where the reader was.
    Kept,
    /// The position belongs to another incarnation of the channel, or to none: reading starts at the oldest retained
    /// message.
    Reset,
}
