//! `cargo xtask torture tls`: handshakes that dawdle or never end, records that are huge, broken or late, sessions that are
//! resumed by the hundred and keys that are renewed without need, beside honest clients over TLS that must notice nothing.
//!
//! Each way runs alone and then all of them together. Memory must stay under its bound, resident and on the account, and
//! afterwards nothing of it may be left: no socket, and no byte in the account of TLS. Honest clients are some that stay
//! connected, and some that come anew each time. How long they wait is compared with how long they wait on a server without
//! a crowd just before: on a machine that does other things, too, that is not nothing.

mod account;
mod attack;
mod newcomers;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum as _};
use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

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
    "--header-seconds=4",
    "--keep-alive-seconds=4",
    "--stall-seconds=3",
    "--memory-bytes=64MiB",
    "--retain-bytes=64MiB",
];
/// What the account may have, beside sessions.
const BUDGET: u64 = 64 << 20;
/// The two budgets, and what the program, its threads and its sockets take.
const MOST_MIB: u64 = 64 + 64 + 96;
/// How long the server may take to forget a crowd: the longest limit above, and a loaded machine.
const SETTLE: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(100);
/// In which part of its time a crowd has come.
const COMING: u32 = 3;
/// The phase of all ways at once.
const TOGETHER: &str = "together";

/// The course's arguments.
#[derive(Args)]
pub(super) struct Tls {
    /// How long each way goes on
    #[arg(long, default_value_t = 20, value_name = "S", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Clients of a way, and of all together
    #[arg(long, default_value_t = 600, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=3_000))]
    clients: u16,
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
        Self { seconds: 4, clients: 240, only: Some(TOGETHER.to_owned()), fixture, short: true }
    }

    pub(super) fn run(&self) -> Result<()> {
        let (binary, _certificate) = self.fixture.clone().with_tls().secured_binary()?;
        println!("torture tls: {} s each way, {} clients", self.seconds, self.clients);
        let all = Attack::value_variants();
        let alone = all.iter().map(|attack| (name(attack), std::slice::from_ref(attack)));
        let mut phases: Vec<_> = alone.chain([(TOGETHER.to_owned(), all)]).collect();
        phases.retain(|(phase, _)| self.only.as_deref().is_none_or(|only| only == *phase));
        ensure!(!phases.is_empty(), "there is no such way");
        for (phase, attacks) in phases {
            println!("{phase}:");
            // A short run judges no time.
            let mut most = Duration::MAX;
            if !self.short {
                let time = Duration::from_secs(self.seconds) / honest::ALONE;
                most = honest::most(
                    honest::alone(&binary, FLAGS, time).with_context(|| format!("before {phase}"))?,
                );
            }
            let server = Server::start(&binary, FLAGS, Keyboard::Shared)?;
            let p99 = self.round(attacks, &server).with_context(|| phase.clone())?;
            server.drain(DRAIN).with_context(|| format!("after {phase}"))?;
            ensure!(p99 <= most, "{phase}: honest clients' p99 is {p99:?}, {most:?} allowed");
        }
        Ok(())
    }

    /// Gives the honest clients' p99.
    fn round(&self, attacks: &'static [Attack], server: &Server) -> Result<Duration> {
        let (address, time) = (server.address(), Duration::from_secs(self.seconds));
        let clients = usize::from(self.clients).div_ceil(attacks.len());
        block_on(attack::prepare(address))?;
        // They have a thread of their own that comes last: what they cost themselves is not the server's.
        let crowd = std::thread::spawn(move || {
            let _ = rustix::process::nice(10);
            block_on(abuse(attacks, clients, address, Instant::now() + time))
        });
        let honest = block_on(async {
            let until = Instant::now() + time;
            tokio::try_join!(
                honest::run(address, until),
                newcomers::run(address, until),
                account::watch(address, until)
            )
        });
        crowd.join().map_err(|_| anyhow::anyhow!("the crowd panicked"))??;
        let peak = peak_resident(server.id())?;
        let metrics = block_on(Metrics::of(address))?;
        let cut = metrics.sum("poll_refused_total{reason=\"handshake\"}")?;
        let full = metrics.sum("poll_memory_refused{kind=\"tls_buffers\"}")?;
        let (honest, newcomers, most) = honest.with_context(|| {
            format!("{} MiB resident, {cut} handshakes cut, {full} without memory", peak >> 20)
        })?;
        println!(
            "  {} MiB resident, {} KiB on the account ({} of buffers, {} of {} sockets), {cut} handshakes cut, {full} \
             without memory",
            peak >> 20,
            most.all >> 10,
            most.buffers >> 10,
            most.sessions >> 10,
            most.sockets
        );
        println!(
            "  p99 of {} honest answers {:?}, of {} visits {:?} ({} put off)",
            honest.len(),
            p99(&honest),
            newcomers.times.len(),
            p99(&newcomers.times),
            newcomers.put_off
        );
        ensure!(!honest.is_empty() && !newcomers.times.is_empty(), "no honest client was served");
        ensure!(peak <= MOST_MIB << 20, "{} MiB resident, {MOST_MIB} MiB allowed", peak >> 20);
        ensure!(most.all <= BUDGET + most.sessions, "{} bytes on the account", most.all);
        block_on(settle(address))?;
        Ok(p99(&honest))
    }
}

fn p99(times: &Histogram<u64>) -> Duration {
    Duration::from_micros(times.value_at_quantile(0.99))
}

/// Abuses TLS in these ways until the time is over.
async fn abuse(
    attacks: &'static [Attack],
    clients: usize,
    address: SocketAddr,
    until: Instant,
) -> Result<()> {
    let mut crowd = JoinSet::new();
    let (begin, all) = (Instant::now(), clients * attacks.len());
    for (at, attack) in attacks.iter().enumerate() {
        for number in 0..attack.clients(clients) {
            // One after another: who waits for its turn among its own kind abuses nothing.
            let first =
                begin + (until - begin) * (number * attacks.len() + at) as u32 / (COMING * all as u32);
            crowd.spawn_local(async move {
                sleep_until(first).await;
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
