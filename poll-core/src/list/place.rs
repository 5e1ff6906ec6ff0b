//! A reader's place in one of several channels: a settled position, small enough to be kept for each of a hundred.

use super::channels::ChannelList;
use crate::channel::{Pinned, ReadState};
use crate::types::{Continuity, Cursor, Position, Token};

/// A settled position in one of several channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The position.
    pub cursor: Cursor,
    /// Whether it was found in the channel. A reset that the reader has not been told yet is kept here.
    pub continuity: Continuity,
    /// Whether anything can follow.
    pub life: Life,
}

/// Whether a reader may get more from a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Messages may follow.
    Open,
    /// The channel has ended, and the reader has everything.
    Over,
    /// What the journal holds of the channel is damaged: the reader keeps its position, and nothing is waited for.
    Damaged,
}

/// Where a reader of several channels starts, as a client can say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListStart {
    /// At the same position in each channel.
    Each(Position),
    /// At these positions, in the order of the list.
    At(Box<[Position]>),
    /// Where a token says.
    Token {
        /// What an earlier answer gave. A cursor belongs to the channel in whose incarnation it is; if there is none,
        /// that is a reset of every channel.
        token: Token,
        /// Where a channel starts that the token does not know.
        otherwise: Position,
    },
}

impl ListStart {
    /// The same without the keys of a compound token, for a reader of this list.
    #[must_use]
    pub fn resolved(self, list: &ChannelList) -> Self {
        if !matches!(self, Self::Token { token: Token::Set(_), .. }) {
            return self;
        }
        Self::At((0..list.names().len()).map(|channel| self.position(list, channel)).collect())
    }

    /// The position in a channel, as far as it is known without a look at the channels: a cursor may be any channel's.
    pub(crate) fn position(&self, list: &ChannelList, channel: usize) -> Position {
        match self {
            Self::Each(position) => *position,
            Self::At(positions) => positions[channel],
            Self::Token { token: Token::Cursor(cursor), .. } => Position::After(*cursor),
            Self::Token { token: Token::Set(set), otherwise } => {
                set.get(&list.keys()[channel]).map_or(*otherwise, Position::After)
            }
        }
    }

    /// The cursor that is of one of the channels, if there is one, and where the others start.
    pub(crate) fn of_one(&self) -> Option<(Cursor, Position)> {
        match self {
            Self::Token { token: Token::Cursor(cursor), otherwise } if *cursor != Cursor::ZERO => {
                Some((*cursor, *otherwise))
            }
            _ => None,
        }
    }

    /// The places that a reader claims, while the channels cannot be read; `None` if one of them is not known.
    #[must_use]
    pub fn unread(&self, list: &ChannelList) -> Option<Vec<Place>> {
        if self.of_one().is_some() {
            return None;
        }
        let place = |position| match position {
            Position::Start => Some(Place::of(&Pinned::after(Cursor::ZERO))),
            Position::After(cursor) => Some(Place::of(&Pinned::after(cursor))),
            _ => None,
        };
        (0..list.names().len()).map(|channel| place(self.position(list, channel))).collect()
    }
}

impl Place {
    /// What a position was [settled](crate::Store::pin) as. One that is a time or an id counts as unknown: lists are
    /// read by number only.
    #[must_use]
    pub fn of(pinned: &Pinned) -> Self {
        let reset = (Cursor::ZERO, Continuity::Reset);
        let (cursor, continuity) = pinned.cursor().map_or(reset, |cursor| (cursor, pinned.continuity));
        Self { cursor, continuity, life: Life::Open }
    }

    /// The same for reading a single channel.
    #[must_use]
    pub fn pinned(&self) -> Pinned {
        Pinned { continuity: self.continuity, ..Pinned::after(self.cursor) }
    }

    /// The place that a reader claims in a channel that is damaged.
    pub(crate) fn damaged(position: Position) -> Self {
        let cursor = if let Position::After(cursor) = position { cursor } else { Cursor::ZERO };
        Self { life: Life::Damaged, ..Self::of(&Pinned::after(cursor)) }
    }

    /// What is known of a channel that cannot be read: that its reader is here.
    pub(crate) fn unread(&self) -> ReadState {
        ReadState::unread(&self.pinned()).unwrap_or(ReadState::EMPTY)
    }

    /// The position for the reader to come back with. If it has not been told of a reset yet, it has to learn of it then.
    #[must_use]
    pub fn token(&self) -> Cursor {
        match self.continuity {
            Continuity::Kept => self.cursor,
            Continuity::Reset => Cursor::LOST,
        }
    }

    /// The place after `cursor`, which was read from a channel in this state.
    pub(crate) fn after(cursor: Cursor, read_state: &ReadState) -> Self {
        let over = read_state.ended && cursor.seq >= read_state.newest;
        let life = if over { Life::Over } else { Life::Open };
        Self { cursor, continuity: Continuity::Kept, life }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_small() {
        assert!(size_of::<Place>() <= 24);
    }
}
