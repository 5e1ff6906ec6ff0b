//! What happens on a channel that is streamed, or on several, before a dialect writes it.

use std::sync::Arc;

use poll_core::ChannelName;

use crate::message::access_log::AnswerEnd;

/// What a reader yields: of messages in batches `B`, at positions `C`.
pub(crate) enum StreamEvent<B, C> {
    /// Messages.
    Batch(Arc<B>, Finality),
    /// Messages were missed, how many if that is known, and in which of several channels; reading continues after
    /// `cursor`.
    Reset { channel: Option<ChannelName>, missed: Option<u64>, cursor: C },
    /// Nothing happened for a heartbeat interval.
    Idle(C),
    /// The store has stopped accepting messages, so none will follow until it resumes.
    Stalled(C),
    /// The store accepts messages again.
    Resumed(C),
    /// Last: the channel has ended at this position.
    Ended(C),
    /// Last: the server drains.
    Draining(C),
    /// Last: the reader's token has expired.
    Unauthorized(C),
    /// Last: the next messages cannot be read, and the stream is aborted.
    Broken,
}

impl<B, C> StreamEvent<B, C> {
    /// How it ends the stream, if it does.
    pub(crate) fn end(&self) -> Option<AnswerEnd> {
        Some(match self {
            Self::Ended(_) | Self::Batch(_, Finality::Last) => AnswerEnd::Closed,
            Self::Draining(_) => AnswerEnd::Draining,
            Self::Unauthorized(_) => AnswerEnd::Unauthorized,
            Self::Broken => AnswerEnd::Broken,
            _ => return None,
        })
    }

    /// Whether it ends the stream for a reason other than its channels.
    pub(crate) fn is_last(&self) -> bool {
        matches!(self, Self::Draining(_) | Self::Unauthorized(_))
    }
}

/// Whether more messages may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finality {
    MoreMayFollow,
    /// It is all there is so far.
    Newest,
    /// The channel has ended with this batch or message.
    Last,
}
