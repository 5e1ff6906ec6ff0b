//! What the churn came to, and the verdict.

use std::fmt;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::leavers::Tally;
use xtask::history::Verdict;

/// The round from which memory is compared: the first ones fill caches and pools.
const WARM: usize = 3;

pub(super) struct Figures {
    pub(super) rounds: Vec<Round>,
    pub(super) tally: Tally,
    pub(super) honest: Honest,
}

/// The server after a round.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Round {
    pub(super) waiters: u64,
    pub(super) sockets: u64,
    /// In bytes.
    pub(super) resident: u64,
    pub(super) took: Duration,
}

/// The honest clients, all together.
#[derive(Default)]
pub(super) struct Honest {
    pub(super) clients: u64,
    pub(super) given: u64,
    /// Questions that broke off.
    pub(super) cut: u64,
    pub(super) verdict: Verdict,
    pub(super) faults: Vec<String>,
}

impl Figures {
    /// Fails if an honest client noticed anything, a bad one was not cut, or memory grew grossly.
    pub(super) fn verdict(&self) -> Result<()> {
        let honest = &self.honest;
        ensure!(honest.verdict.is_clean(), "honest clients lost messages or were given some twice");
        ensure!(honest.faults.is_empty(), "honest clients met faults, the first: {}", honest.faults[0]);
        ensure!(honest.cut == 0, "{} questions of honest clients were cut", honest.cut);
        ensure!(self.tally.uncut == 0, "{} who should be cut were not", self.tally.uncut);
        if let (Some(warm), Some(last)) = (self.rounds.get(WARM - 1), self.rounds.last()) {
            ensure!(last.resident <= 2 * warm.resident, "resident memory has doubled since round {WARM}");
        }
        Ok(())
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<8}{:>10}{:>10}{:>14}{:>8}", "round", "waiters", "sockets", "resident MB", "s")?;
        for (number, round) in (1..).zip(&self.rounds) {
            let megabytes = round.resident / 100_000;
            writeln!(
                f,
                "{number:<8}{:>10}{:>10}{:>14}{:>8.1}",
                round.waiters,
                round.sockets,
                format!("{}.{}", megabytes / 10, megabytes % 10),
                round.took.as_secs_f64()
            )?;
        }
        writeln!(f, "{}", self.tally)?;
        let honest = &self.honest;
        write!(
            f,
            "honest: {} clients, {} messages given, {} questions cut, {} lost, {} doubled, {} out of order",
            honest.clients,
            honest.given,
            honest.cut,
            honest.verdict.lost,
            honest.verdict.doubled,
            honest.verdict.disordered
        )
    }
}
