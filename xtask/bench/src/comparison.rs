//! The comparison: every scenario on every server, or on two builds of ours.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use clap::Args;

use crate::namespace;
use crate::peers::{self, Kind};
use crate::report::{self, Outputs};
use crate::results::{Run, Subject};
use crate::rounds::measure;
use crate::scenario::{self, Scenario};
use crate::target::Peer;
use crate::target::{Size, Store};

/// Ratios of single rounds differ by some percent.
const ROUNDS: u32 = 9;
/// The names of two builds that are compared.
const BUILDS: [&str; 2] = ["poll", "against"];

#[derive(Args)]
pub(crate) struct Comparison {
    /// Only these scenarios, or those whose names begin so (repeatable); a wrong name lists them all
    #[arg(long, value_name = "SCENARIO")]
    only: Vec<String>,
    /// Only these servers (repeatable)
    #[arg(long, value_name = "SERVER", value_enum)]
    server: Vec<Kind>,
    /// Rounds of each scenario on each server
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// A little of everything, to see that it works; the figures mean nothing
    #[arg(long, conflicts_with = "docs")]
    quick: bool,
    #[command(flatten)]
    outputs: Outputs,
    /// Measure this poll-server instead of building one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Compare with this other poll-server only: rounds alternate, and the ratio of the two is printed
    #[arg(long, value_name = "PATH", requires = "binary", conflicts_with_all = ["server", "docs"])]
    against: Option<PathBuf>,
}

impl Comparison {
    pub(crate) fn run(&self) -> Result<()> {
        let size = self.size();
        let servers = size.of(&[Kind::Poll, Kind::Nchan][..], &[Kind::Poll]);
        self.show(&self.measure(scenario::compared(size), servers, Subject::Deliveries)?)
    }

    /// Measures publishing to disk instead.
    pub(crate) fn run_durable(&self) -> Result<()> {
        let size = self.size();
        let servers = size.of(&[Kind::Poll, Kind::Electric][..], &[Kind::Poll]);
        self.show(&self.measure(scenario::durable(size), servers, Subject::Durable)?)
    }

    fn show(&self, run: &Run) -> Result<()> {
        if self.against.is_some() {
            report::print_versus(run, BUILDS[0], BUILDS[1]);
        } else if !self.quick {
            report::write(run, &self.outputs)?;
        }
        verdict(run)
    }

    /// Measures growth instead.
    pub(crate) fn run_growth(&self) -> Result<()> {
        let run = self.measure(scenario::growing(self.size()), &[Kind::Poll], Subject::Deliveries)?;
        println!("{}", report::tables(&run));
        verdict(&run)
    }

    fn size(&self) -> Size {
        if self.quick { Size::Quick } else { Size::Full }
    }

    fn measure(&self, scenarios: Vec<Scenario>, servers: &[Kind], subject: Subject) -> Result<Run> {
        let scenarios = self.chosen(scenarios)?;
        let peers = self.peers(servers)?;
        if scenarios.iter().any(|scenario| scenario.needs.store == Store::Redis) {
            peers::redis::ensure()?;
        }
        namespace::enter()?;
        let rounds = self.rounds.unwrap_or(self.size().of(ROUNDS, 1));
        measure(&scenarios, &peers, rounds, subject, |run| self.outputs.keep(run))
    }

    fn chosen(&self, all: Vec<Scenario>) -> Result<Vec<Scenario>> {
        let is_id = |part: &String| all.iter().any(|scenario| scenario.id == *part);
        let (ids, parts): (Vec<&String>, Vec<&String>) = self.only.iter().partition(|part| is_id(part));
        let begins = |scenario: &Scenario, part: &String| scenario.id.starts_with(part);
        if let Some(unknown) = parts.iter().find(|part| !all.iter().any(|scenario| begins(scenario, part))) {
            let ids: Vec<&str> = all.iter().map(|scenario| &*scenario.id).collect();
            bail!("there is no scenario `{unknown}`; there are {}", ids.join(", "));
        }
        let is_chosen = |scenario: &Scenario| {
            ids.contains(&&scenario.id) || parts.iter().any(|part| begins(scenario, part))
        };
        Ok(all.into_iter().filter(|scenario| self.only.is_empty() || is_chosen(scenario)).collect())
    }

    fn peers(&self, servers: &[Kind]) -> Result<Vec<Peer>> {
        if self.against.is_some() {
            let builds = [(BUILDS[0], &self.binary), (BUILDS[1], &self.against)];
            return builds.into_iter().map(|(name, path)| peers::ours(name, path.as_deref())).collect();
        }
        let kinds = if self.server.is_empty() { servers } else { &self.server };
        let prepared = kinds.iter().map(|&kind| peers::prepare(kind, self.binary.as_deref()));
        Ok(prepared.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }
}

/// Fails if a row is void.
fn verdict(run: &Run) -> Result<()> {
    let void = run.rows.iter().filter(|row| row.void.is_some()).count();
    ensure!(void == 0, "of {} rows {void} are void", run.rows.len());
    eprintln!("nothing lost, repeated or out of order in {} rows", run.rows.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_is_of_a_scenario_that_is_measured() {
        let all =
            [scenario::compared(Size::Full), scenario::growing(Size::Full), scenario::durable(Size::Full)];
        for id in report::bounded() {
            assert!(all.iter().flatten().any(|scenario| scenario.id == id), "{id}");
        }
    }
}
