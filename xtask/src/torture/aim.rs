//! When a wait ends and when to shoot at it.
//!
//! A server may end a wait a little after the time it was asked for, since its timers have a resolution. So half of the
//! shots go at the time asked for, and half at the time when waits were seen to end.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::Instant;

/// The window around an edge, in microseconds.
const BEFORE: u64 = 2_000;
const AFTER: u64 = 3_000;

/// The moment at which a question is about to end, and which question it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    /// Counted from 1 within a lane; 0 before the first.
    pub(super) question: u64,
    pub(super) at: Instant,
}

/// Draws moments; one for each side of a lane.
pub(super) struct Aim {
    random: StdRng,
    /// Mean time by which waits were seen to end late.
    lateness: Duration,
}

impl Aim {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), lateness: Duration::ZERO }
    }

    /// How long to wait: somewhere in the range, to the tenth of a millisecond.
    pub(super) fn wait(&mut self, tenths_of_ms: std::ops::Range<u64>) -> Duration {
        Duration::from_micros(100 * self.random.random_range(tenths_of_ms))
    }

    /// Even or odd.
    pub(super) fn coin(&mut self) -> bool {
        self.random.random()
    }

    /// Where the edge of a wait that was asked to end at `deadline` is expected.
    pub(super) fn edge(&mut self, deadline: Instant) -> Instant {
        if self.coin() { deadline } else { deadline + self.lateness }
    }

    /// Learns from a wait that ended by itself.
    pub(super) fn ended(&mut self, deadline: Instant, now: Instant) {
        // A moving mean over about eight waits; one slow moment of the machine does not spoil it.
        self.lateness = (self.lateness * 7 + now.saturating_duration_since(deadline)) / 8;
    }

    /// When to shoot at an edge: evenly spread over the window around it.
    pub(super) fn shot(&mut self, edge: Instant) -> Instant {
        let offset = Duration::from_micros(self.random.random_range(0..=BEFORE + AFTER));
        edge.checked_sub(Duration::from_micros(BEFORE)).unwrap_or(edge) + offset
    }
}

/// Whether a shot that left at `shot` was within the window around the edge.
pub(super) fn in_window(edge: Instant, shot: Instant) -> bool {
    shot + Duration::from_micros(BEFORE) >= edge && shot <= edge + Duration::from_micros(AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shot_is_within_the_window() {
        let mut aim = Aim::new(1);
        let edge = Instant::now() + Duration::from_secs(1);
        assert!((0..1000).all(|_| in_window(edge, aim.shot(edge))));
        assert!(!in_window(edge, edge + Duration::from_millis(4)));
        assert!(!in_window(edge, edge - Duration::from_millis(3)));
    }

    #[test]
    fn edges_move_to_where_waits_really_end() {
        let mut aim = Aim::new(1);
        let deadline = Instant::now() + Duration::from_secs(1);
        for _ in 0..100 {
            aim.ended(deadline, deadline + Duration::from_millis(8));
        }
        let late = (0..100).filter(|_| aim.edge(deadline) > deadline + Duration::from_millis(7)).count();
        assert!((20..80).contains(&late), "{late}");
    }
}
