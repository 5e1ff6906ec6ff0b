//! One server after another on the same port and the same store, each ended at a random moment.
//!
//! Knows nothing of what the servers are asked meanwhile.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::{Instant, sleep, timeout};

use xtask::server::{Binary, Keyboard, Place, Server};

/// Ports that the system gives to nobody by itself, so that nobody takes ours while it is free.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// How long a server may take to listen, repair included, and to drain.
const START: Duration = Duration::from_secs(60);
const DRAIN: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(2);

/// What the reign did to its servers.
#[derive(Clone, Debug, Default)]
pub(super) struct Blows {
    /// Killed while serving.
    pub(super) serving: u64,
    /// Killed within some milliseconds of the start; and so many of them before they listened.
    pub(super) starting: u64,
    pub(super) unborn: u64,
    /// Killed within some milliseconds of SIGTERM; and so many had ended by themselves before that.
    pub(super) draining: u64,
    pub(super) outrun: u64,
    /// Ended by SIGTERM alone.
    pub(super) clean: u64,
    /// Times from start to listening.
    pub(super) starts: Vec<Duration>,
}

impl Blows {
    /// How many servers were killed; one that had ended by itself was not.
    pub(super) fn kills(&self) -> u64 {
        self.serving + self.starting + self.draining - self.outrun
    }
}

pub(super) struct Reign {
    binary: Binary,
    place: Place,
    flags: Vec<String>,
    random: StdRng,
    /// How long a server typically serves, in milliseconds.
    life: std::ops::Range<u64>,
    pub(super) blows: Blows,
}

/// A port that is free now.
pub(super) fn free_port(seed: u64) -> Result<u16> {
    let mut random = StdRng::seed_from_u64(seed);
    (0..100)
        .map(|_| random.random_range(PORTS))
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .context("no free port")
}

impl Reign {
    pub(super) fn new(
        binary: Binary,
        place: Place,
        flags: Vec<String>,
        seed: u64,
        life: std::ops::Range<u64>,
    ) -> Self {
        Self { binary, place, flags, random: StdRng::seed_from_u64(seed), life, blows: Blows::default() }
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
        self.blows.serving += 1;
        Ok(())
    }

    async fn kill_starting(&mut self) -> Result<()> {
        let mut server = self.spawn()?;
        let moment = Duration::from_micros(self.random.random_range(0..80_000));
        sleep(moment).await;
        self.blows.unborn += u64::from(!server.is_listening()?);
        drop(server);
        self.blows.starting += 1;
        Ok(())
    }

    async fn kill_draining(&mut self) -> Result<()> {
        let server = self.start().await?;
        self.live().await;
        server.terminate()?;
        let moment = Duration::from_micros(self.random.random_range(0..60_000));
        sleep(moment).await;
        self.blows.outrun += u64::from(server.has_ended());
        drop(server);
        self.blows.draining += 1;
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
        self.blows.clean += 1;
        Ok(())
    }

    async fn live(&mut self) {
        let life = Duration::from_millis(self.random.random_range(self.life.clone()));
        sleep(life).await;
    }

    fn spawn(&self) -> Result<Server> {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        Server::spawn(&self.binary, &self.place, &flags, Keyboard::Shared)
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
        self.blows.starts.push(start.elapsed());
        Ok(())
    }
}
