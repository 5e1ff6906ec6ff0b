//! One server after another on the same port and the same store, each ended at a random moment.
//!
//! Knows nothing of what the servers are asked meanwhile.

use std::time::Duration;

use anyhow::{Result, ensure};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::{Instant, sleep};

use crate::fixture::DRAIN;
use crate::tally::Tally;

use xtask::server::{Binary, Keyboard, Server};

/// How long a server may take to listen, repair included.
const START: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(2);

/// The columns under which it counts its servers. One that ended before the kill was not killed.
const COLUMNS: &[&str] = &["killed", "before it listened", "ended by itself"];

pub(super) struct Supervisor {
    binary: Binary,
    flags: Vec<String>,
    random: StdRng,
    /// How long a server serves, in milliseconds.
    life: std::ops::Range<u64>,
    pub(super) counts: Tally,
}

impl Supervisor {
    pub(super) fn new(binary: Binary, flags: Vec<String>, seed: u64, life: std::ops::Range<u64>) -> Self {
        Self {
            binary,
            flags,
            random: StdRng::seed_from_u64(seed),
            life,
            counts: Tally::new("servers", COLUMNS, 0),
        }
    }

    pub(super) fn kills(&self) -> u64 {
        self.counts.sum("killed")
    }

    /// Starts a server and waits until it listens.
    pub(super) async fn start(&mut self) -> Result<Server> {
        let (mut server, start) = (self.spawn()?, Instant::now());
        while !server.is_listening()? {
            ensure!(start.elapsed() < START, "the server does not listen after {START:?}");
            sleep(STEP).await;
        }
        Ok(server)
    }

    /// Starts a server and ends it one way or another.
    pub(super) async fn round(&mut self) -> Result<()> {
        let way = self.random.random_range(0..100);
        if way < 20 {
            let mut server = self.spawn()?;
            self.sleep_up_to(80_000).await;
            let before = u64::from(!server.is_listening()?);
            self.counts.add("while starting", [("killed", 1), ("before it listened", before)]);
            return Ok(());
        }
        let server = self.start().await?;
        let life = Duration::from_millis(self.random.random_range(self.life.clone()));
        sleep(life).await;
        if way < 75 {
            self.counts.add("while serving", [("killed", 1)]);
            return Ok(());
        }
        server.terminate()?;
        if way < 92 {
            self.sleep_up_to(60_000).await;
            let ended = u64::from(server.has_ended());
            self.counts.add("in a drain", [("killed", 1 - ended), ("ended by itself", ended)]);
            return Ok(());
        }
        let start = Instant::now();
        while !server.has_ended() {
            ensure!(start.elapsed() < DRAIN, "the server did not end within {DRAIN:?} of SIGTERM");
            sleep(STEP).await;
        }
        self.counts.add("clean stops", [("ended by itself", 1)]);
        // This only looks at what it ended with.
        server.drain(DRAIN)
    }

    async fn sleep_up_to(&mut self, micros: u64) {
        let moment = Duration::from_micros(self.random.random_range(0..micros));
        sleep(moment).await;
    }

    fn spawn(&self) -> Result<Server> {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        Server::spawn(&self.binary, &flags, Keyboard::Shared)
    }
}
