//! The servers that are measured: a file each, which says how it is prepared, started and spoken to.
//!
//! A server that this machine cannot run is left out with a note, so that the others are still measured.

mod floor;
mod golongpoll;
mod nchan;
mod poll;
mod process;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::ValueEnum;

pub(crate) use self::poll::prepare as ours;
use crate::peer::Peer;

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

/// `None` if this machine cannot run it. A `binary` of ours is not built; golongpoll is built from its `source`.
pub(crate) fn prepare(kind: Kind, binary: Option<&Path>, source: Option<&PathBuf>) -> Result<Option<Peer>> {
    Ok(match kind {
        Kind::Poll => Some(ours("poll", binary)?),
        Kind::Nchan => nchan::prepare()?,
        Kind::Golongpoll => golongpoll::prepare(source.map(PathBuf::as_path))?,
        Kind::Floor => Some(floor::prepare()),
    })
}
