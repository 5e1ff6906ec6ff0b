//! Where dialects meet patterns: a question as parsed, and the answer to be written.

use std::sync::Arc;
use std::time::Duration;

use poll_core::{
    ChannelKey, ChannelList, ChannelName, Continuity, Cursor, CursorSet, Kind, Limit, ListStart, ListView,
    Message, OverBudget, Place, Position, ReadState, Timestamp, Token, View,
};

use crate::dialect::frame::Framing;
use crate::worker::Worker;

/// A question with nothing left to parse.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) reading: Reading,
    pub(crate) limit: Limit,
    /// How long to wait for a message.
    pub(crate) wait: Duration,
    pub(crate) at_end: AtEnd,
}

/// A channel and the reader's position in it.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) channel: ChannelName,
    pub(crate) position: Position,
}

/// A question answered by a stream.
#[derive(Debug)]
pub(crate) struct StreamQuestion {
    pub(crate) question: Question,
    /// The position that the reader named, if any.
    pub(crate) given: Option<Position>,
    pub(crate) framing: Framing,
}

/// A question about one channel, or about several.
#[derive(Debug)]
pub(crate) enum Asked<One, Several> {
    One(One),
    Several(Box<Several>),
}

/// A question about several channels.
#[derive(Debug)]
pub(crate) struct ListQuestion {
    /// In order, and each once.
    pub(crate) channels: Vec<ChannelName>,
    /// Channels that were asked for and may not be read.
    pub(crate) refused: Vec<ChannelName>,
    pub(crate) start: ListStart,
    pub(crate) limit: Limit,
    /// How long to wait for a message.
    pub(crate) wait: Duration,
}

/// The same, answered by a stream.
#[derive(Debug)]
pub(crate) struct ListStreamQuestion {
    pub(crate) question: ListQuestion,
    pub(crate) arrival: Arrival,
    pub(crate) framing: Framing,
}

/// Whether the reader of a stream has been here before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    New,
    /// It named a position.
    Returning,
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

/// What the requests for a list say again in each answer.
#[derive(Debug)]
pub(crate) struct ListStanding {
    /// The channels that are read.
    pub(crate) list: Arc<ChannelList>,
    /// Those that may not be read.
    pub(crate) refused: Vec<ChannelName>,
    /// The positions in these that the reader came with, as the end of every token: once it may read them, it goes on
    /// there.
    pub(crate) put_by: Vec<u8>,
}

impl ListStanding {
    /// Takes the channels of a question.
    pub(crate) fn new(worker: &Worker, question: &mut ListQuestion) -> Self {
        let refused = std::mem::take(&mut question.refused);
        let mut put_by = Vec::new();
        if let ListStart::Token { token: Token::Set(set), .. } = &question.start {
            for key in refused.iter().map(ChannelKey::of) {
                if let Some(cursor) = set.get(&key) {
                    put_by.extend_from_slice(&CursorSet::entry(&key, cursor));
                }
            }
        }
        Self { list: worker.list(std::mem::take(&mut question.channels)), refused, put_by }
    }

    /// Writes the token of these positions.
    pub(crate) fn write_token(&self, out: &mut Vec<u8>, cursors: impl IntoIterator<Item = Cursor>) {
        self.list.write_token(out, cursors);
        out.extend_from_slice(&self.put_by);
    }

    /// The same as text.
    pub(crate) fn token(&self, cursors: impl IntoIterator<Item = Cursor>) -> String {
        let mut token = Vec::new();
        self.write_token(&mut token, cursors);
        // Base64 only.
        String::from_utf8(token).unwrap_or_default()
    }
}

/// What a poll of several channels is answered with.
pub(crate) struct ListAnswer<'a> {
    pub(crate) standing: &'a ListStanding,
    /// Where the reader was.
    pub(crate) places: &'a [Place],
    pub(crate) view: ListView,
    pub(crate) now: Timestamp,
}

impl ListAnswer<'_> {
    /// The channels in which messages were missed, and how many.
    pub(crate) fn missed(&self) -> impl Iterator<Item = (&ChannelName, u64)> {
        let missed = |(channel, read_state): &(usize, ReadState)| {
            let count = read_state.missed().filter(|count| *count > 0)?;
            Some((&self.standing.list.names()[*channel], count))
        };
        self.view.looks.iter().filter_map(missed)
    }

    /// The channels in which the reader's position was not found.
    pub(crate) fn resets(&self) -> impl Iterator<Item = &ChannelName> {
        let mut looks = self.view.looks.iter().peekable();
        self.standing.list.names().iter().zip(self.places).enumerate().filter_map(
            move |(channel, (name, place))| {
                let look = looks.next_if(|(looked, _)| *looked == channel);
                let continuity = look.map_or(place.continuity, |(_, read_state)| read_state.continuity);
                (continuity == Continuity::Reset).then_some(name)
            },
        )
    }

    /// As [`Answer::check_budget`].
    pub(crate) fn check_budget(&self) -> Result<(), OverBudget> {
        let over = self.view.batch.as_ref().is_some_and(|batch| batch.is_over_budget());
        if over { Err(OverBudget(Kind::Answers)) } else { Ok(()) }
    }
}
