//! What a pattern asks of a dialect: how to write an answer and, for a long poll, what to answer with and when.
//!
//! These functions never wait: a pattern calls them with what it has read, and waits if they say so.

use std::sync::Arc;
use std::time::Duration;

use poll_core::life::Standing;
use poll_core::{ChannelName, Found, Message, Position, Published, ReadState, Timestamp, View};

use crate::dialect::question::{Answer, Question};
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;

/// How a dialect answers long polls. The defaults are for clients that name the last message they have.
pub(crate) trait PollFormat: Send {
    /// What to look up before the poll can begin.
    fn opening(&self) -> Opening {
        Opening::Nothing
    }

    /// Decides where the poll begins, given what is known of the channel.
    ///
    /// # Errors
    /// If the channel cannot be read there.
    fn begin(&mut self, question: Question, _: Standing) -> Result<Question, Refusal> {
        Ok(question)
    }

    /// The millisecond, since the Unix epoch, to settle before the poll can [start](Self::start), if any, given what was
    /// found at the [position looked up](Self::lookup_position).
    fn settles(&mut self, _: &Lookup) -> Option<u64> {
        None
    }

    /// Decides where the poll starts, given what was found at the position looked up, and the millisecond up to which
    /// the channel was settled after that.
    fn start(&mut self, question: Question, _: &Lookup, _settled: u64) -> Question {
        question
    }

    /// How much of a view may be sent now.
    fn ready(&mut self, _channel: &ChannelName, _: &View, _now: Timestamp) -> Ready {
        Ready::All
    }

    /// The messages to send, if not all of them.
    fn select(
        &self,
        _channel: &ChannelName,
        _: &ReadState,
        _messages: &[Arc<Message>],
    ) -> Option<Vec<Arc<Message>>> {
        None
    }

    /// Writes the answer.
    ///
    /// # Errors
    /// If there is no memory for what has to be remembered of it.
    fn write(self: Box<Self>, channel: &ChannelName, answer: &Answer) -> Result<Reply, Refusal>;
}

/// What a poll has to look up before it can begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    Nothing,
    /// What is at this position, to [start](PollFormat::start) from there.
    Position(Position),
    /// What is known of the channel, to [begin](PollFormat::begin) with that.
    Described,
}

/// What was found at the position looked up.
pub(crate) struct Lookup {
    /// When the poll arrived.
    pub(crate) now: Timestamp,
    pub(crate) read_state: ReadState,
    /// The message that the position names, if any.
    pub(crate) message: Option<Found>,
}

/// How much of a view may be sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    All,
    First(usize),
    /// Nothing yet: look again after `pause`. Once the poll is overdue by more than `grace`, the `first` messages.
    NotYet {
        pause: Duration,
        grace: Duration,
        first: usize,
    },
    /// Nothing: read on behind it, and look at both together. Only if there is more behind it.
    TooShort,
    /// All of it at once, even if that is nothing: there is nothing to wait for.
    Over,
}

/// How a dialect answers publishes.
pub(crate) trait PublishFormat: Send {
    /// An upper bound on the answer's size in bytes, if it may be large.
    fn most_bytes(&self, _messages: usize) -> usize {
        0
    }

    /// Writes the answer.
    fn write(&self, channel: &ChannelName, published: &Published) -> Reply;
}
