//! One channel of a reader: its position, whether it may be read, and its part of tokens.

use std::borrow::Cow;
use std::fmt::Write;

use poll_core::{ChannelKey, ChannelName, Cursor, Token};

use crate::channels::{Begin, Entry};
use crate::error::Error;
use crate::exchange::encode;
use crate::message::Event;
use crate::source::Out;
use crate::tracker::Tracker;

/// One channel.
pub(crate) struct Lane {
    pub(crate) channel: ChannelName,
    pub(crate) tracker: Tracker,
    pub(super) key: ChannelKey,
    pub(super) ticket: u64,
    pub(super) access: Access,
}

/// Whether a request named one channel or several, which its answer depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    One,
    Several,
}

/// What the server last said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Granted,
    Refused,
}

impl Lane {
    pub(super) fn new(entry: &Entry) -> Self {
        let Entry { channel, ticket, begin } = entry;
        let tracker = Tracker::new(channel.clone(), *begin);
        let (key, channel) = (ChannelKey::of(channel), channel.clone());
        Self { channel, tracker, key, ticket: *ticket, access: Access::Granted }
    }

    /// Where the next request starts; `None` is now.
    pub(super) fn after(&self) -> Option<Cursor> {
        // Explicit, because polls and streams have different defaults.
        self.tracker.position().or((self.tracker.begin() == Begin::Oldest).then_some(Cursor::ZERO))
    }

    pub(super) fn access_in(&self, refused: &[Cow<'_, str>]) -> Access {
        let is_refused = refused.iter().any(|name| *name == self.channel.as_str());
        if is_refused { Access::Refused } else { Access::Granted }
    }

    /// Queues a refusal that is new.
    pub(super) fn set_access(&mut self, access: Access, out: &mut Out<Event>) {
        if access == Access::Refused && self.access == Access::Granted {
            out.queue.push_back(Event::Refused { channel: self.channel.clone() });
        }
        self.access = access;
    }

    /// Its part of a token that answers a request for one channel or for several.
    pub(super) fn part_of(&self, token: &Token, asked: Asked) -> Result<Cursor, Error> {
        let part = match (token, asked) {
            (Token::Cursor(cursor), Asked::One) => Some(*cursor),
            (Token::Set(set), _) => set.get(&self.key),
            (Token::Cursor(_), Asked::Several) => None,
        };
        part.ok_or_else(|| Error::Protocol(format!("a cursor without a position on {}", self.channel)))
    }
}

/// `path` with channels as its query.
pub(super) fn query<'a>(path: &str, lanes: impl Iterator<Item = &'a Lane>) -> String {
    let mut target = path.to_owned();
    for (lane, sign) in lanes.zip(std::iter::once('?').chain(std::iter::repeat('&'))) {
        let _ = write!(target, "{sign}channel={}", encode(lane.channel.as_str()));
    }
    target
}
