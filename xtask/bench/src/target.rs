//! A server that is up, and what a scenario needs a server to be started with.

use crate::cores::Share;
use crate::endpoints::Endpoints;

/// A server that is up.
pub(crate) struct Target {
    pub(crate) endpoints: Endpoints,
    /// The processes whose CPU time and memory are the server's.
    pub(crate) processes: Vec<u32>,
    pub(crate) waits: Waits,
}

/// How the load waits for responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// Polls without sleeping, on a core of its own. A server pays for waking a sleeping peer, and how often that
    /// happens is chance.
    Awake,
    /// Sleeps, because it shares its core.
    Asleep,
}

/// What a server must be started with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) store: Store,
    pub(crate) workers: u8,
    pub(crate) share: Share,
    pub(crate) room: Room,
}

impl Needs {
    /// Messages in memory, one worker, a core of its own.
    pub(crate) const PLAIN: Self =
        Self { store: Store::Memory, workers: 1, share: Share::Apart, room: Room::Connections };

    /// How the load waits beside such a server.
    pub(crate) fn waits(self) -> Waits {
        if self.share == Share::Apart { Waits::Awake } else { Waits::Asleep }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    Memory,
    Disk,
}

/// What the server's limits must be raised to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// Any number of connections from one address to one channel.
    Connections,
    /// And so many HTTP/2 streams on each.
    Streams(Shape),
    /// And exactly so many retained messages per channel.
    Retained(u32),
}

/// How many wait over HTTP/2, and on how many connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) waiters: u32,
    pub(crate) connections: u32,
}

impl Shape {
    /// The most streams that one connection has.
    pub(crate) fn streams(self) -> u32 {
        self.waiters.div_ceil(self.connections.max(1))
    }
}

/// How much of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// What is measured.
    Full,
    /// Just enough to see that everything works.
    Quick,
}

impl Size {
    pub(crate) fn of<T>(self, full: T, quick: T) -> T {
        if self == Self::Full { full } else { quick }
    }
}
