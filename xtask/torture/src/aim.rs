//! When a wait ends, and when to publish at that edge.
//!
//! A wait ends a little after the time that was asked for, because the timers of both sides have a resolution. So half
//! of the shots are aimed at the time asked for, and half at the time at which waits were seen to end. Our own sleep
//! before a shot is late as well, and the next one starts earlier by as much.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::{Instant, sleep_until};

/// The window around an edge, in microseconds.
const BEFORE: u64 = 2_000;
const AFTER: u64 = 3_000;

/// How much later the next shot comes after one that was early enough, and the latest.
const STEP: Duration = Duration::from_micros(250);
const LATEST: Duration = Duration::from_millis(20);

/// Draws moments, one for each side of a lane.
pub(super) struct Aim {
    random: StdRng,
    /// Mean time by which waits were seen to end late.
    lateness: Duration,
    /// Mean time by which shots left late.
    overshoot: Duration,
}

impl Aim {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), lateness: Duration::ZERO, overshoot: Duration::ZERO }
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
        self.lateness = mean(self.lateness, now.saturating_duration_since(deadline));
    }

    /// Learns from a wait that a message ended: near the deadline the shot was only just early enough, and the next may
    /// be later. So shots creep towards the edge, and the ones that miss it move them back.
    fn caught(&mut self, deadline: Instant, now: Instant) {
        if now >= decide_by(deadline) && self.lateness < LATEST {
            self.lateness += STEP;
        }
    }

    /// Learns from a wait that gave so many messages.
    pub(super) fn learn(&mut self, deadline: Instant, given: usize) {
        let now = Instant::now();
        if given == 0 { self.ended(deadline, now) } else { self.caught(deadline, now) }
    }

    /// Sleeps until some moment of the window around an edge, and gives the time at which it woke.
    pub(super) async fn shoot(&mut self, edge: Instant) -> Instant {
        let shot = self.shot(edge);
        let wake = shot.checked_sub(self.overshoot).unwrap_or(shot);
        sleep_until(wake).await;
        let now = Instant::now();
        self.overshoot = mean(self.overshoot, now.saturating_duration_since(wake));
        now
    }

    fn shot(&mut self, edge: Instant) -> Instant {
        let offset = Duration::from_micros(self.random.random_range(0..=BEFORE + AFTER));
        edge.checked_sub(Duration::from_micros(BEFORE)).unwrap_or(edge) + offset
    }
}

/// A moving mean over about eight values.
fn mean(mean: Duration, value: Duration) -> Duration {
    (mean * 7 + value) / 8
}

/// The last moment at which a shot at an edge can be called off.
pub(super) fn decide_by(edge: Instant) -> Instant {
    let ahead = Duration::from_micros(BEFORE) + Duration::from_millis(2);
    edge.checked_sub(ahead).unwrap_or(edge)
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
