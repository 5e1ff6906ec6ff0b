//! One process of a crowd: so many long polls to one server, each of which must be given one message.
//!
//! A process may have only so many sockets, so a crowd is several processes. This one says `waiting` once all wait, goes
//! on when it is told to by a line, and says `delivered` when each of its clients has the message.

use std::io::{BufRead as _, Write as _};
use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::counts::Due;
use crate::endpoints::Mode;
use crate::load::{Load, Role};
use crate::machine;
use crate::meter::LOOK;
use crate::peers::endpoints_of_ours;
use crate::target::{Target, Waits};

#[derive(Args)]
pub(crate) struct Crowd {
    /// The server
    address: SocketAddr,
    /// How many wait
    waiters: u32,
    /// The server's process, which rests when all wait
    process: u32,
}

impl Crowd {
    pub(crate) fn run(&self) -> Result<()> {
        machine::raise_file_limit()?;
        let endpoints = endpoints_of_ours(self.address);
        let read = endpoints.read(Mode::LongPoll).context("a long poll")?.clone();
        let target = Target { endpoints, processes: vec![self.process], waits: Waits::Asleep, trust: None };
        let mut load = Load::new(&target, &read, 1)?;
        load.open_many(self.waiters, Role::Waiter, Due::from(1))?;
        load.settle(LOOK)?;
        say("waiting")?;
        let mut line = String::new();
        std::io::stdin()
            .lock()
            .read_line(&mut line)
            .context("standard input ended before the signal to go on")?;
        let all = u64::from(self.waiters);
        load.until("the message to reach all readers", |load| load.counts().delivered == all)?;
        say("delivered")
    }
}

fn say(word: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{word}")?;
    out.flush().context("standard output is closed")
}
