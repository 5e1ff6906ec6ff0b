//! `cargo xtask torture tls`: handshakes that dawdle or never end, records that are huge, broken or late, sessions that are
//! resumed by the hundred and keys that are renewed without need, beside honest clients over TLS that must notice nothing.
//!
//! Each way runs alone and then all of them together. Memory must stay under its bound, and afterwards nothing of it may
//! be left: no socket, and no byte in the account of TLS.

mod attack;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum as _};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use self::attack::Attack;
use crate::fixture::{DRAIN, Fixture, block_on, name};
use crate::hoard::{honest, peak_resident};
use crate::metrics::Metrics;
use xtask::server::{Keyboard, Server};

/// Limits that cut within a round.
const FLAGS: &[&str] = &[
    "--max-per-address=0",
    "--max-per-channel=0",
    "--max-sockets-per-address=0",
    "--header-seconds=2",
    "--keep-alive-seconds=3",
    "--stall-seconds=3",
    "--memory-bytes=64MiB",
    "--retain-bytes=64MiB",
];
/// The two budgets, and what the program, its threads and its sockets take.
const MOST_MIB: u64 = 64 + 64 + 96;
/// The honest clients' bound, in the median of the rounds.
const P99: Duration = Duration::from_millis(100);
/// How long the server may take to forget a crowd: the longest limit above, and a loaded machine.
const SETTLE: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(100);
/// The phase of all ways at once.
const TOGETHER: &str = "together";

/// The course's arguments.
#[derive(Args)]
pub(super) struct Tls {
    /// How long each way goes on
    #[arg(long, default_value_t = 20, value_name = "S", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Clients of each way
    #[arg(long, default_value_t = 100, value_name = "N")]
    clients: usize,
    /// Only this way, or `together` for all of them at once
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    #[command(flatten)]
    fixture: Fixture,
    #[arg(skip)]
    short: bool,
}

impl Tls {
    pub(super) fn short(fixture: Fixture) -> Self {
        Self { seconds: 4, clients: 20, only: Some(TOGETHER.to_owned()), fixture, short: true }
    }

    pub(super) fn run(&self) -> Result<()> {
        let (binary, _certificate) = self.fixture.clone().with_tls().secured_binary()?;
        println!("torture tls: {} s each way, {} clients of each", self.seconds, self.clients);
        let all = Attack::value_variants();
        let alone = all.iter().map(|attack| (name(attack), std::slice::from_ref(attack)));
        let mut phases: Vec<_> = alone.chain([(TOGETHER.to_owned(), all)]).collect();
        phases.retain(|(phase, _)| self.only.as_deref().is_none_or(|only| only == *phase));
        ensure!(!phases.is_empty(), "there is no such way");
        for (phase, attacks) in phases {
            let server = Server::start(&binary, FLAGS, Keyboard::Shared)?;
            let p99 = self.round(attacks, &server).with_context(|| phase.clone())?;
            server.drain(DRAIN).with_context(|| format!("after {phase}"))?;
            println!("{phase}: honest clients' p99 {} ms", p99.as_millis());
            ensure!(self.short || p99 <= P99, "{phase}: honest clients' p99 is {p99:?}, {P99:?} allowed");
        }
        Ok(())
    }

    /// Gives the honest clients' p99.
    fn round(&self, attacks: &'static [Attack], server: &Server) -> Result<Duration> {
        let (address, time, clients) = (server.address(), Duration::from_secs(self.seconds), self.clients);
        block_on(attack::prepare(address))?;
        // They have a thread of their own that comes last: what they cost themselves is not the server's.
        let crowd = std::thread::spawn(move || {
            let _ = rustix::process::nice(10);
            block_on(abuse(attacks, clients, address, Instant::now() + time))
        });
        let honest = block_on(honest::run(address, Instant::now() + time))?;
        crowd.join().map_err(|_| anyhow::anyhow!("the crowd panicked"))??;
        ensure!(!honest.is_empty(), "no honest client was served");
        block_on(settle(address))?;
        let peak = peak_resident(server.id())?;
        let refused = block_on(Metrics::of(address))?.sum("poll_refused_total{reason=\"handshake\"}")?;
        println!("{} MiB at most, {refused} handshakes cut", peak >> 20);
        ensure!(peak <= MOST_MIB << 20, "{} MiB resident, {MOST_MIB} MiB allowed", peak >> 20);
        Ok(Duration::from_micros(honest.value_at_quantile(0.99)))
    }
}

/// Abuses TLS in these ways until the time is over.
async fn abuse(
    attacks: &'static [Attack],
    clients: usize,
    address: SocketAddr,
    until: Instant,
) -> Result<()> {
    let mut crowd = JoinSet::new();
    for attack in attacks {
        for number in 0..clients {
            crowd.spawn_local(async move {
                // One that is cut begins again.
                while timeout_at(until, attack.run(address, number)).await.is_ok() {
                    tokio::task::yield_now().await;
                }
            });
        }
    }
    while let Some(one) = crowd.join_next().await {
        one.context("one of the crowd panicked")?;
    }
    Ok(())
}

/// Waits until the server has nothing left of the crowd but the connection that asks.
async fn settle(address: SocketAddr) -> Result<()> {
    let start = Instant::now();
    loop {
        let now = Metrics::of(address).await?;
        let sockets = now.sum("poll_sockets_open")?;
        let buffers = now.sum("poll_memory_bytes{kind=\"tls_buffers\"}")?;
        let sessions = now.sum("poll_memory_bytes{kind=\"tls_sessions\"}")?;
        if sockets <= 1 && buffers == 0 {
            ensure!(sessions <= 4 << 10, "{sessions} bytes of sessions are left for one connection");
            return Ok(());
        }
        ensure!(
            start.elapsed() < SETTLE,
            "{sockets} sockets and {buffers} bytes of TLS are left {SETTLE:?} after a crowd that has left"
        );
        sleep(STEP).await;
    }
}
