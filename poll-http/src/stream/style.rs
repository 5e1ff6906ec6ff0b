//! How a stream presents messages: as lines or promises, in which framing.

use poll_core::{Batch, Rendering};

use crate::dialect::frame::Framing;
use crate::dialect::native;
use crate::dialect::stream_event::Finality;

/// How a stream presents messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Style {
    /// Lines or events that carry the message.
    Updates(Framing),
    /// A job's steps and nothing else: no line before the first or after the last.
    Steps(Framing),
    /// Promises, announced by lines or events.
    Promises(Framing),
}

impl Style {
    pub(crate) fn framing(self) -> Framing {
        match self {
            Self::Updates(framing) | Self::Steps(framing) | Self::Promises(framing) => framing,
        }
    }

    /// A batch as sent, if that is the same for all readers.
    pub(crate) fn rendering(self, batch: &Batch, finality: Finality) -> Option<&Rendering> {
        match self {
            Self::Updates(framing) => Some(native::updates(batch, framing)),
            Self::Steps(framing) => Some(native::progress(batch, framing, finality)),
            Self::Promises(_) => None,
        }
    }
}
