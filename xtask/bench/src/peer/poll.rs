//! Our own server, with its defaults but for what a scenario must raise.

use std::net::SocketAddr;

use anyhow::Result;

use super::{Given, Handle, Running, process};
use crate::load::Waits;
use crate::scenario::{Needs, Room, Store, Target, Workers};
use crate::wire::{Ask, Next, Post, Wire};
use xtask::server::{Binary, Keyboard, Place, Server};

/// Everybody comes from one address to one channel here.
const LIMITS: &[&str] = &[
    "--max-per-channel",
    "0",
    "--max-per-address",
    "0",
    "--max-connections",
    "0",
    "--max-sockets-per-address",
    "0",
];

pub(crate) struct Poll {
    /// What it is called in tables: two builds may be measured in the same run.
    pub(super) name: &'static str,
    binary: Binary,
}

impl Poll {
    pub(super) fn prepare(given: &Given, name: &'static str) -> Result<Self> {
        let binary = match &given.built {
            Some(binary) => binary.clone(),
            None => Binary::given_or_built(given.binary.as_deref())?,
        };
        Ok(Self { name, binary })
    }

    pub(super) fn start(&self, needs: Needs) -> Result<Running> {
        let (place, folder) = match needs.store {
            Store::Memory => (Place::fleeting(), None),
            Store::Disk => {
                let folder = process::folder()?;
                let store = format!("disk:{}", folder.path().join("store").display());
                (Place { store, ..Place::fleeting() }, Some(folder))
            }
        };
        let flags = flags(needs);
        let arguments: Vec<&str> = flags.iter().map(String::as_str).collect();
        let server = Server::start_at(&self.binary, &place, &arguments, Keyboard::Shared)?;
        let target =
            Target { wire: wire(server.address()), processes: vec![server.id()], waits: Waits::Asleep };
        Ok(Running { target, _server: Handle::Poll { _server: server, _folder: folder } })
    }
}

pub(crate) fn settings(needs: Needs) -> String {
    let store = match needs.store {
        Store::Memory => "memory:",
        Store::Disk => "disk:…",
    };
    let load = match needs.workers {
        Workers::One | Workers::Two => "",
        Workers::OneOnBoth | Workers::TwoOnBoth => "; on both cores, one of which the load shares",
    };
    format!("--store {store} {}{load}", flags(needs).join(" "))
}

/// What differs from the defaults, but for the store.
fn flags(needs: Needs) -> Vec<String> {
    let workers = match needs.workers {
        Workers::One | Workers::OneOnBoth => "1",
        Workers::Two | Workers::TwoOnBoth => "2",
    };
    let mut flags: Vec<String> =
        ["--workers", workers].iter().chain(LIMITS).map(ToString::to_string).collect();
    match needs.room {
        Room::Connections => {}
        Room::Streams(shape) => {
            flags.extend(["--max-streams-per-connection".to_owned(), shape.streams().to_string()]);
        }
        Room::Retained(messages) => flags.extend(["--retain-messages".to_owned(), messages.to_string()]),
    }
    flags
}

pub(super) fn wire(address: SocketAddr) -> Wire {
    let stream = Ask::new("/api/stream?channel={channel}", Next::Same);
    let short = "/api/poll?channel={channel}";
    Wire {
        address,
        long: Some(Ask::new("/api/longpoll?channel={channel}&cursor={cursor}&timeout=60", Next::Cursor)),
        stream: Some(stream.clone()),
        events: Some(stream.with("Accept: text/event-stream")),
        unchanged: Some(Ask::new(short, Next::Headers)),
        short: Some(Ask::new(short, Next::Same)),
        publish: Post::new("/api/message?channel={channel}", "text/plain", "{payload}"),
    }
}
