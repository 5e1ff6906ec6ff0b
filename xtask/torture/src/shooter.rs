//! The publishing side of a lane: one shot at each edge that the reader announces.
//!
//! A publish is done when the server has acknowledged it; what it acknowledged is what the reader must see.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::aim::{Aim, Edge, decide_by, in_window};
use super::http1::Connection;
use super::lane::Stop;

/// One acknowledged publish.
pub(super) struct Shot {
    /// The question at whose edge it was aimed.
    pub(super) question: u64,
    /// Whether it really left within the window around that edge.
    pub(super) in_window: bool,
    /// When it left.
    pub(super) at: Instant,
}

/// Shoots until it is time to stop; gives every acknowledged publish, the first being number 1.
pub(super) async fn run(
    address: SocketAddr,
    channel: &str,
    stop: Stop,
    mut aim: Aim,
    mut edges: watch::Receiver<Edge>,
) -> Result<Vec<Shot>> {
    let mut connection = Connection::open(address).await?;
    let target = format!("/api/message?channel={channel}");
    let mut shots = Vec::new();
    while !stop.is_reached(shots.len() as u64) {
        let edge = next_edge(&mut edges).await.context("the reader has gone")?;
        let left = aim.shoot(edge.at).await;
        let number = shots.len() as u64 + 1;
        connection.ask("POST", &target, &[("Content-Type", "text/plain")], &number.to_string()).await?;
        let answer = connection.answer().await?;
        answer.head.expect(201)?;
        let acknowledged: Value =
            serde_json::from_slice(&answer.body).context("an acknowledgement is not JSON")?;
        ensure!(acknowledged["id"] == number, "publish {number} was acknowledged as {acknowledged}");
        shots.push(Shot { question: edge.question, in_window: in_window(edge.at, left), at: left });
    }
    Ok(shots)
}

/// The edge of a question that is still being asked when it is time to aim. One that was answered before that has no
/// edge any more, and a shot at it would only fall somewhere into the next.
async fn next_edge(edges: &mut watch::Receiver<Edge>) -> Result<Edge, watch::error::RecvError> {
    edges.changed().await?;
    loop {
        let edge = *edges.borrow_and_update();
        match timeout_at(decide_by(edge.at), edges.changed()).await {
            Ok(changed) => changed?,
            Err(_) => return Ok(edge),
        }
    }
}
