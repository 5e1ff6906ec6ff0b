//! `cargo xtask torture drain`: SIGTERM under full load, again and again, and no client may lose a request.
//!
//! Clients of every kind ask as fast as they are answered. Every request that reached the server has to be answered,
//! with 200, 201 or 503; a connection ends cleanly behind an answer that said so, by GOAWAY, or while nothing was asked.
//! A client that connects too late is refused by the kernel, and has made no request.

mod counts;
mod http1;
mod http2;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, ValueEnum as _};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinSet;

use self::counts::Counts;
use self::http1::Kind;
use crate::fixture::{Fixture, ONE_ADDRESS, block_on, name};
use crate::tally::Tally;
use xtask::server::{Keyboard, Server};

/// Nothing but the drain is to cut anybody.
const FLAGS: [&str; 4] = [ONE_ADDRESS[0], ONE_ADDRESS[1], "--max-per-channel=0", "--drain-seconds=20"];
/// How long a server may take to end: its own time, and a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);
const COLUMNS: &[&str] = &["answered", "unanswered", "resets", "unexpected"];

/// The course's arguments.
#[derive(Args)]
pub(super) struct Drain {
    /// Servers that are drained one after the other
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Clients of each kind
    #[arg(long, default_value_t = 30, value_name = "N")]
    clients: u64,
    #[command(flatten)]
    fixture: Fixture,
}

impl Drain {
    pub(super) fn short(fixture: Fixture) -> Self {
        Self { rounds: 3, clients: 8, fixture }
    }

    pub(super) fn run(&self) -> Result<()> {
        let ((binary, _certificate), seed) = (self.fixture.secured_binary()?, self.fixture.seed());
        println!(
            "torture drain: {} drains under {} clients of each kind{}, --seed {seed}",
            self.rounds,
            self.clients,
            self.fixture.security()
        );
        let mut random = StdRng::seed_from_u64(seed);
        let mut all = Tally::new("clients", COLUMNS, 3);
        for _ in 0..self.rounds {
            let server = Server::start(&binary, &FLAGS, Keyboard::Shared)?;
            // Not always at the same point of their rounds.
            let enough = self.clients * random.random_range(20..60);
            all.join(block_on(self.load(&server, enough))?);
            server.wait(PATIENCE)?;
        }
        println!("{all}");
        all.verdict("answered")
    }

    /// Asks until the server has gone; asks it to go after so many answers.
    async fn load(&self, server: &Server, enough: u64) -> Result<Tally> {
        let address = server.address();
        let tally = Rc::new(RefCell::new(Tally::new("clients", COLUMNS, 3)));
        let of = |row: &str| Counts { tally: Rc::clone(&tally), row: row.to_owned() };
        let mut clients = JoinSet::new();
        for number in 0..self.clients {
            for &kind in Kind::value_variants() {
                clients.spawn_local(http1::ask(kind, number, address, of(&name(&kind))));
            }
            clients.spawn_local(http2::ask(address, of("http2")));
        }
        while tally.borrow().sum("answered") < enough {
            tokio::task::yield_now().await;
        }
        server.terminate()?;
        while let Some(ended) = clients.join_next().await {
            ended??;
        }
        Ok(tally.take())
    }
}
