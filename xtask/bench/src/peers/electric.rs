//! Electric's Durable Streams server: its crate, installed under the folder of the builds when it is asked for.
//!
//! A channel is a stream of JSON values or of text, which has to be made before it is used. One worker, and with it one
//! shard of its write-ahead log; everything else is as it comes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use rustix::process::{Resource, getrlimit};
use xtask::workspace::{cargo, run, target};

use super::folder::folder;
use super::process::{Children, Process, free_address};
use crate::endpoints::{Endpoints, Mode, Next, ReadTemplate};
use crate::target::{Needs, Peer, Room, Running, Security, Store, Target};

const CRATE: &str = "durable-streams";
const VERSION: &str = "0.1.5";
const PROGRAM: &str = "durable-streams-server";

/// Files that are not channels: connections, the log, the standard streams.
const OTHER_FILES: u64 = 4_096;

/// No long poll ends during a round.
const TIMEOUT: [&str; 2] = ["--long-poll-timeout-ms", "60000"];

pub(super) fn prepare() -> Result<Option<Peer>> {
    let program = match installed() {
        Ok(program) => program,
        Err(error) => {
            eprintln!("electric is left out: {error:#}");
            return Ok(None);
        }
    };
    let start = Box::new(move |needs| start(&program, needs));
    let settings = |_, needs| flags(needs).map(|flags| format!("{CRATE} {VERSION}; {}", flags.join(" ")));
    Ok(Some(Peer { name: "electric", endpoints, settings: Box::new(settings), start }))
}

/// The program, installed on first use.
fn installed() -> Result<PathBuf> {
    let folder = target().join("peers").join(format!("{CRATE}-{VERSION}"));
    let program = folder.join("bin").join(PROGRAM);
    if !program.is_file() {
        let mut install = Command::new("nice");
        let cargo = cargo(["install", "--locked", CRATE, "--version", &format!("={VERSION}"), "--root"]);
        install.args(["-n", "19"]).arg(cargo.get_program()).args(cargo.get_args()).arg(&folder);
        run(&mut install).with_context(|| format!("cannot install the crate {CRATE}"))?;
    }
    Ok(program)
}

fn start(program: &Path, needs: Needs) -> Result<Running> {
    let (folder, address) = (folder()?, free_address()?);
    let endpoints = endpoints(address).holding(needs.content);
    let mut command = Command::new(program);
    command.args(["--host", &address.ip().to_string(), "--port", &address.port().to_string()]);
    command.arg("--data-dir").arg(folder.path().join("data"));
    command.args(flags(needs).context("it is asked only for what it can do")?);
    let process = Process::launch(command, folder, address, Children::None)?;
    let target = Target { endpoints, processes: process.all(), waits: needs.waits(), trust: None };
    Ok(Running::new(target, process))
}

/// What differs from its defaults; `None` if it cannot do what is needed.
fn flags(needs: Needs) -> Option<Vec<String>> {
    let durability = match needs.store {
        Store::Memory => "memory",
        Store::Disk => "wal",
        Store::Redis => return None,
    };
    let has_room = match needs.room {
        Room::Connections => true,
        // It has a file open for each.
        Room::Channels(channels) => {
            getrlimit(Resource::Nofile).maximum.is_none_or(|most| u64::from(channels) + OTHER_FILES <= most)
        }
        Room::Streams(_) | Room::Retained(_) => false,
    };
    let workers = needs.workers.to_string();
    let flags = ["--durability", durability, "--worker-threads", &workers];
    (has_room && needs.security == Security::Plain)
        .then(|| flags.into_iter().chain(TIMEOUT).map(str::to_owned).collect())
}

fn endpoints(address: SocketAddr) -> Endpoints {
    let read = |query: &str, next| {
        ReadTemplate::new(&format!("/v1/stream/{{channel}}?offset={{cursor}}{query}"), next).beginning("-1")
    };
    Endpoints {
        reads: vec![
            // Without the `cursor` that tells caches apart: there are none.
            (Mode::LongPoll, read("&live=long-poll", Next::Offset)),
            (Mode::Events, read("&live=sse", Next::Same).with("Accept: text/event-stream\r\n")),
            (Mode::CatchUp, read("", Next::Same)),
        ],
        create: Some("/v1/stream/{channel}"),
        ..Endpoints::new(address, "/v1/stream/{channel}")
    }
}
