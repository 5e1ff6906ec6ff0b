//! `cargo xtask bench instructions`: what the hot paths cost in instructions and allocations, here and at a base.
//!
//! Times of two commits differ by more than a regression does on any machine that has something else to do; counts do
//! not, so five per cent more is five per cent more. Both trees are counted in the same run by the same valgrind, each
//! with its own `counted` benches. Counts say nothing of the kernel, of caches and of waiting: for these there are the
//! other benches. What the paths are is the crates' affair (`benches/counted`).

mod base;
mod compare;
mod count;
mod program;

use anyhow::{Result, ensure};
use clap::Args;

use base::Base;
use compare::{Row, Tolerance};
use count::{Cost, cost};
use program::{Path, Program};
use xtask::tools::{self, Tool};
use xtask::workspace::{root, target};

/// What counts, apart from what the tests call.
const TOOLS: &[Tool] = &[Tool {
    program: "valgrind",
    package: "valgrind",
    purpose: "instructions and allocations of the hot paths",
}];

/// The command's arguments.
#[derive(Args)]
pub(crate) struct Instructions {
    /// What to compare with; else where this branch left main, the last commit on main itself, or the one before
    #[arg(long, value_name = "REVISION")]
    base: Option<String>,
    /// Only the paths with this in their name
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// How many per cent more instructions are still no regression
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0)]
    tolerance: f64,
}

impl Instructions {
    /// Fails if a path got worse.
    pub(crate) fn run(&self) -> Result<()> {
        tools::ensure_these(TOOLS, "the count")?;
        let base = Base::resolve(self.base.as_deref())?;
        let here = self.paths(&program::build(&root(), &target())?)?;
        ensure!(!here.is_empty(), "no hot path of that name");
        let there = self.paths(&base.build()?)?;
        if there.is_empty() {
            eprintln!("{base} has no such paths: every path is new, and nothing can have got worse");
        }
        let mut rows = Vec::new();
        for path in here {
            eprintln!("counting {}", path.name);
            let before = there.iter().find(|other| other.name == path.name);
            // As many rounds there as here: what a round costs may depend on how many there are.
            let before = before.map(|before| count(before, path.rounds)).transpose()?;
            rows.push(Row { here: count(&path, path.rounds)?, base: before, path: path.name });
        }
        println!("an operation here and at {base}\n{}", compare::table(&rows));
        compare::verdict(&rows, Tolerance { percent: self.tolerance })
    }

    /// The paths of all programs that were asked for.
    fn paths(&self, programs: &[Program]) -> Result<Vec<Path>> {
        let mut paths = Vec::new();
        for program in programs {
            paths.extend(program.paths()?);
        }
        paths.retain(|path| self.only.as_deref().is_none_or(|part| path.name.contains(part)));
        Ok(paths)
    }
}

fn count(path: &Path, rounds: u64) -> Result<Cost> {
    cost(&path.executable, path.argument(), rounds, path.operations)
}
