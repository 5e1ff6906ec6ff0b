//! Streams of JSON lines that the reader leaves after tens of milliseconds. The edge is the moment it leaves.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::time::{Instant, timeout_at};

use crate::http1::Connection;
use crate::line::{Line, parse};
use crate::place::Place;

/// How long the reader stays, in tenths of a millisecond.
const STAY: std::ops::Range<u64> = 500..800;

pub(crate) struct Stream {
    address: SocketAddr,
}

impl Stream {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    pub(crate) async fn ask(&mut self, place: &mut Place) -> Result<()> {
        let leave = Instant::now() + place.wait(STAY);
        place.announce(leave);
        let mut connection = Connection::open(self.address).await?;
        connection.ask("GET", &format!("/api/stream?{}", place.query()), &[], "").await?;
        // Leaving in the middle of a line is what a broken network does; the line was not seen then.
        if let Ok(broken) = timeout_at(leave, follow(&mut connection, place)).await {
            return broken;
        }
        place.aim.ended(leave, Instant::now());
        Ok(())
    }
}

async fn follow(connection: &mut Connection, place: &mut Place) -> Result<()> {
    connection.head().await?.expect(200)?;
    loop {
        let chunk = connection.chunk().await?.context("the stream ended though its channel has not")?;
        let text = std::str::from_utf8(&chunk).context("a chunk is not text")?;
        ensure!(text.lines().count() == 1 && text.ends_with('\n'), "a chunk is not one line: {text:?}");
        match parse(text)? {
            Line::Standing { cursor } => place.cursor = Some(cursor),
            Line::Message(message) => {
                place.saw(message.seq, message.token);
                place.cursor = message.cursor;
            }
            Line::Announced { .. } => bail!("a stream does not push: {text:?}"),
        }
    }
}
