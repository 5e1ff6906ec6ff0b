//! The life of a channel: absent, open, closed; and by being forgotten absent again.
//!
//! The script is where this happens. Here it is written down once more, as the model that the script is tested against.

use crate::types::Ending;

/// The state of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// It has no messages and no epoch. What is published next gives it a new birth.
    Absent,
    /// It takes publishes.
    Open,
    /// It can be read and takes no more.
    Closed,
}

/// What is done to a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// A publish, with or without messages, that may end it.
    Publish(Ending),
    /// It is forgotten or deleted, with everything in it.
    Forget,
}

/// The channel is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IsClosed;

impl Life {
    /// The state after a deed. Forgetting what is absent changes nothing.
    pub(crate) fn after(self, deed: Deed) -> Result<Self, IsClosed> {
        match (self, deed) {
            (_, Deed::Forget) => Ok(Self::Absent),
            (Self::Closed, Deed::Publish(_)) => Err(IsClosed),
            (Self::Absent | Self::Open, Deed::Publish(Ending::Open)) => Ok(Self::Open),
            (Self::Absent | Self::Open, Deed::Publish(Ending::Close)) => Ok(Self::Closed),
        }
    }

    /// Whether a publish to it is a birth, and gives it a new epoch.
    pub(crate) fn is_born_by_a_publish(self) -> bool {
        self == Self::Absent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_life() {
        use Deed::{Forget, Publish};
        use Ending::{Close, Open as More};
        use Life::{Absent, Closed, Open};
        let table = [
            (Absent, Publish(More), Ok(Open)),
            (Absent, Publish(Close), Ok(Closed)),
            (Absent, Forget, Ok(Absent)),
            (Open, Publish(More), Ok(Open)),
            (Open, Publish(Close), Ok(Closed)),
            (Open, Forget, Ok(Absent)),
            (Closed, Publish(More), Err(IsClosed)),
            (Closed, Publish(Close), Err(IsClosed)),
            (Closed, Forget, Ok(Absent)),
        ];
        for (life, deed, after) in table {
            assert_eq!(life.after(deed), after, "{life:?} {deed:?}");
        }
        assert!(Absent.is_born_by_a_publish() && !Open.is_born_by_a_publish());
    }
}
