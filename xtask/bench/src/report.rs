//! How a run is written down: as text, JSON, an SVG plot and the README's section, all from the same figures.
//!
//! Each form is a function from a [`Run`] to text in a file below; this one reads and writes the files. A run can be
//! written down again later from its JSON, so that no figure is ever copied by hand. Measures nothing.

mod numbers;
mod readme;
mod svg;
mod targets;
mod text;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;

use super::figures::{Row, Run};
use xtask::workspace::root;

/// Whom the targets are about, and against whom.
const POLL: &str = "poll";
const NCHAN: &str = "nchan";
const FLOOR: &str = "floor";
/// What one operation of a scenario is that only holds connections open: memory counts there, not CPU.
const WAITER: &str = "waiter";

/// Where the README's picture and the figures behind it are kept, seen from the README.
const PICTURE: &str = "xtask/bench.svg";
const FIGURES: &str = "xtask/bench.json";

/// Where a run goes.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Outputs {
    /// Print the table; done anyway when nothing else is asked for
    #[arg(long)]
    pub(crate) text: bool,
    /// Keep every round as JSON
    #[arg(long, value_name = "PATH")]
    pub(crate) json: Option<PathBuf>,
    /// Draw a plot
    #[arg(long, value_name = "PATH")]
    pub(crate) svg: Option<PathBuf>,
    /// Replace the table in the README, and its picture and JSON in `xtask/`
    #[arg(long)]
    pub(crate) readme: bool,
}

/// `report`: the arguments.
#[derive(Args, Debug)]
pub(crate) struct Report {
    /// The run, as `--json` kept it
    #[arg(value_name = "RUN.json")]
    run: PathBuf,
    #[command(flatten)]
    outputs: Outputs,
}

impl Report {
    pub(crate) fn run(&self) -> Result<()> {
        let shown = self.run.display();
        let kept = std::fs::read_to_string(&self.run).with_context(|| format!("cannot read {shown}"))?;
        let run = serde_json::from_str(&kept).with_context(|| format!("{shown} is not a run"))?;
        write(&run, &self.outputs)
    }
}

impl Outputs {
    /// Keeps the figures so far, where they are asked for.
    pub(crate) fn keep(&self, run: &Run) -> Result<()> {
        self.json.as_ref().map_or(Ok(()), |path| put(path, &json(run)?))
    }
}

/// Writes a run to everywhere that is asked for.
pub(crate) fn write(run: &Run, outputs: &Outputs) -> Result<()> {
    write_in(&root(), run, outputs)
}

/// The same with the README of another folder.
fn write_in(top: &Path, run: &Run, outputs: &Outputs) -> Result<()> {
    outputs.keep(run)?;
    if let Some(path) = &outputs.svg {
        put(path, &svg::draw(run))?;
    }
    if outputs.readme {
        let path = top.join("README.md");
        let old =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        // Before the picture, so that a README without the marks leaves all three as they were.
        let new = readme::replace(&old, run)?;
        put(&top.join(FIGURES), &json(run)?)?;
        put(&top.join(PICTURE), &svg::draw(run))?;
        put(&path, &new)?;
    }
    let asked_for_nothing = outputs.json.is_none() && outputs.svg.is_none() && !outputs.readme;
    if outputs.text || asked_for_nothing {
        print!("{}", text::render(run));
    }
    Ok(())
}

/// Puts `section` between the README's marks of that name.
pub(crate) fn put_in_readme(mark: &str, section: &str) -> Result<()> {
    let path = root().join("README.md");
    let old = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    put(&path, &readme::between(&old, mark, section)?)
}

fn json(run: &Run) -> Result<String> {
    let mut json = serde_json::to_string_pretty(run).context("cannot write a run as JSON")?;
    json.push('\n');
    Ok(json)
}

fn put(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// The rows of one scenario: ours first, then those we are compared with, then any others.
struct Scenario<'a> {
    id: &'a str,
    name: &'a str,
    operation: &'a str,
    rows: Vec<&'a Row>,
}

impl<'a> Scenario<'a> {
    fn row(&self, server: &str) -> Option<&'a Row> {
        self.rows.iter().copied().find(|row| row.server == server)
    }
}

/// Every scenario of a run, in the order in which they were measured.
fn scenarios(run: &Run) -> Vec<Scenario<'_>> {
    let mut all: Vec<Scenario<'_>> = Vec::new();
    for row in &run.rows {
        if let Some(scenario) = all.iter_mut().find(|scenario| scenario.id == row.id) {
            scenario.rows.push(row);
        } else {
            let (name, operation) = (&row.scenario, &row.operation);
            all.push(Scenario { id: &row.id, name, operation, rows: vec![row] });
        }
    }
    let order = servers(run);
    for scenario in &mut all {
        scenario.rows.sort_by_key(|row| order.iter().position(|server| *server == row.server));
    }
    all
}

/// Every server of a run, in the order in which they are shown.
fn servers(run: &Run) -> Vec<&str> {
    let measured = |server: &&str| run.rows.iter().any(|row| row.server == **server);
    let mut all: Vec<&str> = [POLL, NCHAN, FLOOR].into_iter().filter(measured).collect();
    for row in &run.rows {
        if !all.contains(&row.server.as_str()) {
            all.push(&row.server);
        }
    }
    all
}

#[cfg(test)]
mod tests;
