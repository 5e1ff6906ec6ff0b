//! Long polls with timeouts of tens of milliseconds. The edge is the server's timeout.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::time::Instant;

use crate::http1::Connection;
use crate::line::parse_poll;
use crate::place::Place;

/// The timeout, in tenths of a millisecond.
const WAIT: std::ops::Range<u64> = 500..800;

pub(crate) struct Long {
    address: SocketAddr,
    connection: Option<Connection>,
}

impl Long {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
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
        let target = format!("/api/longpoll?{}&timeout={}", place.query(), Place::timeout(wait));
        connection.ask("GET", &target, &[], "").await?;
        let answer = connection.answer().await?;
        answer.head.expect(200)?;
        let (messages, cursor) = parse_poll(&answer.body)?;
        if messages.is_empty() {
            place.aim.ended(deadline, Instant::now());
        } else {
            place.aim.caught(deadline, Instant::now());
        }
        for message in messages {
            place.saw(message.seq, message.token);
        }
        place.cursor = Some(cursor);
        Ok(())
    }
}
