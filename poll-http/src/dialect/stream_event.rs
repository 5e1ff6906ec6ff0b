//! What a reader of a channel has to tell, before it is written in any format.

use std::sync::Arc;

use poll_core::{Batch, Cursor};

/// What a channel reader yields.
pub(crate) enum StreamEvent {
    /// Messages.
    Batch(Arc<Batch>, Reach),
    /// What was missed, if that is known, and where reading goes on.
    Reset { missed: Option<u64>, cursor: Cursor },
    /// Nothing, for a whole heartbeat interval.
    Idle(Cursor),
    /// The last one: the channel has ended behind this position.
    Ended(Cursor),
    /// The last one: the server drains.
    Draining(Cursor),
    /// The last one: what is next cannot be given, and the stream breaks off.
    Broken,
}

/// How far a batch reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// There may be more behind it.
    Part,
    /// The channel has ended with it.
    End,
}
