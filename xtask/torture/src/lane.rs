//! A channel with one publisher, which aims at the edges of the first reader's waits.
//!
//! Readers who wait together are answered by the same message and ask again at once, so one shot is near the edge of
//! many.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::aim::{Aim, in_window};
use crate::checker::Log;
use crate::client::Client;
use crate::fixture::name;
use crate::follower::{Account, COLUMNS, follow};
use crate::pattern::Pattern;
use crate::position::Position;
use crate::shooter::{self, Stop};
use crate::tally::Tally;

/// By how many milliseconds clocks are wrong; one is ahead by more than any race takes.
const AHEAD: f64 = 24.0 * 3600.0 * 1000.0;
const BEHIND: f64 = -3500.0;

/// What to race.
pub(super) struct Lane {
    pub(super) address: SocketAddr,
    pub(super) pattern: Pattern,
    pub(super) channel: String,
    pub(super) readers: u64,
    pub(super) stop: Stop,
    pub(super) seed: u64,
}

/// A table of lanes, in which nothing may go wrong.
pub(super) fn tally() -> Tally {
    Tally::new("pattern", COLUMNS, 5)
}

/// Races lanes side by side.
pub(super) async fn race(lanes: impl IntoIterator<Item = Lane>) -> Result<Tally> {
    let (mut racing, mut all) = (JoinSet::new(), tally());
    lanes.into_iter().for_each(|lane| drop(racing.spawn_local(lane.run())));
    while let Some(lane) = racing.join_next().await {
        all.join(lane.context("a lane has panicked")??);
    }
    Ok(all)
}

impl Lane {
    async fn run(self) -> Result<Tally> {
        let (announce, edges) = watch::channel(Instant::now());
        let (end, ends) = watch::channel(None);
        let mut readers = JoinSet::new();
        for number in 0..self.readers {
            let seed = self.seed.wrapping_add(number);
            let mut position = Position::new(&self.channel, 1, seed);
            position.clock = Some(if seed.is_multiple_of(2) { AHEAD } else { BEHIND });
            if number == 0 {
                position = position.aimed_at(announce.clone());
            }
            readers.spawn_local(follow(self.pattern, self.address, position, ends.clone()));
        }
        drop(announce);
        let mut client = Client::new(self.address);
        let shots = shooter::run(&mut client, &self.channel, self.stop, Aim::new(!self.seed), edges).await;
        let shots = shots.with_context(|| format!("channel {}", self.channel))?;
        // A message's text is its number, so that a mix-up of payloads shows.
        let log: Log = (1..=shots.len()).map(|number| number.to_string()).collect();
        let last = log.last.iter().map(|last| (self.channel.clone(), last.clone()));
        end.send_replace(Some(Arc::new(last.collect::<HashMap<_, _>>())));
        let mut tally = tally();
        tally.add(&name(&self.pattern), [("published", log.length)]);
        for account in readers.join_all().await {
            tally.add(
                &name(&self.pattern),
                [("at edge", at_edge(&account, &shots)), ("caught", caught(&account, &shots))],
            );
            account.judge(&log, &mut tally);
        }
        Ok(tally)
    }
}

/// How many shots left within the window around the edge of a reader's question.
fn at_edge(account: &Account, shots: &[Instant]) -> u64 {
    let mut edges = account.edges.clone();
    edges.sort_unstable();
    let is_near = |shot: &&Instant| {
        let next = edges.partition_point(|edge| edge < shot);
        edges[next.saturating_sub(1)..].iter().take(2).any(|edge| in_window(*edge, **shot))
    };
    shots.iter().filter(is_near).count() as u64
}

/// How many messages were given by the very question at whose edge they were published.
fn caught(account: &Account, shots: &[Instant]) -> u64 {
    let shot = |token: &str| shots.get(token.parse::<usize>().ok()?.checked_sub(1)?);
    account
        .seen
        .iter()
        .filter(|seen| shot(&seen.token).is_some_and(|shot| in_window(seen.edge, *shot)))
        .count() as u64
}
