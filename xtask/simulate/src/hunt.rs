//! Finding the planted bugs: a simulation that misses them would miss others.

use anyhow::{Context as _, Result, bail, ensure};
use poll_core::planted::Bug;

use crate::planted::ALL;
use crate::run::{Verbosity, run};

/// By so many seeds each must be found. The rarest is the checksum: one seed in several hundred flips a bit in what is read back.
const SEEDS: u64 = 3_000;

/// Plants each, and looks for it seed by seed. A seed finds it if it fails with it, and not without.
pub(crate) fn find_all() -> Result<()> {
    ensure!(cfg!(poll_planted), "this build has no planted bugs: it needs `--cfg poll_planted`");
    for (name, bug) in ALL {
        let (seed, fault) = find(bug).with_context(|| format!("the planted bug `{name}`"))?;
        println!("{name}: found by seed {seed}: {fault}");
    }
    Ok(())
}

fn find(bug: Bug) -> Result<(u64, String)> {
    for seed in 1..=SEEDS {
        let fault = fault(seed, Some(bug));
        if let Some(fault) = fault.filter(|_| self::fault(seed, None).is_none()) {
            return Ok((seed, fault));
        }
    }
    bail!("is not found by {SEEDS} seeds")
}

/// What a seed finds, if anything.
fn fault(seed: u64, bug: Option<Bug>) -> Option<String> {
    let found = run(seed, Verbosity::Quiet, bug).and_then(|outcome| outcome.result);
    found.err().map(|fault| format!("{fault:#}"))
}
