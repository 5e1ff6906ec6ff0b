//! Positions that only the server knows: where "now" is for a poll, and which of several channels a cursor belongs to.
//!
//! A stream of the channels says so in its first line, and is given up.

use std::fmt::Write;
use std::sync::Arc;

use poll_core::Cursor;

use super::lane::{Access, Asked, Lane, query};
use crate::channels::Begin;
use crate::client::Client;
use crate::error::Error;
use crate::exchange::Call;
use crate::message::Event;
use crate::ndjson::Lines;
use crate::source::Out;
use crate::stats::Stats;
use crate::wire::Line;

/// Which positions are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// A poll has no "now" of its own.
    Polls,
    Streams,
}

/// A question to be asked, and the tickets of its channels.
struct Question {
    target: String,
    tickets: Vec<u64>,
}

/// Finds the positions, one request for all channels that have a cursor in common.
pub(super) async fn find(
    client: &Client,
    stats: &Arc<Stats>,
    lanes: &mut [Lane],
    lookup: Lookup,
    out: &mut Out<Event>,
) -> Result<(), Error> {
    while let Some(question) = Question::of(lanes, lookup) {
        match question.ask(client, stats, lanes, out).await {
            // The others may still be read. Where there are none, the next request is refused as well.
            Err(error) if matches!(error.status(), Some(401 | 403)) && lanes.len() > 1 => {
                for lane in lanes.iter_mut().filter(|lane| question.names(lane)) {
                    lane.set_access(Access::Refused, out);
                }
            }
            done => done?,
        }
    }
    Ok(())
}

/// Whether a position is to be looked up, and with which cursor.
fn unknown(lane: &Lane, lookup: Lookup) -> Option<Option<Cursor>> {
    let open = lane.tracker.position().is_none() && lane.access == Access::Granted;
    match lane.tracker.begin() {
        Begin::Perhaps(cursor) if open => Some(Some(cursor)),
        Begin::Now if open && lookup == Lookup::Polls => Some(None),
        Begin::Perhaps(_) | Begin::Now | Begin::Oldest | Begin::After(_) => None,
    }
}

impl Question {
    fn of(lanes: &[Lane], lookup: Lookup) -> Option<Self> {
        let cursor = lanes.iter().find_map(|lane| unknown(lane, lookup))?;
        let alike = || lanes.iter().filter(|lane| unknown(lane, lookup) == Some(cursor));
        let mut target = query("/api/stream", alike());
        if let Some(cursor) = cursor {
            let _ = write!(target, "&cursor={cursor}");
        }
        Some(Self { target, tickets: alike().map(|lane| lane.ticket).collect() })
    }

    /// Reads the first line of the stream.
    async fn ask(
        &self,
        client: &Client,
        stats: &Arc<Stats>,
        lanes: &mut [Lane],
        out: &mut Out<Event>,
    ) -> Result<(), Error> {
        let settings = client.inner.settings;
        let call = Call::get(self.target.clone(), settings.answer_within);
        let mut answer = client.inner.ask(&call, stats, &[200]).await?;
        let mut lines = Lines::new(settings.max_answer_bytes);
        loop {
            let Some(piece) = answer.piece(settings.answer_within).await? else { return Err(Error::Cut) };
            lines.feed(&piece);
            while let Some(line) = lines.next_line()? {
                let line = Line::read(&line)?;
                if line.kind == "connected" {
                    return self.take(&line, lanes, out);
                }
            }
        }
    }

    fn take(&self, line: &Line<'_>, lanes: &mut [Lane], out: &mut Out<Event>) -> Result<(), Error> {
        let token = line.required_token()?;
        let asked = if self.tickets.len() == 1 { Asked::One } else { Asked::Several };
        for lane in lanes.iter_mut().filter(|lane| self.names(lane)) {
            lane.set_access(lane.access_in(&line.refused), out);
            if lane.access == Access::Granted {
                let cursor = lane.part_of(token, asked)?;
                lane.tracker.connected(cursor);
            }
        }
        Ok(())
    }

    fn names(&self, lane: &Lane) -> bool {
        self.tickets.contains(&lane.ticket)
    }
}
