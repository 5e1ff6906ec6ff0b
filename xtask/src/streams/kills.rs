//! The protocol's own JavaScript client follows a server on disk over three kills.
//!
//! Its program, in `poll-server/tests/streams/kills.js`, publishes, reads and checks that nothing was lost or doubled. This
//! file kills its server and starts it again.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use xtask::server::{Binary, Keyboard, Server};

/// How far the producer is when the server is killed. What it sends then is on its way.
const KILLS: [&str; 3] = ["published 100", "published 200", "published 300"];

/// Runs the client, which `folder` has, until it has read everything.
pub(super) fn check(binary: &Binary, folder: &Path) -> Result<()> {
    let data = tempfile::tempdir()?;
    let store = format!("--store=disk:{}", data.path().display());
    let mut server = Server::start(binary, &[&store], Keyboard::Shared)?;
    let address = server.address();
    let listen = format!("--listen={address}");
    let mut client = Command::new("node")
        .current_dir(folder)
        .arg("kills.js")
        .env("POLL_URL", format!("http://{address}"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start node")?;
    let lines = BufReader::new(client.stdout.take().context("its output is a pipe")?).lines();
    let mut kills = KILLS.iter().peekable();
    for line in lines {
        let line = line?;
        if kills.next_if(|&&kill| kill == line).is_some() {
            drop(server);
            server = Server::start(binary, &[&store, &listen], Keyboard::Shared)?;
        } else if !line.starts_with("published ") {
            eprintln!("{line}");
        }
    }
    let status = client.wait()?;
    ensure!(status.success(), "the protocol's own client ended with {status}");
    ensure!(kills.next().is_none(), "the protocol's own client ended before the last kill");
    Ok(())
}
