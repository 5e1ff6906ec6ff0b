//! The floor: [`crate::floor`] as a process of its own.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::Running;
use super::process::{Process, folder, free_address};
use crate::scenario::Needs;
use crate::wire::{Ask, Next, Post, Wire};

pub(super) fn start() -> Result<Running> {
    let (folder, address) = (folder()?, free_address()?);
    let mut command = Command::new(std::env::current_exe().context("we run from a file")?);
    command.args(["floor", "--listen", &address.to_string()]);
    Ok(Running::of(wire(address), Process::start(command, folder, address)?))
}

pub(super) fn settings(needs: Needs) -> Option<String> {
    (needs == Needs::PLAIN).then(|| "keeps nothing, checks nothing".to_owned())
}

pub(super) fn wire(address: SocketAddr) -> Wire {
    let ask = |path: &str, next| Ask::new(&format!("/{path}?{{channel}}"), next);
    Wire {
        address,
        long: Some(ask("long", Next::Same)),
        stream: Some(ask("stream", Next::Same)),
        events: Some(ask("events", Next::Same)),
        unchanged: Some(ask("short", Next::Headers)),
        short: Some(ask("short", Next::Same)),
        publish: Post::new("/publish?{channel}", "text/plain", "{payload}"),
    }
}
