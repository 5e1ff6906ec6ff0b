//! One server after another on the same port and the same store, each ended at a random moment.
//!
//! Knows nothing of what the servers are asked meanwhile.

use std::fmt;
use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::{Instant, sleep, timeout};

use xtask::server::{Binary, Keyboard, Server};

/// Ports that the system gives to nobody by itself, so that nobody takes ours while it is free.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// How long a server may take to listen, repair included, and to drain.
const START: Duration = Duration::from_secs(60);
const DRAIN: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(2);

/// One server after another.
pub(super) struct Supervisor {
    binary: Binary,
    flags: Vec<String>,
    random: StdRng,
    /// How long a server serves, in milliseconds.
    life: std::ops::Range<u64>,
    pub(super) counts: KillCounts,
}

/// How servers were ended.
#[derive(Default)]
pub(super) struct KillCounts {
    /// Killed while serving.
    serving: u64,
    /// Killed within some milliseconds of the start, and how many of these before they listened.
    starting: u64,
    unborn: u64,
    /// Killed within some milliseconds of SIGTERM, and how many of these had ended by themselves before.
    draining: u64,
    outrun: u64,
    /// Ended by SIGTERM alone.
    clean: u64,
    /// Times from start to listening.
    starts: Vec<Duration>,
}

/// A port that is free now.
pub(super) fn free_port(seed: u64) -> Result<u16> {
    let mut random = StdRng::seed_from_u64(seed);
    (0..100)
        .map(|_| random.random_range(PORTS))
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .context("no free port")
}

impl Supervisor {
    pub(super) fn new(binary: Binary, flags: Vec<String>, seed: u64, life: std::ops::Range<u64>) -> Self {
        Self { binary, flags, random: StdRng::seed_from_u64(seed), life, counts: KillCounts::default() }
    }

    /// Starts a server and waits until it listens.
    pub(super) async fn start(&mut self) -> Result<Server> {
        let mut server = self.spawn()?;
        self.listening(&mut server).await?;
        Ok(server)
    }

    /// Starts a server and ends it one way or another.
    pub(super) async fn round(&mut self) -> Result<()> {
        match self.random.random_range(0..100) {
            0..55 => self.kill_serving().await,
            55..75 => self.kill_starting().await,
            75..92 => self.kill_draining().await,
            _ => self.end_cleanly().await,
        }
    }

    async fn kill_serving(&mut self) -> Result<()> {
        let server = self.start().await?;
        self.live().await;
        drop(server);
        self.counts.serving += 1;
        Ok(())
    }

    async fn kill_starting(&mut self) -> Result<()> {
        let mut server = self.spawn()?;
        let moment = Duration::from_micros(self.random.random_range(0..80_000));
        sleep(moment).await;
        self.counts.unborn += u64::from(!server.is_listening()?);
        drop(server);
        self.counts.starting += 1;
        Ok(())
    }

    async fn kill_draining(&mut self) -> Result<()> {
        let server = self.start().await?;
        self.live().await;
        server.terminate()?;
        let moment = Duration::from_micros(self.random.random_range(0..60_000));
        sleep(moment).await;
        self.counts.outrun += u64::from(server.has_ended());
        drop(server);
        self.counts.draining += 1;
        Ok(())
    }

    async fn end_cleanly(&mut self) -> Result<()> {
        let server = self.start().await?;
        self.live().await;
        server.terminate()?;
        let ended = async {
            while !server.has_ended() {
                sleep(STEP).await;
            }
        };
        if timeout(DRAIN, ended).await.is_err() {
            bail!("the server did not end within {DRAIN:?} of SIGTERM");
        }
        // It has ended: this only looks at what it ended with.
        server.drain(DRAIN)?;
        self.counts.clean += 1;
        Ok(())
    }

    async fn live(&mut self) {
        let life = Duration::from_millis(self.random.random_range(self.life.clone()));
        sleep(life).await;
    }

    fn spawn(&self) -> Result<Server> {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        Server::spawn(&self.binary, &flags, Keyboard::Shared)
    }

    /// Waits until a server listens.
    async fn listening(&mut self, server: &mut Server) -> Result<()> {
        let start = Instant::now();
        while !server.is_listening()? {
            if start.elapsed() > START {
                bail!("the server does not listen after {START:?}");
            }
            sleep(STEP).await;
        }
        self.counts.starts.push(start.elapsed());
        Ok(())
    }
}

impl KillCounts {
    /// How many servers were killed; one that had ended by itself was not.
    pub(super) fn kills(&self) -> u64 {
        self.serving + self.starting + self.draining - self.outrun
    }
}

impl fmt::Display for KillCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { serving, starting, unborn, draining, outrun, clean, starts } = self;
        let slowest = starts.iter().max().copied().unwrap_or_default();
        write!(
            f,
            "{} kills: {serving} while serving, {starting} while starting ({unborn} before it listened), {} in a drain \
             ({outrun} more had ended by themselves); {clean} clean stops; {} starts, the slowest {} ms",
            self.kills(),
            draining - outrun,
            starts.len(),
            slowest.as_millis()
        )
    }
}
