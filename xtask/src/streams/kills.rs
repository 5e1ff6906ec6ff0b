//! The protocol's own JavaScript client follows a server on disk, or two over one Redis, over three kills.
//!
//! `poll-server/tests/streams/kills.js` publishes, reads and checks that no message was lost or duplicated. This file kills the
//! servers one after the other, and starts them again.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use xtask::server::{Binary, Keyboard, Server};

/// How far the producer is when a server is killed. What it sends then is on its way.
const KILLS: [&str; 3] = ["published 100", "published 200", "published 300"];

/// Runs the client, which `folder` has, until it has read everything: on two servers if the store can have two.
pub(super) fn check(binary: &Binary, folder: &Path, store: &str) -> Result<()> {
    let data = tempfile::tempdir()?;
    let (store, count) = if is_shared(store) {
        (format!("--store={store}"), 2)
    } else {
        (format!("--store=disk:{}", data.path().display()), 1)
    };
    let start = |listen: &str| Server::start(binary, &[&store, listen], Keyboard::Shared);
    let mut servers = VecDeque::new();
    for _ in 0..count {
        servers.push_back(start("--listen=127.0.0.1:0")?);
    }
    let urls: Vec<_> = servers.iter().map(|server| format!("http://{}", server.address())).collect();
    let mut client = Command::new("node")
        .current_dir(folder)
        .arg("kills.js")
        .env("POLL_URLS", urls.join(","))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start node")?;
    let lines = BufReader::new(client.stdout.take().context("its output is a pipe")?).lines();
    let mut kills = KILLS.iter().peekable();
    for line in lines {
        let line = line?;
        if kills.next_if(|&&kill| kill == line).is_some() {
            let killed = servers.pop_front().context("there is a server")?;
            let listen = format!("--listen={}", killed.address());
            drop(killed);
            servers.push_back(start(&listen)?);
        } else if !line.starts_with("published ") {
            eprintln!("{line}");
        }
    }
    let status = client.wait()?;
    ensure!(status.success(), "the protocol's own client ended with {status}");
    ensure!(kills.next().is_none(), "the protocol's own client ended before the last kill");
    Ok(())
}

/// Whether several servers can have a store.
fn is_shared(store: &str) -> bool {
    !store.starts_with("memory:") && !store.starts_with("disk:")
}
