//! Where dialects meet patterns: a question as parsed, and the answer to be written.

use std::sync::Arc;
use std::time::Duration;

use poll_core::{
    ChannelKey, ChannelList, ChannelName, Continuity, Cursor, CursorSet, Kind, Life, Limit, ListStart,
    ListView, Message, OverBudget, Place, Position, ReadState, Timestamp, Token, View,
};

use crate::dialect::frame::Framing;
use crate::message::coding::Codings;
use crate::message::refusal::Refusal;
use crate::worker::lists::{Feed, Lists, SharedList};

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
    pub(crate) standing: ListStanding,
    pub(crate) feed: Arc<Feed>,
    pub(crate) limit: Limit,
    /// How long to wait for a message.
    pub(crate) wait: Duration,
}

impl ListQuestion {
    /// Leaves out channels that may not be read.
    ///
    /// # Errors
    /// When there is no memory for the rest of the list.
    pub(crate) fn refuse(&mut self, lists: &Lists, refused: Vec<ChannelName>) -> Result<(), Refusal> {
        if refused.is_empty() {
            return Ok(());
        }
        let token = self.feed.token();
        let set = token.and_then(|token| token.parse().ok());
        self.standing.refuse(lists, refused, set.as_ref())?;
        let start = || {
            let otherwise = Position::Start;
            Ok(set.map_or(ListStart::Each(otherwise), |token| ListStart::Token { token, otherwise }))
        };
        let feed = self.standing.list.feed::<Refusal>(token, start)?;
        self.feed = feed;
        Ok(())
    }
}

/// A question about several channels, answered by a stream.
#[derive(Debug)]
pub(crate) struct ListStreamQuestion {
    pub(crate) standing: ListStanding,
    pub(crate) start: ListStart,
    pub(crate) arrival: Arrival,
    pub(crate) framing: Framing,
}

impl ListStreamQuestion {
    /// As [`ListQuestion::refuse`].
    ///
    /// # Errors
    /// When there is no memory for the rest of the list.
    pub(crate) fn refuse(&mut self, lists: &Lists, refused: Vec<ChannelName>) -> Result<(), Refusal> {
        if refused.is_empty() {
            return Ok(());
        }
        let token = if let ListStart::Token { token, .. } = &self.start { Some(token) } else { None };
        self.standing.refuse(lists, refused, token)
    }
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
    /// How many messages are missing besides those in front of the view: between its messages, and in front of others that
    /// the dialect does not send.
    pub(crate) missing: u64,
    /// The channel could not be read in time, so there may be more.
    pub(crate) is_unread: bool,
    pub(crate) codings: Codings,
}

impl Answer {
    /// How many messages the reader missed; `None` if its position was not found.
    pub(crate) fn missed(&self) -> Option<u64> {
        self.view.read_state.missed().map(|missed| missed + self.missing)
    }

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
    pub(crate) list: Arc<SharedList>,
    /// Those that may not be read.
    pub(crate) refused: Vec<ChannelName>,
    /// The positions in these that the reader came with, as the end of every token: once it may read them, it goes on
    /// there.
    pub(crate) put_by: Vec<u8>,
}

impl ListStanding {
    /// All channels of a list may be read.
    pub(crate) fn of(list: Arc<SharedList>) -> Self {
        Self { list, refused: Vec::new(), put_by: Vec::new() }
    }

    /// The channels.
    pub(crate) fn channels(&self) -> &Arc<ChannelList> {
        &self.list.channels
    }

    /// Leaves out channels that may not be read, and puts the positions by that a token has in them.
    fn refuse(
        &mut self,
        lists: &Lists,
        refused: Vec<ChannelName>,
        token: Option<&Token>,
    ) -> Result<(), Refusal> {
        if let Some(Token::Set(set)) = token {
            for key in refused.iter().map(ChannelKey::of) {
                if let Some(cursor) = set.get(&key) {
                    self.put_by.extend_from_slice(&CursorSet::entry(&key, cursor));
                }
            }
        }
        let rest = self.channels().names().iter().filter(|name| !refused.contains(name)).cloned();
        (self.list, self.refused) = (lists.of(rest.collect())?, refused);
        Ok(())
    }

    /// The channels that cannot be read, where a reader has these places.
    pub(crate) fn damaged(&self, places: &[Place]) -> impl Iterator<Item = &ChannelName> {
        let both = self.channels().names().iter().zip(places);
        both.filter(|(_, place)| place.life == Life::Damaged).map(|(name, _)| name)
    }

    /// Writes the token of these positions.
    pub(crate) fn write_token(&self, out: &mut Vec<u8>, cursors: impl IntoIterator<Item = Cursor>) {
        self.channels().write_token(out, cursors);
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
    pub(crate) view: &'a ListView,
    pub(crate) now: Timestamp,
    pub(crate) codings: Codings,
}

impl ListAnswer<'_> {
    /// The channels in which messages were missed, and how many.
    pub(crate) fn missed(&self) -> impl Iterator<Item = (&ChannelName, u64)> {
        let missed = |(channel, read_state): &(usize, ReadState)| {
            let count = read_state.missed().filter(|count| *count > 0)?;
            Some((&self.standing.channels().names()[*channel], count))
        };
        self.view.looks.iter().filter_map(missed)
    }

    /// The channels in which the reader's position was not found.
    pub(crate) fn resets(&self) -> impl Iterator<Item = &ChannelName> {
        let mut looks = self.view.looks.iter().peekable();
        self.standing.channels().names().iter().zip(self.places).enumerate().filter_map(
            move |(channel, (name, place))| {
                let look = looks.next_if(|(looked, _)| *looked == channel);
                let continuity = look.map_or(place.continuity, |(_, read_state)| read_state.continuity);
                (continuity == Continuity::Reset).then_some(name)
            },
        )
    }

    /// The channels that cannot be read.
    pub(crate) fn damaged(&self) -> impl Iterator<Item = &ChannelName> {
        self.standing.damaged(&self.view.next)
    }

    /// As [`Answer::check_budget`].
    pub(crate) fn check_budget(&self) -> Result<(), OverBudget> {
        let over = self.view.batch.as_ref().is_some_and(|batch| batch.is_over_budget());
        if over { Err(OverBudget(Kind::Answers)) } else { Ok(()) }
    }
}
