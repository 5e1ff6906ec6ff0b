//! The comparison: every scenario on every server, round by round in turn, each round on a fresh server.
//!
//! Servers take turns within a scenario, so that what else happens on the machine meets them alike. A round that fails
//! or loses something makes its row void, with the reason, and the others go on. All rounds are kept.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use clap::Args;

use super::cores::Cores;
use super::figures::{Round, Row, Run};
use super::load::Waits;
use super::machine;
use super::namespace;
use super::peer::{Given, Kind, Peer};
use super::report::{self, Outputs};
use super::scenario::{Scenario, Size, Workers};
use super::versus;
use xtask::server::Binary;

/// Rounds of each, unless said otherwise: the ratio of a round is within some percent of the next one's.
const ROUNDS: u32 = 9;

/// The course's arguments.
#[derive(Args, Default)]
pub(super) struct Comparison {
    /// Only these scenarios (repeatable); a wrong name lists them all
    #[arg(long, value_name = "SCENARIO")]
    only: Vec<String>,
    /// Only these servers (repeatable)
    #[arg(long, value_name = "SERVER", value_enum)]
    server: Vec<Kind>,
    /// Rounds of each scenario on each server
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// A little of everything, to see that it works; the figures mean nothing
    #[arg(long, conflicts_with = "readme")]
    pub(super) quick: bool,
    #[command(flatten)]
    outputs: Outputs,
    /// Measure this poll-server instead of building one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Compare only with this other poll-server: rounds alternate, and what is printed is the ratio of the two
    #[arg(long, value_name = "PATH", requires = "binary", conflicts_with_all = ["server", "readme"])]
    against: Option<PathBuf>,
    /// The folder of golongpoll's source, to measure it too
    #[arg(long, value_name = "DIR")]
    golongpoll_source: Option<PathBuf>,
    #[arg(skip)]
    built: Option<Binary>,
}

/// A row in the making, and who fills it.
struct Lane<'a> {
    peer: &'a Peer,
    row: Row,
}

impl Comparison {
    pub(super) fn run(&self) -> Result<()> {
        let size = if self.quick { Size::Quick } else { Size::Full };
        let scenarios = self.scenarios(size)?;
        let peers = self.peers(size)?;
        ensure!(!peers.is_empty(), "there is no server to measure");
        namespace::enter()?;
        let cores = Cores::find()?;
        machine::raise_file_limit()?;
        let mut run = Run {
            date: machine::today(),
            commit: machine::commit(),
            machine: machine::describe()?,
            rows: Vec::new(),
        };
        let rounds = self.rounds.unwrap_or(if size == Size::Quick { 1 } else { ROUNDS });
        let lanes = |scenario| peers.iter().filter_map(move |peer| Lane::new(peer, scenario));
        let mut courses: Vec<(&Scenario, Vec<Lane<'_>>)> =
            scenarios.iter().map(|scenario| (scenario, lanes(scenario).collect())).collect();
        // All of a round, before any of the next: scenarios are compared with each other as well.
        for round in 1..=rounds {
            for (number, (scenario, lanes)) in courses.iter_mut().enumerate() {
                let (number, of) = (number + 1, scenarios.len());
                eprintln!("round {round}/{rounds} [{number}/{of}] {} ({})", scenario.words(), scenario.id);
                // Two builds of one server differ by so little that who goes first must take turns: A, B, B, A.
                let turned = self.against.is_some() && round.is_multiple_of(2);
                if turned {
                    lanes.reverse();
                }
                for lane in &mut *lanes {
                    lane.go(scenario, &cores)?;
                    eprintln!("  {}", lane.say());
                }
                if turned {
                    lanes.reverse();
                }
            }
            run.rows = courses.iter().flat_map(|(_, lanes)| lanes).map(|lane| lane.row.clone()).collect();
            // After each round, so that an interrupted run is not lost.
            self.outputs.keep(&run)?;
        }
        report::write(&run, &self.outputs)?;
        if self.against.is_some() {
            println!("\n{}", versus::render(&run));
        }
        let void = run.rows.iter().filter(|row| row.void.is_some()).count();
        ensure!(void == 0, "of {} rows {void} are void", run.rows.len());
        Ok(())
    }

    fn scenarios(&self, size: Size) -> Result<Vec<Scenario>> {
        let all = Scenario::all(size);
        let known = |id: &&String| all.iter().any(|scenario| scenario.id == **id);
        if let Some(unknown) = self.only.iter().find(|id| !known(id)) {
            let ids: Vec<&str> = all.iter().map(|scenario| scenario.id).collect();
            bail!("there is no scenario `{unknown}`; there are {}", ids.join(", "));
        }
        let wanted =
            |scenario: &Scenario| self.only.is_empty() || self.only.iter().any(|id| id == scenario.id);
        Ok(all.into_iter().filter(wanted).collect())
    }

    fn peers(&self, size: Size) -> Result<Vec<Peer>> {
        let given = Given {
            built: self.built.clone(),
            binary: self.binary.clone(),
            golongpoll: self.golongpoll_source.clone(),
        };
        if let Some(against) = &self.against {
            return Peer::two_of_ours(&given, against);
        }
        let kinds = match (&*self.server, size) {
            ([], Size::Quick) => vec![Kind::Poll, Kind::Floor],
            ([], Size::Full) if given.golongpoll.is_none() => vec![Kind::Poll, Kind::Nchan, Kind::Floor],
            ([], Size::Full) => vec![Kind::Poll, Kind::Nchan, Kind::Golongpoll, Kind::Floor],
            (named, _) => named.to_vec(),
        };
        let prepared = kinds.iter().map(|kind| kind.prepare(&given));
        Ok(prepared.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }
}

impl<'a> Lane<'a> {
    /// None if this server cannot do the scenario.
    fn new(peer: &'a Peer, scenario: &Scenario) -> Option<Self> {
        let row = Row {
            id: scenario.id.to_owned(),
            scenario: scenario.words(),
            operation: scenario.course.operation().to_owned(),
            server: peer.name().to_owned(),
            settings: peer.settings(scenario)?,
            rounds: Vec::new(),
            void: None,
        };
        Some(Self { peer, row })
    }

    /// One round, unless the row is void already.
    fn go(&mut self, scenario: &Scenario, cores: &Cores) -> Result<()> {
        if self.row.void.is_some() {
            return Ok(());
        }
        match round(self.peer, scenario, cores) {
            Ok(round) => self.row.rounds.push(round),
            Err(error) => self.row.void = Some(machine::without_paths(&format!("{error:#}"))),
        }
        Ok(())
    }

    /// How the last round went.
    fn say(&self) -> String {
        let Row { server, void, rounds, .. } = &self.row;
        match (void, rounds.last()) {
            (Some(reason), _) => format!("{server:<10} VOID: {reason}"),
            (None, None) => format!("{server:<10} nothing"),
            (None, Some(round)) => {
                let one = Row { rounds: vec![round.clone()], ..self.row.clone() };
                line_of(&one)
            }
        }
    }
}

fn round(peer: &Peer, scenario: &Scenario, cores: &Cores) -> Result<Round> {
    let running = match scenario.needs.workers {
        Workers::One | Workers::Two => {
            let mut running = cores.start_apart(|| peer.start(scenario.needs))?;
            running.target.waits = Waits::Awake;
            running
        }
        Workers::OneOnBoth | Workers::TwoOnBoth => cores.start_on_both(|| peer.start(scenario.needs))?,
    };
    scenario.course.run(&running.target)
}

/// A row in one line.
pub(super) fn line_of(row: &Row) -> String {
    let figure = |name: &str, spread: Option<super::figures::Spread>, unit: &str| {
        spread.map_or_else(String::new, |spread| {
            let range = if row.rounds.len() > 1 {
                format!(" ({:.2}–{:.2})", spread.least, spread.most)
            } else {
                String::new()
            };
            format!("  {name} {:.2}{range} {unit}", spread.median)
        })
    };
    if let Some(reason) = &row.void {
        return format!("{:<20} {:<10} VOID: {reason}", row.id, row.server);
    }
    let wall = row.rounds.iter().map(|round| round.wall).max().unwrap_or_default() / 1_000_000;
    format!(
        "{:<20} {:<10}{}{}{}{}{}  {wall} ms",
        row.id,
        row.server,
        figure("server", row.cpu(), "µs"),
        figure("user", row.user(), "µs"),
        figure("load", row.load(), "µs"),
        figure("p99", row.p99(), "ms"),
        figure("resident", row.resident(), "B"),
    )
}
