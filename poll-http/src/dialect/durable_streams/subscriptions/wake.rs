//! A wake: news of new content on its way to a worker, and with it.

use std::collections::BTreeMap;

use poll_core::{ChannelName, Cursor, Timestamp};

/// One wake. Its generation grows with each, so what is said of an earlier one is told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wake {
    pub(crate) id: Box<str>,
    pub(crate) generation: u64,
    /// A stream with new content.
    pub(crate) stream: Box<str>,
}

/// How far a wake is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// There is none.
    Idle,
    /// It is to be delivered at a time, after so many attempts that failed.
    Due { wake: Wake, tries: u32, at: Timestamp },
    /// A webhook or an event is on its way, with these ends of streams, and has until then to be answered.
    Sending { wake: Wake, tries: u32, at: Timestamp, ends: BTreeMap<Box<str>, Cursor>, until: Timestamp },
    /// Its event is written; a worker may claim it.
    Offered { wake: Wake, at: Timestamp },
    /// A webhook was accepted, or a worker has claimed it: the lease lasts until then.
    Held { wake: Wake, worker: Option<Box<str>>, until: Timestamp },
}

/// What has to be done to deliver a wake.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// A webhook for this wake.
    Webhook(AttemptId, Wake),
    /// The event of this wake, in that stream.
    Event(AttemptId, Wake, ChannelName),
}

/// Which attempt it is: each tells of what is new at its time, and is answered for that alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AttemptId {
    /// Of its wake.
    pub(crate) generation: u64,
    /// How many failed before it.
    pub(crate) tries: u32,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// A webhook's receiver has done everything.
    Done,
    /// It was taken: its receiver says later what it has done.
    Taken,
    Failed,
}

impl Phase {
    pub(crate) fn wake(&self) -> Option<&Wake> {
        match self {
            Self::Idle => None,
            Self::Due { wake, .. }
            | Self::Sending { wake, .. }
            | Self::Offered { wake, .. }
            | Self::Held { wake, .. } => Some(wake),
        }
    }
}
