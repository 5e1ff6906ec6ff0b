//! What a pattern asks of a dialect: how its answer is written and, of a long poll, what may be given and when.
//!
//! Functions without waiting: a pattern calls them with what it has read, and does the waiting they ask for.

use std::sync::Arc;
use std::time::Duration;

use poll_core::{ChannelName, Found, Message, Position, Published, ReadState, Timestamp, View};

use crate::dialect::question::{Answer, Question};
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;

/// How a dialect's long polls are answered. The defaults are for clients that name the last message they have.
pub(crate) trait PollFormat: Send {
    /// The position that is to be read before the question's own can be [settled](Self::place), if there is one.
    fn place_by(&self) -> Option<Position> {
        None
    }

    /// Settles where the poll starts, by what was found at [that position](Self::place_by).
    fn place(&mut self, question: Question, _: &Place) -> Question {
        question
    }

    /// How much of a view may be given now.
    fn cut(&mut self, _channel: &ChannelName, _: &View, _now: Timestamp) -> Cut {
        Cut::Nowhere
    }

    /// Those of the messages that the client is given, where not all are.
    fn select(
        &self,
        _channel: &ChannelName,
        _: &ReadState,
        _messages: &[Arc<Message>],
    ) -> Option<Vec<Arc<Message>>> {
        None
    }

    /// The answer.
    ///
    /// # Errors
    /// Where there is no memory for what goes with it.
    fn write(self: Box<Self>, channel: &ChannelName, answer: &Answer) -> Result<Reply, Refusal>;
}

/// What was found where a poll is to start.
pub(crate) struct Place {
    /// When the poll came.
    pub(crate) now: Timestamp,
    pub(crate) read_state: ReadState,
    /// The message that the position names, if it names one.
    pub(crate) message: Option<Found>,
}

/// How much of a view may be given.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// All of it.
    Nowhere,
    /// Its first messages.
    Behind(usize),
    /// Nothing yet: look again after that time. Once the poll is overdue by more than `grace`, its first messages.
    Held { pause: Duration, grace: Duration, first: usize },
    /// Nothing of it: look again without a bound on bytes. Where there is none, all of it.
    TooShort,
}

/// How a dialect answers a publish.
pub(crate) trait PublishFormat: Send {
    /// The most bytes that the answer takes, where it may be large.
    fn most_bytes(&self, _messages: usize) -> usize {
        0
    }

    /// The answer.
    fn write(&self, channel: &ChannelName, published: &Published) -> Reply;
}
