//! The chat dialect's client: everything after the last id it has. The edge is the server's own ten seconds.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio::time::Instant;

use crate::http1::Connection;
use crate::line::token;
use crate::place::Place;

/// How long the server waits; the dialect has no parameter for it.
const WAIT: Duration = Duration::from_secs(10);
/// The only channel.
pub(crate) const CHANNEL: &str = "messages";
/// An id before all others.
const FIRST: &str = "00000000-0000-0000-0000-000000000000";

pub(crate) struct Chat {
    address: SocketAddr,
    connection: Option<Connection>,
    after: String,
}

impl Chat {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, connection: None, after: FIRST.to_owned() }
    }

    pub(crate) fn hang_up(&mut self) {
        self.connection = None;
    }

    pub(crate) async fn ask(&mut self, place: &mut Place) -> Result<()> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(Connection::open(self.address).await?),
        };
        let deadline = Instant::now() + WAIT;
        place.announce(deadline);
        connection.ask("GET", &format!("/messages?after={}", self.after), &[], "").await?;
        let answer = connection.answer().await?;
        answer.head.expect(200)?;
        let messages: Vec<Value> =
            serde_json::from_slice(&answer.body).context("an answer is not a JSON array")?;
        if messages.is_empty() {
            place.aim.ended(deadline, Instant::now());
        } else {
            place.aim.caught(deadline, Instant::now());
        }
        for message in messages {
            place.saw_unnumbered(token(&message["body"])?);
            self.after = message["id"].as_str().context("a message has no id")?.to_owned();
        }
        Ok(())
    }
}
