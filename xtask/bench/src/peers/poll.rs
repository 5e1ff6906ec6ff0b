//! Our own server, with its defaults except for the limits that a scenario needs raised.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;
use xtask::server::{Binary, Keyboard, Server};

use super::folder::folder;
use super::redis::Redis;
use crate::certificate::Certificate;
use crate::cores::Share;
use crate::endpoints::{Endpoints, Mode, Next, ReadTemplate};
use crate::target::{Needs, Room, Security, Store, Target};
use crate::target::{Peer, Running};

/// All clients come from one address to one channel.
pub(crate) const UNLIMITED: [&str; 4] =
    ["--max-per-channel", "--max-per-address", "--max-connections", "--max-sockets-per-address"];

/// A build of our server; `name` is its name in tables, because two may be measured in one run.
pub(crate) fn prepare(name: &'static str, binary: Option<&Path>) -> Result<Peer> {
    let binary = Binary::given_or_built(binary)?;
    let start = move |needs| start(&binary, needs);
    let settings = |_, needs| Some(settings(needs));
    Ok(Peer { name, endpoints, settings: Box::new(settings), start: Box::new(start) })
}

fn start(binary: &Binary, needs: Needs) -> Result<Running> {
    let (mut flags, folder, mut redis) = (flags(needs), folder()?, None);
    match needs.store {
        Store::Memory => {}
        Store::Disk => flags.push(format!("--store=disk:{}", folder.path().join("store").display())),
        Store::Redis => {
            let redis = redis.insert(Redis::start()?);
            flags.push(format!("--store=redis://{}", redis.address));
        }
    }
    let mut trust = None;
    if needs.security == Security::Tls {
        let Certificate { certificate, key, trust: clients } = Certificate::make(folder.path())?;
        flags.extend([
            format!("--tls-cert={}", certificate.display()),
            format!("--tls-key={}", key.display()),
        ]);
        trust = Some(clients);
    }
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let server = Server::start(binary, &flags, Keyboard::Shared)?;
    let (endpoints, processes) = (endpoints(server.address()).holding(needs.content), vec![server.id()]);
    Ok(Running::new(Target { endpoints, processes, waits: needs.waits(), trust }, (server, redis, folder)))
}

fn settings(needs: Needs) -> String {
    let store = match needs.store {
        Store::Memory => "memory:",
        Store::Disk => "disk:…",
        Store::Redis => "redis://…",
    };
    let load =
        if needs.share == Share::Both { "; on both cores, one of them shared with the load" } else { "" };
    let security = if needs.security == Security::Tls { " --tls-cert … --tls-key …" } else { "" };
    format!("--store {store} {}{security}{load}", flags(needs).join(" "))
}

/// What differs from the defaults, apart from the store.
fn flags(needs: Needs) -> Vec<String> {
    let mut flags = vec!["--workers".to_owned(), needs.workers.to_string()];
    flags.extend(UNLIMITED.iter().flat_map(|limit| [(*limit).to_owned(), "0".to_owned()]));
    match needs.room {
        Room::Connections | Room::Channels(_) => {}
        Room::Streams(shape) => {
            flags.extend(["--max-streams-per-connection".to_owned(), shape.streams().to_string()]);
        }
        Room::Retained(messages) => flags.extend(["--retain-messages".to_owned(), messages.to_string()]),
    }
    flags
}

pub(crate) fn endpoints(address: SocketAddr) -> Endpoints {
    let long = "/api/longpoll?channel={channel}&timeout=60&cursor={cursor}";
    let stream = ReadTemplate::new("/api/stream?channel={channel}", Next::Same);
    let short = "/api/poll?channel={channel}";
    let list: String = (1..10).map(|number| format!("channel={{channel}}-{number}&")).collect();
    let of_list = |target: &str, next| ReadTemplate::new(&target.replacen('?', &format!("?{list}"), 1), next);
    Endpoints {
        reads: vec![
            (Mode::LongPoll, ReadTemplate::new(long, Next::Cursor)),
            (Mode::Http2, ReadTemplate::new(long, Next::Cursor)),
            (Mode::Events, stream.clone().with("Accept: text/event-stream\r\n")),
            (Mode::Stream, stream),
            (Mode::Conditional, ReadTemplate::new(short, Next::Headers)),
            (Mode::ShortPoll, ReadTemplate::new(short, Next::Same)),
            (Mode::CatchUp, ReadTemplate::new("/v1/stream/{channel}?offset=-1", Next::Same)),
            (Mode::LongList, of_list(long, Next::Cursor)),
            (Mode::StreamList, of_list("/api/stream?channel={channel}", Next::Same)),
            (Mode::ConditionalList, of_list(short, Next::Headers)),
        ],
        ..Endpoints::new(address, "/api/message?channel={channel}")
    }
}
