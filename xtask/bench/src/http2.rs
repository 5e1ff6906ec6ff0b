//! The load over HTTP/2: many long polls on few connections, by prior knowledge (RFC 9113, section 3.3).
//!
//! Written on sockets and bytes, because a client library takes more memory and processor time for a million streams
//! than the server that is measured. What the server speaks beyond long polls is no business of this load.

mod connection;
mod control;
mod crowd;
mod frame;
mod head;
mod message;
#[cfg(test)]
mod pretend;
mod waiters;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

pub(super) use self::crowd::{Crowd, Shape};
pub(super) use self::waiters::{Again, Tally};
use super::figures::{Latency, Round};
use super::load::Waits;
use super::meter::{Cpu, resident};

/// How long waiters should be left alone before the server's memory is read: what it freed while they came goes back to the
/// system by then.
pub(super) const SETTLE: Duration = Duration::from_secs(2);

/// The server that is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ground<'a> {
    pub(super) address: SocketAddr,
    /// All its processes.
    pub(super) processes: &'a [u32],
    pub(super) waits: Waits,
}

impl Shape {
    /// What a server has to be told so that it takes so many from one client.
    pub(super) fn arguments(self) -> Vec<String> {
        let limits = ["--max-connections", "0", "--max-per-channel", "0", "--max-per-address", "0"];
        let mut arguments: Vec<String> = limits.map(str::to_owned).into();
        arguments.extend(["--max-streams-per-connection".to_owned(), self.streams().to_string()]);
        arguments
    }
}

/// Waiters of one channel are given so many messages one after another; each asks again at once, and the next message
/// is published when all wait again.
pub(super) fn fan_out(ground: Ground<'_>, shape: Shape, publishes: u32) -> Result<Round> {
    let mut crowd = Crowd::gather(ground.address, shape, Again::AtOnce, ground.waits)?;
    crowd.ask();
    crowd.park(|_| {})?;
    let (busy, cpu, wall) = (crowd.busy(), Cpu::of(ground.processes)?, Instant::now());
    for _ in 0..publishes {
        crowd.publish(|_| Ok(()))?;
        crowd.park(|_| {})?;
    }
    let (cpu, busy) = (Cpu::of(ground.processes)?.since(cpu), crowd.busy().saturating_sub(busy));
    crowd.tally.clean()?;
    Ok(Round {
        operations: crowd.tally.delivered,
        cpu: cpu.total,
        user: cpu.user,
        load: u64::try_from(busy.as_nanos())?,
        wall: u64::try_from(wall.elapsed().as_nanos())?,
        latency: Some(crowd.tally.latency()),
        resident: None,
    })
}

/// Waiters wait for a while; what they add to the resident memory is the figure. The server must be fresh: memory that it has kept
/// from others would hide theirs.
pub(super) fn idle(ground: Ground<'_>, shape: Shape, settle: Duration) -> Result<Round> {
    let before = resident(ground.processes)?;
    let wall = Instant::now();
    let mut crowd = Crowd::gather(ground.address, shape, Again::AtOnce, ground.waits)?;
    crowd.ask();
    crowd.park(|_| {})?;
    crowd.rest(settle)?;
    crowd.park(|_| {})?;
    crowd.tally.clean()?;
    Ok(Round {
        operations: shape.waiters as u64,
        wall: u64::try_from(wall.elapsed().as_nanos())?,
        resident: Some(resident(ground.processes)?.saturating_sub(before)),
        ..Round::default()
    })
}

impl Tally {
    /// Fails if a waiter lost a message or got one twice.
    pub(super) fn clean(&self) -> Result<()> {
        ensure!(self.lost == 0 && self.doubled == 0, "{} lost, {} doubled", self.lost, self.doubled);
        Ok(())
    }

    pub(super) fn latency(&self) -> Latency {
        let at = |quantile| self.latency.value_at_quantile(quantile);
        Latency { median: at(0.5), p99: at(0.99) }
    }
}
