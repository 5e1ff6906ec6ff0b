//! Where every dialect meets every pattern: what is asked, and what is answered.

use std::sync::Arc;
use std::time::Duration;

use poll_core::{ChannelName, Kind, Limit, Message, OverBudget, Position, Timestamp, View};

/// What a reader asks, with nothing left to parse.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) channel: ChannelName,
    pub(crate) position: Position,
    pub(crate) limit: Limit,
    /// How long to wait while there is nothing to give.
    pub(crate) wait: Duration,
    pub(crate) at_end: AtEnd,
    pub(crate) grain: Grain,
    pub(crate) skips: Skips,
}

/// What a reader does who has everything of a channel that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtEnd {
    /// Hears so at once.
    Answer,
    /// Waits its time out: its dialect has no word for an end, and would ask again at once.
    Wait,
}

/// What an answer must not cut through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grain {
    /// Messages: the asker can name the last one it has.
    Message,
    /// Milliseconds: the asker goes on from a time, and would miss the rest of one that was cut.
    Millisecond,
}

/// Which messages an asker is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Skips {
    Nothing,
    /// Those that its door has deleted.
    Deleted,
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
