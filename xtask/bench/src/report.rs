//! How a run is reported: as tables for the terminal and for documents, as JSON and as a plot, all from the same results.
//!
//! A kept run can be reported again from its JSON, so that no figure is ever copied by hand. Measures nothing.

mod bounds;
mod groups;
mod markdown;
mod plot;
mod tables;
mod versus;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use xtask::workspace::root;

pub(crate) use self::markdown::table as markdown_table;
use crate::results::{Run, Subject};

/// What `--docs` writes, relative to the workspace.
const RESULTS: &str = "xtask/bench/results.json";
const DURABLE_RESULTS: &str = "xtask/bench/durable.json";
const PLOT: &str = "docs/bench.svg";
const BENCHMARKS: &str = "docs/benchmarks.md";
const README: &str = "README.md";
/// The names of the marks.
const TABLES: &str = "bench";
const DURABLE_TABLES: &str = "bench:durable";
const SUMMARY: &str = "bench:summary";

/// Where a run goes; with none of these, to the terminal.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Outputs {
    /// Write every round as JSON
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
    /// Replace the tables in docs/benchmarks.md and the kept results, of the comparison also the summary in README.md and
    /// the plot
    #[arg(long)]
    docs: bool,
}

/// `bench report`.
#[derive(Args)]
pub(crate) struct Report {
    /// The run, as `--json` wrote it
    #[arg(value_name = "RUN.json")]
    run: PathBuf,
    #[command(flatten)]
    outputs: Outputs,
}

impl Report {
    pub(crate) fn run(&self) -> Result<()> {
        let path = self.run.display();
        let json = std::fs::read_to_string(&self.run).with_context(|| format!("cannot read {path}"))?;
        write(&serde_json::from_str(&json).with_context(|| format!("{path} is not a run"))?, &self.outputs)
    }
}

impl Outputs {
    /// Writes the rounds so far, if asked for.
    pub(crate) fn keep(&self, run: &Run) -> Result<()> {
        self.json.as_ref().map_or(Ok(()), |path| put(path, &json(run)?))
    }
}

/// All figures of a run, for the terminal.
pub(crate) fn tables(run: &Run) -> String {
    tables::section(run, of(run).1)
}

/// Writes a run to everything that is asked for.
pub(crate) fn write(run: &Run, outputs: &Outputs) -> Result<()> {
    write_below(&root(), run, outputs)
}

fn write_below(root: &Path, run: &Run, outputs: &Outputs) -> Result<()> {
    outputs.keep(run)?;
    if outputs.docs {
        for (path, text) in documents(root, run)? {
            put(&root.join(path), &text)?;
        }
    }
    if outputs.json.is_none() && !outputs.docs {
        print!("{}", tables(run));
    }
    Ok(())
}

/// What `--docs` writes, made before anything is written, so that an error changes no file.
fn documents(root: &Path, run: &Run) -> Result<Vec<(&'static str, String)>> {
    let (mark, results) = of(run);
    let section = replaced(&root.join(BENCHMARKS), mark, &tables::section(run, results))?;
    let mut all = vec![(results, json(run)?), (BENCHMARKS, section)];
    if run.subject == Subject::Deliveries {
        all.push((README, replaced(&root.join(README), SUMMARY, &tables::summary(run, PLOT))?));
        all.push((PLOT, plot::draw(run)?));
    }
    Ok(all)
}

/// The marks of a run's tables, and the file with its rounds.
fn of(run: &Run) -> (&'static str, &'static str) {
    match run.subject {
        Subject::Deliveries => (TABLES, RESULTS),
        Subject::Durable => (DURABLE_TABLES, DURABLE_RESULTS),
    }
}

/// Prints how two builds of our server compare.
pub(crate) fn print_versus(run: &Run, one: &str, two: &str) {
    println!("{}", versus::render(run, one, two));
}

/// Replaces what stands between a document's marks of that name.
pub(crate) fn put_between_marks(document: &str, mark: &str, text: &str) -> Result<()> {
    let path = root().join(document);
    put(&path, &replaced(&path, mark, text)?)
}

/// The scenarios that have a bound.
#[cfg(test)]
pub(crate) fn bounded() -> impl Iterator<Item = &'static str> {
    bounds::scenarios()
}

fn replaced(path: &Path, mark: &str, text: &str) -> Result<String> {
    let cannot = || format!("cannot read {}", path.display());
    let old = std::fs::read_to_string(path).with_context(cannot)?;
    markdown::replace(&old, mark, text).with_context(cannot)
}

fn json(run: &Run) -> Result<String> {
    Ok(serde_json::to_string_pretty(run).context("cannot write a run as JSON")? + "\n")
}

fn put(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests;
