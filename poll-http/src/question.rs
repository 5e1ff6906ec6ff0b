//! Where every dialect meets every pattern: what is asked, and what is answered.

use std::time::Duration;

use poll_core::{ChannelName, Limit, Position, Timestamp, View};

/// What a reader asks, with nothing left to parse.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) channel: ChannelName,
    pub(crate) position: Position,
    pub(crate) limit: Limit,
    /// How long to wait while there is nothing to give.
    pub(crate) wait: Duration,
}

/// What a poll is given.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) view: View,
    /// When it was given.
    pub(crate) now: Timestamp,
}
