//! `cargo xtask streams`: the conformance suite of the Durable Streams protocol against a server, and the protocol's own
//! client over kills of one.
//!
//! Both come from npm; the suite runs on vitest, and what it asks is its business. Their versions stand in
//! `poll-server/tests/streams`.

mod client;
mod kills;
mod packages;

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use clap::Args;

use xtask::server::{Binary, Keyboard, Server};
use xtask::tools::Install;
use xtask::workspace::{root, run, target};

/// The suite waits for the end of two long polls.
const FLAGS: &[&str] = &["--max-poll-seconds=1"];

/// How long vitest waits for a test, in milliseconds. Five seconds, as usual, are not enough where the machine is busy: one
/// test compares a hundred thousand bytes one by one.
const TIMEOUT: &str = "--testTimeout=30000";

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
    /// Check poll-client by the suite for clients, and no server
    #[arg(long, conflicts_with_all = ["server", "store", "rounds"])]
    client: bool,
    /// A checkout of the protocol's repository, which is fetched otherwise
    #[arg(long, requires = "client", value_name = "FOLDER")]
    checkout: Option<PathBuf>,
}

impl Streams {
    pub(crate) fn run(&self) -> Result<()> {
        if self.client {
            return client::check(self.checkout.as_deref(), Install::Allowed);
        }
        let binary = Binary::given_or_built(self.server.as_deref())?;
        (0..self.rounds).try_for_each(|_| check(&binary, &self.store, Install::Allowed))
    }
}

/// Runs poll-client in the suite for clients, which is fetched.
pub(crate) fn check_client() -> Result<()> {
    client::check(None, Install::Allowed)
}

/// Runs the suite once against a server of its own.
pub(crate) fn check(binary: &Binary, store: &str, install: Install) -> Result<()> {
    let folder = prepare(install)?;
    let given = format!("--store={store}");
    let server = Server::start(binary, &[FLAGS, &[&given]].concat(), Keyboard::Shared)?;
    run(Command::new("node")
        .current_dir(&folder)
        .args(["node_modules/vitest/vitest.mjs", "run", "--reporter=dot", TIMEOUT])
        .env("NO_COLOR", "1")
        .env("POLL_URL", format!("http://{}", server.address())))?;
    kills::check(binary, &folder, store)
}

/// Puts the suite where what it runs on is; returns where.
fn prepare(install: Install) -> Result<PathBuf> {
    let (from, to) = (root().join("poll-server/tests/streams"), target().join("npm/streams"));
    packages::fetch(&from, &to, install)?;
    for file in ["suite.test.js", "kills.js"] {
        std::fs::copy(from.join(file), to.join(file))?;
    }
    Ok(to)
}
