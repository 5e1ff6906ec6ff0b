//! `cargo xtask torture hoard`: peers that make the server keep as much as they can, beside honest clients that must
//! notice nothing.
//!
//! Each way of hoarding runs alone and then all of them together, with `--memory-bytes 128MiB`. Its peak of
//! resident memory must stay under that budget and a stated constant: the log's own bound, and what the program,
//! its sockets and the store's cache take.

mod attack;
pub(super) mod honest;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use self::attack::{ATTACKS, Attack};
use crate::fixture::{DRAIN, Fixture, block_on};
use crate::metrics::Metrics;
use xtask::server::{Keyboard, Server};

/// The budget, and the bound on the log beside it.
const BUDGET_MIB: u64 = 128;
const LOG_MIB: u64 = 64;
/// What the program itself, its threads, its sockets, the store's page cache and the allocator's slack take.
const CONSTANT_MIB: u64 = 96;
/// The longest turn of a worker, in thread CPU time.
const TURN: Duration = Duration::from_millis(20);

/// The phase of all ways at once.
const TOGETHER: &str = "together";
const FLAGS: &[&str] = &["--max-per-address=0", "--max-per-channel=0", "--max-per-client=0", "--receipts"];

/// The course's arguments.
#[derive(Args)]
pub(super) struct Hoard {
    /// How long each way of hoarding goes on
    #[arg(long, default_value_t = 60, value_name = "S", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// How often each is run; the median of the honest clients' p99 counts
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Only this way of hoarding, or `together` for all of them at once
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    #[command(flatten)]
    fixture: Fixture,
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

impl Hoard {
    pub(super) fn short(fixture: Fixture) -> Self {
        Self { seconds: 3, rounds: 1, only: Some(TOGETHER.to_owned()), fixture, timing: Timing::Ignored }
    }

    pub(super) fn run(&self) -> Result<()> {
        let (binary, _certificate) = self.fixture.secured_binary()?;
        println!(
            "torture hoard{}: {} s each way, {} rounds; resident memory must stay under {BUDGET_MIB} MiB (--memory-bytes) \
             + {LOG_MIB} MiB (--retain-bytes) + {CONSTANT_MIB} MiB",
            self.fixture.security(),
            self.seconds,
            self.rounds
        );
        let alone = ATTACKS.iter().map(|attack| (attack.name, std::slice::from_ref(attack)));
        let mut phases: Vec<_> = alone.chain([(TOGETHER, ATTACKS)]).collect();
        phases.retain(|(phase, _)| self.only.as_deref().is_none_or(|only| only == *phase));
        ensure!(!phases.is_empty(), "there is no such way of hoarding");
        for (phase, attacks) in phases {
            let (mut p99, mut alone) = (Vec::new(), Vec::new());
            for _ in 0..self.rounds {
                if self.timing == Timing::Judged {
                    let time = Duration::from_secs(self.seconds) / honest::ALONE;
                    let stored = Stored::new()?;
                    alone.push(honest::alone(&binary, &stored.flags(), time).context("before the hoarding")?);
                }
                let stored = Stored::new()?;
                let server = Server::start(&binary, &stored.flags(), Keyboard::Shared)?;
                p99.push(self.round(attacks, &server).context(phase)?);
                server.drain(DRAIN).context("after the hoarding")?;
            }
            let p99 = median(p99);
            println!("{phase}: honest clients' p99 {} ms in the median\n", p99.as_millis());
            let most = if alone.is_empty() { Duration::MAX } else { honest::most(median(alone)) };
            ensure!(p99 <= most, "{phase}: honest clients' p99 is {p99:?} in the median, {most:?} allowed");
        }
        Ok(())
    }

    /// Gives the honest clients' p99.
    fn round(&self, attacks: &'static [Attack], server: &Server) -> Result<Duration> {
        let (address, time) = (server.address(), Duration::from_secs(self.seconds));
        block_on(attack::prepare(address))?;
        // The hoarders have a thread of their own that comes last: what they cost themselves is not the server's.
        let hoarders = std::thread::spawn(move || {
            let _ = rustix::process::nice(10);
            block_on(hoard(attacks, address, Instant::now() + time))
        });
        let honest = block_on(honest::run(address, Instant::now() + time))?;
        hoarders.join().map_err(|_| anyhow::anyhow!("the hoarders panicked"))??;
        let peak = peak_resident(server.id())?;
        let metrics = block_on(Metrics::of(address))?;
        let longest = metrics.longest_turn().unwrap_or_default();
        println!(
            "{} MiB at most, {} refused, {} refused for memory, no turn over {longest:?}",
            peak >> 20,
            metrics.sum("poll_refused")?,
            metrics.sum("poll_memory_refused")?
        );
        let bound = (BUDGET_MIB + LOG_MIB + CONSTANT_MIB) << 20;
        ensure!(peak <= bound, "{} MiB resident, {} allowed", peak >> 20, bound >> 20);
        ensure!(!honest.is_empty(), "no honest client was served");
        let is_judged = self.timing == Timing::Judged;
        ensure!(!is_judged || longest <= TURN, "a turn took up to {longest:?}, {TURN:?} allowed");
        Ok(Duration::from_micros(honest.value_at_quantile(0.99)))
    }
}

/// A store of its own, which is gone when this is dropped.
struct Stored {
    _folder: TempDir,
    flags: Vec<String>,
}

impl Stored {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir().context("no folder for a store")?;
        let store = format!("--store=disk:{}", folder.path().join("store").display());
        let own = [store, format!("--memory-bytes={BUDGET_MIB}MiB"), format!("--retain-bytes={LOG_MIB}MiB")];
        let flags = own.into_iter().chain(FLAGS.iter().map(|&flag| flag.to_owned())).collect();
        Ok(Self { _folder: folder, flags })
    }

    /// A server's flags.
    fn flags(&self) -> Vec<&str> {
        self.flags.iter().map(String::as_str).collect()
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Hoards in these ways until the time is over.
async fn hoard(attacks: &'static [Attack], address: SocketAddr, until: Instant) -> Result<()> {
    let mut hoarders = JoinSet::new();
    for attack in attacks {
        for client in 0..attack.clients {
            hoarders.spawn_local(async move {
                // A client that is cut begins again.
                while timeout_at(until, attack.run(address, client)).await.is_ok() {
                    tokio::task::yield_now().await;
                }
            });
        }
    }
    while let Some(one) = hoarders.join_next().await {
        one.context("a hoarder panicked")?;
    }
    Ok(())
}

/// The most memory that a process has had at once, in bytes.
pub(super) fn peak_resident(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    Ok(peak.context("the system says no peak")?.parse::<u64>()? << 10)
}
