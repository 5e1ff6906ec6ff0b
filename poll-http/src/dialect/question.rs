//! Where dialects meet patterns: a question as parsed, and the answer to be written.

use std::sync::Arc;
use std::time::Duration;

use poll_core::{ChannelName, Kind, Limit, Message, OverBudget, Position, Timestamp, View};

use crate::dialect::frame::Framing;

/// A question with nothing left to parse.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) channels: Channels,
    pub(crate) limit: Limit,
    /// How long to wait for a message.
    pub(crate) wait: Duration,
    pub(crate) at_end: AtEnd,
}

/// The channels asked for, with the reader's position in each. Exactly one, until a dialect can name several.
#[derive(Debug, Clone)]
pub(crate) struct Channels([Reading; 1]);

/// A channel and the reader's position in it.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) channel: ChannelName,
    pub(crate) position: Position,
}

impl Channels {
    pub(crate) fn one(channel: ChannelName, position: Position) -> Self {
        Self([Reading { channel, position }])
    }

    pub(crate) fn only(&self) -> &Reading {
        let Self([only]) = self;
        only
    }

    pub(crate) fn into_only(self) -> Reading {
        let Self([only]) = self;
        only
    }

    /// The same channel at another position.
    pub(crate) fn at(self, position: Position) -> Self {
        Self(self.0.map(|reading| Reading { position, ..reading }))
    }
}

/// A question answered by a stream.
#[derive(Debug)]
pub(crate) struct StreamQuestion {
    pub(crate) question: Question,
    /// The position that the reader named, if any.
    pub(crate) given: Option<Position>,
    pub(crate) framing: Framing,
}

/// What a poll does that has read everything of a channel that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtEnd {
    /// It is answered at once.
    Answer,
    /// It times out: the dialect cannot express an end, so its client would poll again at once.
    Wait,
}

/// What a poll is answered with.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) view: View,
    pub(crate) now: Timestamp,
    /// The messages of the view to send, if not all of them.
    pub(crate) only: Option<Vec<Arc<Message>>>,
}

impl Answer {
    /// The messages to send.
    pub(crate) fn messages(&self) -> &[Arc<Message>] {
        let all = || self.view.batch.as_ref().map_or(&[][..], |batch| batch.messages());
        self.only.as_deref().unwrap_or_else(all)
    }

    /// Checks that there is memory to hold the messages while the reader takes them.
    ///
    /// # Errors
    /// [`OverBudget`] if there is not; the answer must then be dropped.
    pub(crate) fn check_budget(&self) -> Result<(), OverBudget> {
        let over = self.view.batch.as_ref().is_some_and(|batch| batch.is_over_budget());
        if over { Err(OverBudget(Kind::Answers)) } else { Ok(()) }
    }
}
