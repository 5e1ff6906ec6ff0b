//! What happens on a channel that is streamed, before a dialect writes it.

use std::sync::Arc;

use poll_core::{Batch, Cursor};

/// What a channel reader yields.
pub(crate) enum StreamEvent {
    /// Messages.
    Batch(Arc<Batch>, Finality),
    /// Messages were missed, how many if that is known; reading continues after `cursor`.
    Reset { missed: Option<u64>, cursor: Cursor },
    /// Nothing happened for a heartbeat interval.
    Idle(Cursor),
    /// The store has stopped accepting messages, so none will follow until it resumes.
    Stalled(Cursor),
    /// The store accepts messages again.
    Resumed(Cursor),
    /// Last: the channel has ended at this position.
    Ended(Cursor),
    /// Last: the server drains.
    Draining(Cursor),
    /// Last: the next messages cannot be read, and the stream is aborted.
    Broken,
}

/// Whether more messages may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finality {
    MoreMayFollow,
    /// The channel has ended with this batch or message.
    Last,
}
