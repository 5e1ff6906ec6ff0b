//! The comparison: every scenario on every server, or on two builds of ours.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::Args;

use crate::cores::Share;
use crate::endpoints::Mode;
use crate::load::Repeat;
use crate::peer::Peer;
use crate::peers::{self, Kind};
use crate::report::{self, Outputs};
use crate::results::Run;
use crate::rounds::{Order, measure};
use crate::scenario::{
    Scenario, channels, fan_out, http2_fan_out, http2_idle, idle, publish, short, streams,
};
use crate::target::{Needs, Room, Shape, Size, Store};
use crate::workload::http2::SETTLE;
use crate::workload::stopwatch::LOOK;
use crate::workload::streams::Pace;
use crate::{growth, namespace};

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
        let run = self.measure(scenarios(size), size.of(&[Kind::Poll, Kind::Nchan], &[Kind::Poll]))?;
        if self.against.is_some() {
            report::print_versus(&run, BUILDS[0], BUILDS[1]);
        } else if !self.quick {
            report::write(&run, &self.outputs)?;
        }
        verdict(&run)
    }

    /// Measures growth instead.
    pub(crate) fn run_growth(&self) -> Result<()> {
        let run = self.measure(growth::scenarios(self.size()), &[Kind::Poll])?;
        println!("{}", report::tables(&run));
        verdict(&run)
    }

    fn size(&self) -> Size {
        if self.quick { Size::Quick } else { Size::Full }
    }

    fn measure(&self, scenarios: Vec<Scenario>, servers: &[Kind]) -> Result<Run> {
        let scenarios = self.chosen(scenarios)?;
        let peers = self.peers(servers)?;
        namespace::enter()?;
        let rounds = self.rounds.unwrap_or(self.size().of(ROUNDS, 1));
        // Builds of one server differ by so little that who goes first matters.
        let order = if self.against.is_some() { Order::Alternating } else { Order::Fixed };
        measure(&scenarios, &peers, rounds, order, |run| self.outputs.keep(run))
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

/// All scenarios, in the order of the table. In full size each round does about a hundred thousand operations or more.
fn scenarios(size: Size) -> Vec<Scenario> {
    let fan_out = |waiters, publishes| fan_out(size.of(waiters, 100), size.of(publishes, 5));
    let workers =
        |workers, share, words| fan_out(10_000, 12).with(Needs { workers, share, ..Needs::PLAIN }, words);
    let streams =
        |mode, readers, messages, pace| streams(mode, size.of(readers, 100), size.of(messages, 10), pace);
    let full_speed = Pace::Window(4);
    let paced = Pace::Every(Duration::from_millis(size.of(50, 10)));
    let short = |repeat| short(repeat, 64, size.of(100_000, 2_000));
    let disk = Needs { store: Store::Disk, ..Needs::PLAIN };
    let http2 = |waiters, connections| {
        let shape = Shape { waiters, connections };
        (shape, Needs { room: Room::Streams(shape), ..Needs::PLAIN })
    };
    let (many, many_needs) = size.of(http2(10_000, 20), http2(100, 2));
    let (idling, idling_needs) = size.of(http2(100_000, 100), http2(200, 2));
    vec![
        fan_out(1_000, 100).named("fanout-1000"),
        fan_out(10_000, 12).named("fanout-10000"),
        fan_out(15_000, 8).named("fanout-15000"),
        workers(2, Share::Apart, ", two workers").named("fanout-two-workers"),
        workers(1, Share::Both, ", one worker on two cores").named("fanout-one-on-both"),
        workers(2, Share::Both, ", two workers on two cores").named("fanout-two-on-both"),
        channels(size.of(1_000, 100), size.of(50_000, 500)).named("channels"),
        streams(Mode::Stream, 1_000, 200, full_speed).named("stream-1000"),
        streams(Mode::Stream, 10_000, 20, full_speed).named("stream-10000"),
        streams(Mode::Events, 1_000, 200, full_speed).named("sse-1000"),
        streams(Mode::Events, 10_000, 20, full_speed).named("sse-10000"),
        streams(Mode::Stream, 1_000, 100, paced).named("stream-paced"),
        short(Repeat::News).named("short-304"),
        short(Repeat::All).named("short-one"),
        publish(size.of(50_000, 500)).named("publish-memory"),
        publish(size.of(20_000, 500)).with(disk, ", to disk").named("publish-disk"),
        idle(size.of(15_000, 200)).named("idle"),
        http2_fan_out(many, size.of(12, 5)).with(many_needs, "").named("http2-fanout"),
        http2_idle(idling, size.of(SETTLE, LOOK)).with(idling_needs, "").named("http2-idle"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_is_of_a_scenario_that_is_measured() {
        let (own, growth) = (scenarios(Size::Full), growth::scenarios(Size::Full));
        for id in report::bounded() {
            assert!(own.iter().chain(&growth).any(|scenario| scenario.id == id), "{id}");
        }
    }
}
