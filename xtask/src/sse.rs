//! `cargo xtask sse`: clients for server-sent events that are not ours follow a server over three restarts, one of them a
//! kill. Each must print every message once, in order.
//!
//! The clients are programs of a few lines in `poll-server/tests/sse` and `xtask/examples`; those for JavaScript are
//! tested with the JavaScript client.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use xtask::python;
use xtask::server::{Binary, Keyboard, Server};
use xtask::tools::Install;
use xtask::workspace::{cargo, output, root, run, target};

/// How long anything may take; far beyond what a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(60);
/// Messages published at a time.
const MESSAGES: u32 = 3;

/// The command's arguments.
#[derive(Args)]
pub(crate) struct Sse {
    /// Follow this server instead of a fresh release build
    #[arg(long)]
    server: Option<PathBuf>,
}

impl Sse {
    pub(crate) fn run(&self) -> Result<()> {
        check(&Binary::given_or_built(self.server.as_deref())?, Install::Allowed)
    }
}

/// How a server goes.
#[derive(Clone, Copy, Debug)]
enum End {
    Drained,
    Killed,
}

/// Follows a server with each client over three restarts.
pub(crate) fn check(binary: &Binary, install: Install) -> Result<()> {
    let folder = root().join("poll-server/tests/sse");
    let bin = python::programs("sse", &folder.join("requirements.txt"), install)?;
    run(&mut cargo(["build", "--quiet", "--locked", "--package", "xtask", "--example", "eventsource"]))?;

    let data = tempfile::tempdir()?;
    let store = format!("--store=disk:{}", data.path().display());
    let mut server = Server::start(binary, &[&store], Keyboard::Shared)?;
    let address = server.address();
    let listen = format!("--listen={address}");
    let url = format!("http://{address}/api/stream?channel=followed&last_id=0");
    let python = |script: &str| {
        Client::start(script, Command::new(bin.join("python3")).arg(folder.join(script)), &url)
    };
    let rust = target().join("debug/examples/eventsource");
    let clients = [
        python("with_httpx_sse.py")?,
        python("with_sseclient_py.py")?,
        Client::start("eventsource-client", &mut Command::new(rust), &url)?,
    ];

    let mut next = 0;
    let mut expected = 0;
    for end in [End::Drained, End::Killed, End::Drained] {
        publish(address, &mut next)?;
        expect(&clients, &mut expected, next)?;
        // These may be on their way when the server ends.
        publish(address, &mut next)?;
        match end {
            End::Drained => server.drain(PATIENCE)?,
            End::Killed => drop(server),
        }
        server = Server::start(binary, &[&store, &listen], Keyboard::Shared)?;
    }
    publish(address, &mut next)?;
    expect(&clients, &mut expected, next)?;
    eprintln!("3 clients printed each of {next} messages once and in order, over 3 restarts");
    Ok(())
}

/// Publishes the next numbers.
fn publish(address: SocketAddr, next: &mut u32) -> Result<()> {
    for _ in 0..MESSAGES {
        *next += 1;
        let url = format!("http://{address}/api/message?channel=followed&content={next}");
        output(Command::new("curl").args(["--silent", "--show-error", "--fail", "--request", "POST", &url]))?;
    }
    Ok(())
}

/// Checks that each client prints these numbers next, and nothing between them.
fn expect(clients: &[Client], from: &mut u32, to: u32) -> Result<()> {
    for client in clients {
        for number in *from + 1..=to {
            let line = client.lines.recv_timeout(PATIENCE);
            let line = line.with_context(|| format!("{} never printed message {number}", client.name))?;
            let wanted = format!("\"message\":\"{number}\"");
            ensure!(line.contains(&wanted), "{} printed {line} in place of message {number}", client.name);
        }
    }
    *from = to;
    Ok(())
}

/// A running client, and what it prints.
struct Client {
    name: String,
    child: Child,
    lines: Receiver<String>,
}

impl Client {
    fn start(name: &str, command: &mut Command, url: &str) -> Result<Self> {
        let mut child = command
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", Path::new(command.get_program()).display()))?;
        let output = child.stdout.take().context("its output is a pipe")?;
        let (say, lines) = channel();
        std::thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).all(|line| say.send(line).is_ok())
        });
        Ok(Self { name: name.to_owned(), child, lines })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Neither can fail for a child that is ours and not yet waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
