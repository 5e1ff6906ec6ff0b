//! The channel dialect's clients: by the last message's id, or by its time. The edge is the server's timeout.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tokio::time::Instant;

use crate::http1::Connection;
use crate::line::token;
use crate::place::Place;

/// The timeout, in tenths of a millisecond.
const WAIT: std::ops::Range<u64> = 500..800;

/// What a client goes on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// The last message's id. The first question has none.
    Id,
    /// The answer's `timestamp`, and only `data` is read.
    Since,
}

pub(crate) struct Channel {
    address: SocketAddr,
    connection: Option<Connection>,
    by: By,
    last_message_id: Option<String>,
    since: f64,
}

impl Channel {
    pub(super) fn new(address: SocketAddr, by: By) -> Self {
        Self { address, connection: None, by, last_message_id: None, since: 0.0 }
    }

    pub(crate) fn hang_up(&mut self) {
        self.connection = None;
    }

    pub(crate) async fn ask(&mut self, place: &mut Place) -> Result<()> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(Connection::open(self.address).await?),
        };
        let wait = place.wait(WAIT);
        let deadline = Instant::now() + wait;
        place.announce(deadline);
        let position = match (&self.last_message_id, self.by) {
            (Some(id), By::Id) => format!("last_message_id={id}"),
            _ => format!("since={}", self.since),
        };
        let target = format!("/api/poll/{}?timeout={}&{position}", place.channel, Place::timeout(wait));
        connection.ask("GET", &target, &[], "").await?;
        let answer = connection.answer().await?;
        answer.head.expect(200)?;
        let value: Value = serde_json::from_slice(&answer.body).context("an answer is not JSON")?;
        match value["status"].as_str() {
            Some("timeout") => place.aim.ended(deadline, Instant::now()),
            Some("message" | "messages") => {
                place.aim.caught(deadline, Instant::now());
                self.take(&value, place)?;
            }
            _ => bail!("no client should be told `{value}`"),
        }
        // As a browser has it: a number, and back to the shortest text of that number.
        self.since = value["timestamp"].as_f64().context("an answer has no timestamp")?;
        Ok(())
    }

    fn take(&mut self, value: &Value, place: &mut Place) -> Result<()> {
        let one = std::slice::from_ref(&value["data"]);
        let given = match self.by {
            By::Since => one,
            By::Id => value["messages"].as_array().context("an answer has no messages")?,
        };
        for message in given {
            place.saw_unnumbered(token(message)?);
            self.last_message_id = Some(message["id"].as_str().context("a message has no id")?.to_owned());
        }
        Ok(())
    }
}
