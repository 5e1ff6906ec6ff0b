//! Our own server, with its defaults except for the limits that a scenario needs raised.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;
use xtask::server::{Binary, Keyboard, Server};

use super::process;
use super::running::Running;
use crate::cores::Share;
use crate::endpoints::{Endpoints, Mode, Next, PublishTemplate, ReadTemplate};
use crate::target::{Needs, Room, Store};

/// Everybody comes from one address to one channel.
const UNLIMITED: [&str; 4] =
    ["--max-per-channel", "--max-per-address", "--max-connections", "--max-sockets-per-address"];

pub(crate) struct Poll {
    /// Its name in tables: two builds may be measured in one run.
    pub(super) name: &'static str,
    binary: Binary,
}

impl Poll {
    pub(super) fn prepare(name: &'static str, binary: Option<&Path>) -> Result<Self> {
        Ok(Self { name, binary: Binary::given_or_built(binary)? })
    }

    pub(super) fn start(&self, needs: Needs) -> Result<Running> {
        let (mut flags, mut folder) = (flags(needs), None);
        if needs.store == Store::Disk {
            let made = process::folder()?;
            flags.push(format!("--store=disk:{}", made.path().join("store").display()));
            folder = Some(made);
        }
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let server = Server::start(&self.binary, &flags, Keyboard::Shared)?;
        let endpoints = endpoints(server.address());
        Ok(Running::ours(server, endpoints, needs, folder))
    }
}

pub(super) fn settings(needs: Needs) -> String {
    let store = if needs.store == Store::Disk { "disk:…" } else { "memory:" };
    let load =
        if needs.share == Share::Both { "; on both cores, one of them shared with the load" } else { "" };
    format!("--store {store} {}{load}", flags(needs).join(" "))
}

/// What differs from the defaults, apart from the store.
fn flags(needs: Needs) -> Vec<String> {
    let mut flags = vec!["--workers".to_owned(), needs.workers.to_string()];
    flags.extend(UNLIMITED.iter().flat_map(|limit| [(*limit).to_owned(), "0".to_owned()]));
    match needs.room {
        Room::Connections => {}
        Room::Streams(shape) => {
            flags.extend(["--max-streams-per-connection".to_owned(), shape.streams().to_string()]);
        }
        Room::Retained(messages) => flags.extend(["--retain-messages".to_owned(), messages.to_string()]),
    }
    flags
}

pub(super) fn endpoints(address: SocketAddr) -> Endpoints {
    let long = "/api/longpoll?channel={channel}&cursor={cursor}&timeout=60";
    let stream = ReadTemplate::new("/api/stream?channel={channel}", Next::Same);
    let short = "/api/poll?channel={channel}";
    Endpoints {
        address,
        reads: vec![
            (Mode::LongPoll, ReadTemplate::new(long, Next::Cursor)),
            (Mode::Http2, ReadTemplate::new(long, Next::Cursor)),
            (Mode::Events, stream.clone().with("Accept: text/event-stream")),
            (Mode::Stream, stream),
            (Mode::Conditional, ReadTemplate::new(short, Next::Headers)),
            (Mode::ShortPoll, ReadTemplate::new(short, Next::Same)),
        ],
        publish: PublishTemplate::new("/api/message?channel={channel}", "text/plain", "{payload}"),
    }
}
