//! `cargo xtask bench instructions`: what the hot paths cost in instructions and allocations, here and at a base.
//!
//! Counts are exact where times of two commits differ by more than a regression. Both trees are counted in one run by
//! the same valgrind, each with its own `counted` benches, which know the paths. Counts say nothing about the kernel,
//! caches and waiting. (gungraun and iai-callgrind count alike, but need a runner program of the same version.)

mod base;
mod count;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde_json::Value;
use xtask::tools::{self, Tool};
use xtask::workspace::{cargo, output, root, target};

use self::count::{Cost, cost};
use crate::report::markdown_table;

/// The bench, and the packages that have one.
const BENCH: &str = "counted";
const PACKAGES: [&str; 2] = ["poll-core", "poll-http"];

/// More allocations per operation that are a regression. Below one, because what grows only now and then lowers the mean.
const ONE: f64 = 0.9;
const HEADINGS: [&str; 7] = ["path", "instructions", "base", "change", "allocations", "base", "bytes"];

const TOOLS: &[Tool] = &[Tool {
    program: "valgrind",
    package: "valgrind",
    purpose: "instructions and allocations of the hot paths",
}];

#[derive(Args)]
pub(crate) struct Instructions {
    /// The revision to compare with; else where this branch left main, or the last commit if there are no changes
    #[arg(long, value_name = "REVISION")]
    base: Option<String>,
    /// Only the paths with this in their name
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// How many percent more instructions are no regression
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0)]
    tolerance: f64,
}

/// One hot path of a bench program.
struct HotPath {
    executable: PathBuf,
    /// `poll-core/publish`.
    name: String,
    /// How many rounds are enough, and how many operations a round is.
    rounds: u64,
    operations: u64,
}

impl Instructions {
    /// Fails if a path regressed.
    pub(crate) fn run(&self) -> Result<()> {
        tools::ensure_these(TOOLS, "the count")?;
        let base = base::resolve(self.base.as_deref())?;
        let mut here = build(&root(), &target())?;
        here.retain(|path| self.only.as_deref().is_none_or(|part| path.name.contains(part)));
        ensure!(!here.is_empty(), "no hot path of that name");
        let there = base::checked_out(&base, build)?;
        let (mut rows, mut worse) = (Vec::new(), Vec::new());
        for path in here {
            eprintln!("counting {}", path.name);
            let cost = path.cost(path.rounds)?;
            // The same number of rounds: a round's cost may depend on it.
            let before = there.iter().find(|other| other.name == path.name);
            let before = before.map(|before| before.cost(path.rounds)).transpose()?;
            worse.extend(before.and_then(|before| regression(&path.name, cost, before, self.tolerance)));
            rows.push(row(path.name, cost, before));
        }
        println!("per operation, here and at {base:.10}\n\n{}", markdown_table(&HEADINGS, rows));
        ensure!(worse.is_empty(), "worse than the base:\n  {}", worse.join("\n  "));
        Ok(())
    }
}

fn row(name: String, here: Cost, base: Option<Cost>) -> Vec<String> {
    let of = |value: f64, digits: usize| format!("{value:.digits$}");
    let at_base = |show: &dyn Fn(Cost) -> String| base.map_or_else(|| "-".to_owned(), show);
    vec![
        name,
        of(here.instructions, 0),
        at_base(&|base| of(base.instructions, 0)),
        at_base(&|base| format!("{:+.1} %", percent(here, base))),
        of(here.allocations, 2),
        at_base(&|base| of(base.allocations, 2)),
        of(here.bytes, 0),
    ]
}

/// How a path regressed, if it did.
fn regression(name: &str, here: Cost, base: Cost, tolerance: f64) -> Option<String> {
    let (percent, more) = (percent(here, base), here.allocations - base.allocations);
    let worse = percent > tolerance || more >= ONE;
    worse.then(|| format!("{name}: {percent:+.1} % instructions, {more:+.2} allocations"))
}

/// By how many percent `here` takes more instructions than `base`.
fn percent(here: Cost, base: Cost) -> f64 {
    (here.instructions / base.instructions.max(1.0) - 1.0) * 100.0
}

impl HotPath {
    fn cost(&self, rounds: u64) -> Result<Cost> {
        let name = self.name.split_once('/').map_or(&*self.name, |(_, name)| name);
        cost(&self.executable, name, rounds, self.operations)
    }
}

/// Builds a checkout's bench programs and lists their paths.
fn build(checkout: &Path, target: &Path) -> Result<Vec<HotPath>> {
    let mut build = cargo(["bench", "--no-run", "--message-format=json", "--bench", BENCH, "--target-dir"]);
    build.arg(target).current_dir(checkout).stderr(Stdio::inherit());
    for package in PACKAGES {
        build.args(["--package", package]);
    }
    let built = build.output().context("cannot start cargo")?;
    ensure!(built.status.success(), "the benches of {} do not build", checkout.display());
    let mut paths = Vec::new();
    for line in String::from_utf8_lossy(&built.stdout).lines() {
        let message: Value = serde_json::from_str(line).context("cargo prints JSON")?;
        let is_bench = message["target"]["name"] == BENCH;
        let Some(executable) = message["executable"].as_str().filter(|_| is_bench) else { continue };
        let manifest = Path::new(message["manifest_path"].as_str().unwrap_or_default());
        let package = manifest.parent().and_then(Path::file_name).context("a package has a folder")?;
        for line in output(Command::new(executable).arg("--list"))?.lines() {
            paths.push(listed(executable.as_ref(), &package.to_string_lossy(), line)?);
        }
    }
    Ok(paths)
}

/// A line of the list: `wake-100 200 100`.
fn listed(executable: &Path, package: &str, line: &str) -> Result<HotPath> {
    let words: Vec<&str> = line.split(' ').collect();
    let [name, rounds, operations] = words[..] else { anyhow::bail!("`{line}` is no hot path") };
    Ok(HotPath {
        executable: executable.to_owned(),
        name: format!("{package}/{name}"),
        rounds: rounds.parse()?,
        operations: operations.parse()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_instructions_or_allocations_than_the_tolerance_are_a_regression() {
        let cost = |(instructions, allocations)| Cost { instructions, allocations, bytes: 100.0 };
        let worse = |here| regression("a/b", cost(here), cost((1_000.0, 2.0)), 5.0);
        assert_eq!(worse((1_049.0, 2.0)), None);
        let message = "a/b: +5.1 % instructions, +0.00 allocations";
        assert_eq!(worse((1_051.0, 2.0)).as_deref(), Some(message));
        assert!(worse((900.0, 2.99)).is_some() && worse((900.0, 2.5)).is_none());
        assert_eq!(row("a".to_owned(), cost((1.0, 2.0)), None), ["a", "1", "-", "-", "2.00", "-", "100"]);
    }
}
