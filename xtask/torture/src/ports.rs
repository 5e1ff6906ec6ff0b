//! Ports for programs that cannot be asked which one they took, or that must come back on the same one.

use std::net::{SocketAddr, TcpListener};

use anyhow::{Context as _, Result};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Ports that the system gives to nobody by itself, so that nobody takes ours while it is free.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Gives out free ports, none twice.
#[derive(Debug)]
pub(super) struct Ports {
    random: StdRng,
    given: Vec<u16>,
}

impl Ports {
    pub(super) fn new() -> Self {
        // Runs with the same seed may go on side by side.
        Self { random: StdRng::seed_from_u64(rand::random()), given: Vec::new() }
    }

    /// A port of the loopback interface that is free now.
    pub(super) fn next(&mut self) -> Result<SocketAddr> {
        let Self { random, given } = self;
        let is_free = |port: &u16| !given.contains(port) && TcpListener::bind(("127.0.0.1", *port)).is_ok();
        let port = (0..200).map(|_| random.random_range(PORTS)).find(is_free).context("no free port")?;
        given.push(port);
        Ok(SocketAddr::from(([127, 0, 0, 1], port)))
    }
}
