//! What a position meant when it was first looked at.
//!
//! A [`Position`] is what was asked; a [`Pinned`] is settled. The difference matters while a reader waits: "after
//! number 1" of a channel without messages must not turn into "has everything" when number 1 is published.

use super::log::Log;
use crate::types::{Continuity, Cursor, Epoch, Landmark, Position, Seq};

/// A position with its meaning settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pinned {
    pub(crate) at: Pin,
    pub(crate) continuity: Continuity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pin {
    Cursor(Cursor),
    Landmark(Landmark),
}

impl Pinned {
    /// Pinned to the position that an answer gave.
    #[must_use]
    pub fn after(cursor: Cursor) -> Self {
        Self { at: Pin::Cursor(cursor), continuity: Continuity::Kept }
    }

    /// The position, if it is known by number.
    #[must_use]
    pub fn cursor(&self) -> Option<Cursor> {
        match self.at {
            Pin::Cursor(cursor) => Some(cursor),
            Pin::Landmark(_) => None,
        }
    }

    /// What `position` means in a channel with this log; `None` for a channel without messages.
    pub(crate) fn of(position: Position, log: Option<&Log>) -> Self {
        let end = log.map_or(Cursor::ZERO, Log::end);
        let start = Cursor { seq: Seq::ZERO, ..end };
        let landmark = |landmark| Self { at: Pin::Landmark(landmark), continuity: Continuity::Kept };
        let reset = Self { at: Pin::Cursor(start), continuity: Continuity::Reset };
        match position {
            Position::Start => Self::after(start),
            Position::End => Self::after(end),
            Position::AfterTime(time) => landmark(Landmark::Time(time)),
            Position::AfterId(id) => landmark(Landmark::Id(id)),
            Position::After(Cursor::ZERO) => Self::after(start),
            Position::After(cursor) if cursor.epoch == end.epoch && cursor.seq <= end.seq => {
                Self::after(cursor)
            }
            Position::AfterSeq(seq) if seq <= end.seq => Self::after(Cursor { seq, ..end }),
            Position::After(_) | Position::AfterSeq(_) | Position::Unknown => reset,
        }
    }

    /// The number that this is after in `log`, and whether the position was found there.
    pub(crate) fn resolve(&self, log: &Log) -> (Seq, Continuity) {
        match self.at {
            Pin::Landmark(Landmark::Time(time)) => (log.seq_at(time), self.continuity),
            Pin::Landmark(Landmark::Id(id)) => (log.seq_of(id), self.continuity),
            // Pinned before the first message: the start, whatever incarnation began since.
            Pin::Cursor(Cursor::ZERO) => (Seq::ZERO, self.continuity),
            Pin::Cursor(cursor) if cursor.epoch == log.epoch() && cursor.seq <= log.newest() => {
                (cursor.seq, self.continuity)
            }
            Pin::Cursor(_) => (Seq::ZERO, Continuity::Reset),
        }
    }

    /// Whether the position can be kept in a channel without messages. One after some message cannot: that incarnation is
    /// over, and whatever comes next belongs to another.
    pub(crate) fn without_log(&self) -> Continuity {
        match self.at {
            Pin::Cursor(cursor) if cursor.epoch != Epoch::ZERO => Continuity::Reset,
            Pin::Cursor(_) | Pin::Landmark(_) => self.continuity,
        }
    }

    /// What the journal has to locate before this can be resolved in `log`.
    pub(crate) fn needs(&self, log: &Log) -> Option<Landmark> {
        match self.at {
            Pin::Landmark(landmark) => {
                (!log.tells(|first| landmark.covers(first.at, first.id))).then_some(landmark)
            }
            Pin::Cursor(_) => None,
        }
    }

    /// The same position by its number.
    pub(crate) fn at(self, cursor: Cursor) -> Self {
        Self { at: Pin::Cursor(cursor), ..self }
    }

    /// Whether `log` has something after this, or has ended. A reader behind a time or an id has to have looked before: if
    /// the newest messages are damaged, memory cannot tell what the journal has for it, only what came since.
    pub(crate) fn has_news(&self, log: &Log) -> bool {
        log.is_ended()
            || match self.at {
                Pin::Cursor(_) => log.first_after(self.resolve(log).0) <= log.newest(),
                Pin::Landmark(landmark) => {
                    log.get(log.newest()).is_some_and(|newest| !landmark.covers(newest.at, newest.id))
                }
            }
    }
}
