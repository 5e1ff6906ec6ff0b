//! `cargo xtask torture drain`: SIGTERM under full load, again and again, and nobody may notice more than was said.
//!
//! Clients of every kind ask as fast as they are answered. Every request that reached the server has to be answered,
//! with 200 or 503; a connection ends by a clean close behind an answer that said so, by GOAWAY, or while nothing was
//! asked. Whoever connects too late is refused by the kernel, which is no request.

mod clients;

use std::cell::RefCell;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinSet;

use self::clients::Kind;
use super::ground::{Ground, block_on};
use xtask::server::{Keyboard, Server};

/// Nothing but the drain is to cut anybody.
const FLAGS: &[&str] =
    &["--max-per-address=0", "--max-sockets-per-address=0", "--max-per-channel=0", "--drain-seconds=20"];
/// How long a server may take to end: its own time, and a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

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
    ground: Ground,
}

/// What became of requests and connections.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    answered: u64,
    /// Of them, with something else than 200, 201 or 503.
    unexpected: u64,
    /// Requests whose answer never came.
    unanswered: u64,
    /// Connections that were reset.
    resets: u64,
}

/// Shared by all clients of a round, on one thread.
type Shared = Rc<RefCell<Tally>>;

impl Drain {
    pub(super) fn short(ground: Ground) -> Self {
        Self { rounds: 3, clients: 8, ground }
    }

    pub(super) fn run(&self) -> Result<()> {
        let (binary, seed) = (self.ground.binary()?, self.ground.seed());
        println!(
            "torture drain: {} drains under {} clients of each of {} kinds, --seed {seed}",
            self.rounds,
            self.clients,
            Kind::ALL.len()
        );
        let mut random = StdRng::seed_from_u64(seed);
        let mut all = Tally::default();
        for _ in 0..self.rounds {
            let server = Server::start(&binary, FLAGS, Keyboard::Shared)?;
            // Not always at the same point of their rounds.
            let enough = self.clients * random.random_range(20..60);
            let tally = block_on(self.load(&server, enough))?;
            server.wait(PATIENCE)?;
            all += tally;
        }
        println!("{all}");
        ensure!(all.answered > 0, "nothing was asked");
        ensure!(all.resets + all.unanswered + all.unexpected == 0, "a drain was noticed");
        Ok(())
    }

    /// Asks until the server has gone; asks it to go after so many answers.
    async fn load(&self, server: &Server, enough: u64) -> Result<Tally> {
        let (address, shared) = (server.address(), Shared::default());
        let mut clients = self.spawn(address, &shared);
        while shared.borrow().answered < enough {
            tokio::task::yield_now().await;
        }
        server.terminate()?;
        while let Some(ended) = clients.join_next().await {
            ended??;
        }
        Ok(*shared.borrow())
    }

    fn spawn(&self, address: SocketAddr, shared: &Shared) -> JoinSet<Result<()>> {
        let mut clients = JoinSet::new();
        for kind in Kind::ALL {
            for number in 0..self.clients {
                clients.spawn_local(clients::ask(kind, number, address, Rc::clone(shared)));
            }
        }
        clients
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.answered += other.answered;
        self.unexpected += other.unexpected;
        self.unanswered += other.unanswered;
        self.resets += other.resets;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { answered, unexpected, unanswered, resets } = self;
        write!(
            f,
            "{answered} answered, {unanswered} unanswered, {resets} resets, {unexpected} with a status that nobody expects"
        )
    }
}
