//! `cargo xtask torture hoard`: peers that make the server keep as much as they can, beside honest clients that must
//! notice nothing.
//!
//! Each way of hoarding runs alone and then all of them together, with `--memory-bytes 128MiB`. Resident memory is
//! sampled all the time and must stay under that budget and a stated constant: the log's own bound, and what the program,
//! its sockets and the store's cache take. Everything that is refused must have been told, and counted by the server.

mod attack;
mod honest;
mod http1;
mod http2;
mod watch;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use tokio::time::Instant;

use self::attack::{Attack, Told};
use self::honest::Latencies;
use self::watch::Watch;
use super::ground::{Ground, block_on};
use super::race::DRAIN;
use xtask::server::{Keyboard, Place, Server};

/// The budget, and the bound on the log beside it.
const BUDGET_MIB: u64 = 128;
const LOG_MIB: u64 = 64;
/// What the program itself, its threads, its sockets, the store's page cache and the allocator's slack take.
const CONSTANT_MIB: u64 = 96;
/// The honest clients' bound, in the median of the rounds.
const P99: Duration = Duration::from_millis(100);
/// The longest turn of a worker, in thread CPU time.
const TURN: Duration = Duration::from_millis(20);

/// The course's arguments.
#[derive(Args)]
pub(super) struct Hoard {
    /// How long each way of hoarding goes on
    #[arg(long, default_value_t = 60, value_name = "S", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// How often each is run; the median of the honest clients' p99 counts
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Only this way of hoarding (see the output for their names)
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    #[command(flatten)]
    ground: Ground,
    #[arg(skip)]
    timing: Timing,
}

/// Whether figures of time are held to their bounds. A short run with a debug build has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Timing {
    #[default]
    Judged,
    Ignored,
}

/// What one phase came to.
struct Phase {
    name: String,
    peak: u64,
    told: Told,
    honest: Latencies,
    longest_turn: Option<Duration>,
}

impl Hoard {
    pub(super) fn short(ground: Ground) -> Self {
        Self { seconds: 3, rounds: 1, only: Some("together".to_owned()), ground, timing: Timing::Ignored }
    }

    pub(super) fn run(&self) -> Result<()> {
        let binary = self.ground.binary()?;
        println!(
            "torture hoard: {} s each way, {} rounds; resident memory must stay under {BUDGET_MIB} MiB (--memory-bytes) \
             + {LOG_MIB} MiB (--retain-bytes) + {CONSTANT_MIB} MiB",
            self.seconds, self.rounds
        );
        println!(
            "{:<16}{:>10}{:>12}{:>10}{:>10}{:>12}{:>14}",
            "hoarding", "peak MiB", "requests", "refused", "cut", "honest p99", "longest turn"
        );
        let mut phases: Vec<(String, Vec<Attack>)> =
            Attack::ALL.iter().map(|attack| (attack.name().to_owned(), vec![*attack])).collect();
        phases.push(("together".to_owned(), Attack::ALL.to_vec()));
        for (name, attacks) in phases {
            if self.only.as_ref().is_some_and(|only| *only != name) {
                continue;
            }
            let mut rounds = Vec::new();
            for _ in 0..self.rounds {
                let place = tempfile::tempdir().context("no place for a store")?;
                let store = format!("disk:{}", place.path().join("store").display());
                let place = Place { listen: "127.0.0.1:0".to_owned(), store };
                let budget = format!("--memory-bytes={BUDGET_MIB}MiB");
                let log = format!("--retain-bytes={LOG_MIB}MiB");
                let flags = [
                    &budget,
                    &log,
                    "--max-per-address=0",
                    "--max-per-channel=0",
                    "--max-per-client=0",
                    "--receipts",
                ];
                let server = Server::start_at(&binary, &place, &flags, Keyboard::Shared)?;
                let phase = self.phase(&name, &attacks, &server)?;
                println!("{phase}");
                rounds.push(phase);
                server.drain(DRAIN).context("after the hoarding")?;
            }
            self.judge(&name, &rounds)?;
        }
        Ok(())
    }

    fn phase(&self, name: &str, attacks: &[Attack], server: &Server) -> Result<Phase> {
        let (address, until) = (server.address(), Duration::from_secs(self.seconds));
        block_on(attack::prepare(address))?;
        let watch = Watch::start(server.id());
        // The hoarders on a thread of their own, and behind everybody else: what they cost themselves is not the server's.
        let attacks = attacks.to_vec();
        let hoarders = std::thread::spawn(move || -> Result<Told> {
            let _ = rustix::process::nice(10);
            block_on(attack::run(&attacks, address, Instant::now() + until))
        });
        let honest = block_on(honest::run(address, Instant::now() + until))?;
        let told = hoarders.join().map_err(|_| anyhow::anyhow!("the hoarders panicked"))??;
        let peak = watch.stop()?;
        let longest_turn = block_on(watch::longest_turn(address))?;
        Ok(Phase { name: name.to_owned(), peak, told, honest, longest_turn })
    }

    fn judge(&self, name: &str, rounds: &[Phase]) -> Result<()> {
        let bound = (BUDGET_MIB + LOG_MIB + CONSTANT_MIB) << 20;
        for phase in rounds {
            ensure!(
                phase.peak <= bound,
                "{name}: {} MiB resident, {} allowed",
                phase.peak >> 20,
                bound >> 20
            );
            ensure!(
                phase.honest.faults.is_empty(),
                "{name}: an honest client met: {}",
                phase.honest.faults[0]
            );
            ensure!(phase.honest.requests > 0, "{name}: no honest client was served");
        }
        if self.timing == Timing::Ignored {
            return Ok(());
        }
        let mut p99: Vec<Duration> = rounds.iter().map(|phase| phase.honest.p99()).collect();
        p99.sort_unstable();
        let median = p99[p99.len() / 2];
        ensure!(median <= P99, "{name}: honest clients' p99 is {median:?} in the median, {P99:?} allowed");
        for phase in rounds {
            let longest = phase.longest_turn.unwrap_or_default();
            ensure!(
                longest <= TURN,
                "{name}: a turn of a worker took more than {longest:?}, {TURN:?} allowed"
            );
        }
        Ok(())
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let turn =
            self.longest_turn.map_or("?".to_owned(), |turn| format!("≤ {} ms", turn.as_secs_f64() * 1e3));
        write!(
            f,
            "{:<16}{:>10}{:>12}{:>10}{:>10}{:>9} ms{:>14}",
            self.name,
            self.peak >> 20,
            self.told.requests,
            self.told.refused,
            self.told.cut,
            self.honest.p99().as_millis(),
            turn
        )
    }
}

/// Where an attack goes, and when it ends.
#[derive(Clone, Copy)]
struct Aim {
    address: SocketAddr,
    until: Instant,
}

impl Aim {
    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }
}
