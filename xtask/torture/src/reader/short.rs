//! Short polls, some milliseconds apart, half of them conditional. The edge is the moment of the question.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::time::{Instant, sleep_until};

use crate::http1::Connection;
use crate::line::parse_poll;
use crate::place::Place;

/// The pause before a question, in tenths of a millisecond: long enough for the publisher to aim.
const PAUSE: std::ops::Range<u64> = 50..150;

pub(crate) struct Short {
    address: SocketAddr,
    connection: Option<Connection>,
    /// The entity tag of the last answer, if the next question asks from the same position.
    etag: Option<String>,
}

impl Short {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, connection: None, etag: None }
    }

    pub(crate) fn hang_up(&mut self) {
        self.connection = None;
    }

    pub(crate) async fn ask(&mut self, place: &mut Place) -> Result<()> {
        let at = Instant::now() + place.aim.wait(PAUSE);
        place.announce(at);
        sleep_until(at).await;
        place.aim.ended(at, Instant::now());
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(Connection::open(self.address).await?),
        };
        let tag = self.etag.clone().filter(|_| place.aim.coin());
        let condition: Vec<(&str, &str)> = tag.iter().map(|tag| ("If-None-Match", tag.as_str())).collect();
        connection.ask("GET", &format!("/api/poll?{}", place.query()), &condition, "").await?;
        let answer = connection.answer().await?;
        if answer.head.status == 304 && tag.is_some() {
            return Ok(());
        }
        answer.head.expect(200)?;
        let (messages, cursor) = parse_poll(&answer.body)?;
        for message in messages {
            place.saw(message.seq, message.token);
        }
        self.etag = answer.head.etag.filter(|_| place.cursor.as_ref() == Some(&cursor));
        place.cursor = Some(cursor);
        Ok(())
    }
}
