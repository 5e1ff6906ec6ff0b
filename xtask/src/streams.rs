//! `cargo xtask streams`: the conformance suite of the Durable Streams protocol against a server, and the protocol's own
//! client over kills of one.
//!
//! Both come from npm; the suite runs on vitest, and what it asks is its business. Their versions stand in
//! `poll-server/tests/streams`.

mod kills;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};
use clap::Args;

use xtask::server::{Binary, Keyboard, Server};
use xtask::steps::Skip;
use xtask::tools::{self, Install, Tool};
use xtask::workspace::{root, run, target};

use crate::js;

/// The suite waits for the end of two long polls, and vitest for no test longer than five seconds.
const FLAGS: &[&str] = &["--max-poll-seconds=1"];
const NPM: &[Tool] =
    &[Tool { program: "npm", package: "npm", purpose: "the conformance suite of Durable Streams" }];

/// The command's arguments.
#[derive(Args)]
pub(crate) struct Streams {
    /// Check this server instead of a fresh release build
    #[arg(long)]
    server: Option<PathBuf>,
    /// Where the server keeps its streams
    #[arg(long, default_value = "memory:")]
    store: String,
    /// How often the suite runs
    #[arg(long, default_value_t = 1)]
    rounds: u32,
}

impl Streams {
    pub(crate) fn run(&self) -> Result<()> {
        let binary = Binary::given_or_built(self.server.as_deref())?;
        (0..self.rounds).try_for_each(|_| check(&binary, &self.store, Install::Allowed))
    }
}

/// Runs the suite once against a server of its own.
pub(crate) fn check(binary: &Binary, store: &str, install: Install) -> Result<()> {
    let folder = prepare(install)?;
    let store = format!("--store={store}");
    let server = Server::start(binary, &[FLAGS, &[&store]].concat(), Keyboard::Shared)?;
    run(Command::new("node")
        .current_dir(&folder)
        .args(["node_modules/vitest/vitest.mjs", "run", "--reporter=dot"])
        .env("NO_COLOR", "1")
        .env("POLL_URL", format!("http://{}", server.address())))?;
    kills::check(binary, &folder)
}

/// Fetches what the lock file pins, unless it is there; returns where.
fn prepare(install: Install) -> Result<PathBuf> {
    js::ensure_node(install)?;
    tools::ensure_these(NPM, "the conformance suite", install)?;
    let (from, to) = (root().join("poll-server/tests/streams"), target().join("npm/streams"));
    std::fs::create_dir_all(&to)?;
    for file in ["suite.test.js", "kills.js"] {
        std::fs::copy(from.join(file), to.join(file))?;
    }
    let (lock, stamp) = ("package-lock.json", to.join("installed.json"));
    let wanted = std::fs::read(from.join(lock))?;
    if std::fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(to);
    }
    for file in ["package.json", lock] {
        std::fs::copy(from.join(file), to.join(file))?;
    }
    if let Err(error) = run(Command::new("npm").current_dir(&to).args(["ci", "--no-audit", "--no-fund"])) {
        bail!(Skip(format!("npm cannot fetch the conformance suite: {error}")));
    }
    std::fs::write(stamp, wanted)?;
    Ok(to)
}
