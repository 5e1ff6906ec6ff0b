//! The servers that are measured: a file each, which says how it is prepared, started and spoken to.
//!
//! A server that this machine cannot run is left out with a note, so that the others are still measured.

mod electric;
mod folder;
mod nchan;
mod poll;
mod process;
pub(crate) mod redis;

use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;

pub(crate) use self::poll::{UNLIMITED, endpoints as endpoints_of_ours, prepare as ours};
use crate::target::Peer;

/// A server by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Ours
    Poll,
    /// nginx with Nchan, from Debian's packages
    Nchan,
    /// Electric's Durable Streams server, from its crate
    Electric,
}

/// `None` if this machine cannot run it. A `binary` of ours is not built.
pub(crate) fn prepare(kind: Kind, binary: Option<&Path>) -> Result<Option<Peer>> {
    Ok(match kind {
        Kind::Poll => Some(ours("poll", binary)?),
        Kind::Nchan => nchan::prepare()?,
        Kind::Electric => electric::prepare()?,
    })
}
