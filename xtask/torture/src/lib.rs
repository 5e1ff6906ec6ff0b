//! `cargo xtask torture`: real servers, publishes at the worst moments, and checkers that prove that a client that
//! follows its rules sees every message once and in order.
//!
//! Nine courses, each a file above the words they share. By itself: publishes aimed at the edge of every wait of every
//! native pattern. `dialects`: the same under the rules of the other dialects' clients. `kills`: a durable server that is
//! killed at random moments. `damage`: files in which a byte was changed. `churn`: crowds that come and leave badly beside
//! honest clients. `drain`: SIGTERM under load. `hoard`: peers that make the server keep all they can.
//! `tls`: handshakes, sessions and records of every bad kind. `cluster`: several servers over one Redis, and all that breaks between them. In a race the
//! reader says when its wait will end, and the publisher shoots −2…+3 ms around that moment. `checker.rs` and
//! [`xtask::history`] judge, and know no HTTP.
//!
//! The population and its judge are public, because the simulation has the same ones.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool speaks on its own streams"
)]

mod aim;
pub mod checker;
mod churn;
mod client;
mod cluster;
mod damage;
mod dialects;
mod drain;
mod fixture;
pub mod follower;
mod hoard;
mod kills;
mod large;
mod lists;
mod metrics;
pub mod outside;
pub mod pattern;
mod payload;
pub mod population;
mod ports;
pub mod position;
pub mod publisher;
mod race;
mod reader;
pub mod route;
mod secured;
pub mod tally;
mod tls;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::steps::Steps;

use self::churn::Churn;
use self::cluster::Cluster;
use self::damage::Damage;
use self::dialects::Dialects;
use self::drain::Drain;
use self::hoard::Hoard;
use self::kills::Kills;
use self::lists::Lists;
use self::race::Race;
use self::tls::Tls;

/// Publish at the edge of every wait of a real server and prove that nothing is lost or doubled.
#[derive(Parser)]
#[command(
    name = "cargo xtask torture",
    bin_name = "cargo xtask torture",
    args_conflicts_with_subcommands = true
)]
struct Torture {
    #[command(subcommand)]
    course: Option<Course>,
    #[command(flatten)]
    race: Race,
}

#[derive(Subcommand)]
enum Course {
    /// Race the rules of golongpoll's, chat's and channel's clients
    Dialects(Dialects),
    /// Race readers of lists of channels
    Lists(Lists),
    /// Kill a durable server again and again, and prove that what it acknowledged is kept
    Kills(Kills),
    /// Change a byte of a store, and prove that nothing wrong is served and nothing is lost without a word
    Damage(Damage),
    /// Let crowds come and leave badly beside honest clients who must notice nothing
    Churn(Churn),
    /// Ask servers to end under full load, and prove that every request was answered
    Drain(Drain),
    /// Let peers make the server keep all they can, and prove that memory stays bounded
    Hoard(Hoard),
    /// Abuse TLS in every way beside honest clients, and race and kill over it
    Tls(Tls),
    /// Break what is between several servers and the Redis that they share, and Redis itself
    Cluster(Cluster),
}

impl Torture {
    fn run(&self) -> Result<()> {
        match &self.course {
            Some(Course::Dialects(dialects)) => dialects.run(),
            Some(Course::Lists(lists)) => lists.run(),
            Some(Course::Kills(kills)) => kills.run(),
            Some(Course::Damage(damage)) => damage.run(),
            Some(Course::Churn(churn)) => churn.run(),
            Some(Course::Drain(drain)) => drain.run(),
            Some(Course::Hoard(hoard)) => hoard.run(),
            Some(Course::Tls(tls)) => tls.run(),
            Some(Course::Cluster(cluster)) => cluster.run(),
            None if self.race.short => self.run_short(),
            None => self.race.run(),
        }
    }

    /// A little of each course.
    fn run_short(&self) -> Result<()> {
        let mut steps = Steps::default();
        let result = self.run_courses(&mut steps);
        eprintln!("\n{}", steps.summary());
        result
    }

    fn run_courses(&self, steps: &mut Steps) -> Result<()> {
        let fixture = &self.race.fixture;
        let secured = || fixture.clone().with_tls();
        steps.step("race", || self.race.run())?;
        steps.step("dialects", || Dialects::short(fixture.clone()).run())?;
        steps.step("lists", || Lists::short(fixture.clone()).run())?;
        steps.step("kills", || Kills::short(fixture.clone()).run())?;
        steps.step("damage", || Damage::short(fixture.clone()).run())?;
        steps.step("churn", || Churn::short(fixture.clone()).run())?;
        steps.step("drain", || Drain::short(fixture.clone()).run())?;
        steps.step("hoard", || Hoard::short(fixture.clone()).run())?;
        steps.step("tls", || Tls::short(fixture.clone()).run())?;
        steps.step("race over TLS", || self.race.over_tls().run())?;
        steps.step("kills over TLS", || Kills::short(secured()).run())?;
        steps.step("churn over TLS", || Churn::short(secured()).run())?;
        steps.step("drain over TLS", || Drain::short(secured()).run())?;
        steps.step("hoard over TLS", || Hoard::short(secured()).run())?;
        steps.step("cluster", || Cluster::short(fixture.clone()).run())
    }
}

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    match Torture::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
