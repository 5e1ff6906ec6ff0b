//! Deals the edges of one reader to the publishers of its channels.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::publisher::Stop;

pub(super) struct Dealer {
    edges: watch::Receiver<Instant>,
    hands: Vec<watch::Sender<Instant>>,
    stop: Stop,
    stopped: watch::Sender<bool>,
    random: StdRng,
}

impl Dealer {
    /// For so many publishers: what tells them to stop, and each one's edges.
    pub(super) fn new(
        edges: watch::Receiver<Instant>,
        publishers: usize,
        stop: Stop,
        seed: u64,
    ) -> (Self, watch::Receiver<bool>, Vec<watch::Receiver<Instant>>) {
        let (hands, held) = (0..publishers).map(|_| watch::channel(Instant::now())).unzip();
        let (stopped, told) = watch::channel(false);
        (Self { edges, hands, stop, stopped, random: StdRng::seed_from_u64(seed) }, told, held)
    }

    /// Until the reader has gone. Once it is time to stop, everybody is dealt the next edges, since who waits for one
    /// does not notice.
    pub(super) async fn run(mut self) {
        let mut dealt = 0;
        while self.edges.changed().await.is_ok() {
            let edge = *self.edges.borrow_and_update();
            if self.stop.is_reached(dealt) {
                self.stopped.send_replace(true);
                for hand in &self.hands {
                    hand.send_replace(edge);
                }
                continue;
            }
            dealt += 1;
            for _ in 0..self.random.random_range(1..=2) {
                let hand = self.random.random_range(0..self.hands.len());
                self.hands[hand].send_replace(edge);
            }
        }
    }
}
