//! The publisher of a lane: one message at each edge that the reader announces.
//!
//! A publish is done when the server has acknowledged it; what it acknowledged is what the reader must see.

use anyhow::{Context as _, Result, ensure};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::aim::{Aim, decide_by};
use crate::client::Client;

/// When to stop publishing.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stop {
    /// After so many publishes.
    After(u64),
    At(Instant),
}

impl Stop {
    fn is_reached(self, published: u64) -> bool {
        match self {
            Self::After(publishes) => published >= publishes,
            Self::At(time) => Instant::now() >= time,
        }
    }
}

/// Publishes 1, 2, 3 and so on until it is time to stop; gives when each publish left.
pub(super) async fn run(
    client: &mut Client,
    channel: &str,
    stop: Stop,
    mut aim: Aim,
    mut edges: watch::Receiver<Instant>,
) -> Result<Vec<Instant>> {
    client.connect().await?;
    let mut shots = Vec::new();
    while !stop.is_reached(shots.len() as u64) {
        let edge = next_edge(&mut edges).await.context("the reader has gone")?;
        let left = aim.shoot(edge).await;
        let number = shots.len() as u64 + 1;
        let acknowledged = client.publish(channel, number.to_string()).await?.json(201)?;
        ensure!(acknowledged["id"] == number, "publish {number} was acknowledged as {acknowledged}");
        shots.push(left);
    }
    Ok(shots)
}

/// The edge of a question that is still open when it is time to aim. A question that was answered before has no edge
/// any more.
async fn next_edge(edges: &mut watch::Receiver<Instant>) -> Result<Instant, watch::error::RecvError> {
    edges.changed().await?;
    loop {
        let edge = *edges.borrow_and_update();
        match timeout_at(decide_by(edge), edges.changed()).await {
            Ok(changed) => changed?,
            Err(_) => return Ok(edge),
        }
    }
}
