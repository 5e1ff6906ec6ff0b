//! A server that can be measured, and a started one.

use std::any::Any;
use std::net::SocketAddr;

use anyhow::Result;

use crate::endpoints::{Endpoints, Mode};
use crate::target::{Needs, Target};

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
