//! The servers under test: how each is prepared, started for one round, and spoken to.
//!
//! One file each, of the same shape: `prepare` once per run, `settings` for a row, `start` for a round, `endpoints` as
//! data. A server that this machine cannot run is left out with a note, so that the others are still measured.

mod floor;
mod golongpoll;
mod nchan;
mod poll;
mod process;
mod running;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::ValueEnum;

use self::golongpoll::Golongpoll;
use self::nchan::Nchan;
use self::poll::Poll;
use self::running::Running;
use crate::endpoints::{Endpoints, Mode};
use crate::target::Needs;

/// A server by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Ours
    Poll,
    /// nginx with Nchan, from Debian's packages
    Nchan,
    /// A small program that serves golongpoll, if its source is given
    Golongpoll,
    /// A bare epoll program that writes one prepared response to each connection
    Floor,
}

/// What the command line says about them.
#[derive(Default)]
pub(crate) struct Given {
    /// Our server, if it is not to be built.
    pub(crate) binary: Option<PathBuf>,
    /// The folder of golongpoll's source.
    pub(crate) golongpoll: Option<PathBuf>,
}

/// A server that can be started.
pub(crate) enum Peer {
    Poll(Poll),
    Nchan(Nchan),
    Golongpoll(Golongpoll),
    Floor,
}

impl Kind {
    /// `None` if this machine cannot run it.
    pub(crate) fn prepare(self, given: &Given) -> Result<Option<Peer>> {
        Ok(match self {
            Self::Poll => Some(Peer::ours("poll", given.binary.as_deref())?),
            Self::Nchan => Nchan::prepare()?.map(Peer::Nchan),
            Self::Golongpoll => Golongpoll::prepare(given.golongpoll.as_deref())?.map(Peer::Golongpoll),
            Self::Floor => Some(Peer::Floor),
        })
    }
}

impl Peer {
    /// A build of our server, under a name of its own.
    pub(crate) fn ours(name: &'static str, binary: Option<&Path>) -> Result<Self> {
        Ok(Self::Poll(Poll::prepare(name, binary)?))
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Poll(poll) => poll.name,
            Self::Nchan(_) => "nchan",
            Self::Golongpoll(_) => "golongpoll",
            Self::Floor => "floor",
        }
    }

    /// The settings under which it does what is needed; `None` if it cannot.
    pub(crate) fn settings(&self, mode: Mode, needs: Needs) -> Option<String> {
        self.endpoints().read(mode)?;
        match self {
            Self::Poll(_) => Some(poll::settings(needs)),
            // Only ours is measured on disk, on more workers, on both cores.
            _ if needs != Needs::PLAIN => None,
            Self::Nchan(nchan) => Some(nchan.settings(mode)),
            Self::Golongpoll(_) => Some(golongpoll::SETTINGS.to_owned()),
            Self::Floor => Some(floor::SETTINGS.to_owned()),
        }
    }

    /// Starts a fresh one on the cores of this thread.
    pub(crate) fn start(&self, needs: Needs) -> Result<Running> {
        match self {
            Self::Poll(poll) => poll.start(needs),
            Self::Nchan(nchan) => nchan.start(),
            Self::Golongpoll(golongpoll) => golongpoll.start(),
            Self::Floor => floor::start(),
        }
    }

    /// With an address at which nobody listens.
    fn endpoints(&self) -> Endpoints {
        let nowhere = ([127, 0, 0, 1], 0).into();
        match self {
            Self::Poll(_) => poll::endpoints(nowhere),
            Self::Nchan(_) => nchan::endpoints(nowhere),
            Self::Golongpoll(_) => golongpoll::endpoints(nowhere),
            Self::Floor => floor::endpoints(nowhere),
        }
    }
}
