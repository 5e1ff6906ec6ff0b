//! Servers that can be measured and started ones, and what a scenario needs a server to be started with.

use std::any::Any;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use rustls::ClientConfig;

use crate::cores::Share;
use crate::endpoints::{Content, Endpoints, Mode};

/// A server that is up.
pub(crate) struct Target {
    pub(crate) endpoints: Endpoints,
    /// The processes whose CPU time and memory are the server's.
    pub(crate) processes: Vec<u32>,
    pub(crate) waits: Waits,
    /// What clients trust, where the server speaks TLS.
    pub(crate) trust: Option<Arc<ClientConfig>>,
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
    pub(crate) security: Security,
    pub(crate) content: Content,
}

impl Needs {
    /// Texts in memory, one worker, a core of its own.
    pub(crate) const PLAIN: Self = Self {
        store: Store::Memory,
        workers: 1,
        share: Share::Apart,
        room: Room::Connections,
        security: Security::Plain,
        content: Content::Text,
    };

    /// The same over TLS.
    pub(crate) const TLS: Self = Self { security: Security::Tls, ..Self::PLAIN };

    /// How the load waits beside such a server.
    pub(crate) fn waits(self) -> Waits {
        if self.share == Share::Apart { Waits::Awake } else { Waits::Asleep }
    }
}

/// Whether connections are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Security {
    Plain,
    Tls,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    Memory,
    Disk,
    /// A Redis on the server's core. What it uses itself is not the server's.
    Redis,
}

/// What the server's limits must be raised to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// Any number of connections from one address to one channel.
    Connections,
    /// And so many channels.
    Channels(u32),
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

/// A server that can be started.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) endpoints: fn(SocketAddr) -> Endpoints,
    /// The settings under which it does what is needed; `None` if it cannot.
    pub(crate) settings: Box<dyn Fn(Mode, Needs) -> Option<String>>,
    /// Starts a fresh one on the cores of this thread.
    pub(crate) start: Box<dyn Fn(Needs) -> Result<Running>>,
}

impl Peer {
    /// The settings for a scenario of this kind; `None` if it cannot do it.
    pub(crate) fn settings(&self, mode: Mode, needs: Needs) -> Option<String> {
        let nowhere = ([127, 0, 0, 1], 0).into();
        (self.endpoints)(nowhere).read(mode)?;
        (self.settings)(mode, needs)
    }
}

/// A started server. Ends when it is dropped.
pub(crate) struct Running {
    pub(crate) target: Target,
    /// What keeps it up.
    _server: Box<dyn Any>,
}

impl Running {
    pub(crate) fn new(target: Target, server: impl Any) -> Self {
        Self { target, _server: Box::new(server) }
    }
}
