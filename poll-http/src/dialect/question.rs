//! Where every dialect meets every pattern: what is asked, and what is answered.

use std::sync::Arc;
use std::time::Duration;

use poll_core::{ChannelName, Kind, Limit, Message, OverBudget, Position, Timestamp, View};

use crate::dialect::frame::Framing;

/// What a reader asks, with nothing left to parse.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) channels: Channels,
    pub(crate) limit: Limit,
    /// How long to wait while there is nothing to give.
    pub(crate) wait: Duration,
    pub(crate) at_end: AtEnd,
}

/// The channels that are asked for, and where the reader is in each. One, until a dialect can name several: the patterns
/// read and wait for [the only one](Self::only).
#[derive(Debug, Clone)]
pub(crate) struct Channels([Reading; 1]);

/// A channel, and where its reader is in it.
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

    /// The same channel from another position on.
    pub(crate) fn at(self, position: Position) -> Self {
        Self(self.0.map(|reading| Reading { position, ..reading }))
    }
}

/// A question whose answer stays open.
#[derive(Debug)]
pub(crate) struct StreamQuestion {
    pub(crate) question: Question,
    /// The position, if the reader named one.
    pub(crate) given: Option<Position>,
    pub(crate) framing: Framing,
}

/// What a reader does who has everything of a channel that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtEnd {
    /// Is told so at once.
    Answer,
    /// Waits its time out: its dialect has no word for an end, and would ask again at once.
    Wait,
}

/// What a poll is given.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) view: View,
    /// When it was given.
    pub(crate) now: Timestamp,
    /// Those messages of the view that are given, where not all are.
    pub(crate) only: Option<Vec<Arc<Message>>>,
}

impl Answer {
    /// The messages that are given.
    pub(crate) fn messages(&self) -> &[Arc<Message>] {
        let all = || self.view.batch.as_ref().map_or(&[][..], |batch| batch.messages());
        self.only.as_deref().unwrap_or_else(all)
    }

    /// Whether there is memory for holding the messages while their reader takes them.
    ///
    /// # Errors
    /// [`OverBudget`] where there is none; nothing of it may then be kept.
    pub(crate) fn check_budget(&self) -> Result<(), OverBudget> {
        let over = self.view.batch.as_ref().is_some_and(|batch| batch.is_over_budget());
        if over { Err(OverBudget(Kind::Answers)) } else { Ok(()) }
    }
}
