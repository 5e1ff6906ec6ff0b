//! What every pattern needs: channels and a position in each, and how requests carry them and answers move them.
//!
//! One channel is asked for with its cursor, several with a compound token that is put together from theirs. So a
//! channel can be added or removed between two requests without touching the others.

mod lane;
mod lookup;

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use poll_core::{ChannelName, Cursor};

use self::lane::{Access, Asked, Lane, query};
use crate::channels::List;
use crate::client::Client;
use crate::error::Error;
use crate::message::Event;
use crate::position::{Returned, compound};
use crate::source::Out;
use crate::stats::Stats;
use crate::wire::{Gap, Line, PollAnswer};

pub(crate) use self::lookup::Lookup;

pub(crate) struct Reader {
    pub(crate) client: Client,
    pub(crate) stats: Arc<Stats>,
    lanes: Vec<Lane>,
    returned: Returned,
}

/// What a poll was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Polled {
    /// Messages came, or the channels ended.
    Something,
    Nothing,
}

impl Reader {
    pub(crate) fn new(client: &Client, returned: Returned) -> Self {
        Self { client: client.clone(), stats: Arc::default(), lanes: Vec::new(), returned }
    }

    /// Takes over a changed list, and gives back the channels of which nothing more may be returned.
    pub(crate) fn relist(&mut self, list: &List) -> Vec<ChannelName> {
        let mut before = std::mem::take(&mut self.lanes);
        for entry in &list.entries {
            let stays = before.iter().position(|lane| lane.ticket == entry.ticket);
            let lane = stays.map_or_else(|| Lane::new(entry), |index| before.swap_remove(index));
            self.lanes.push(lane);
        }
        self.returned.forget_all_but(list);
        before.into_iter().map(|lane| lane.channel).collect()
    }

    pub(crate) fn has_channels(&self) -> bool {
        !self.lanes.is_empty()
    }

    /// `path` with channels and positions as its query.
    pub(crate) fn target(&self, path: &str) -> String {
        let mut target = self.channels(path);
        match self.token() {
            Some(_) if self.is_at_the_oldest() => target.push_str("&last_id=0"),
            Some(token) => {
                let _ = write!(target, "&cursor={token}");
            }
            None => {}
        }
        target
    }

    /// Whether the one channel is read from its beginning, whatever its epoch.
    pub(crate) fn is_at_the_oldest(&self) -> bool {
        matches!(&self.lanes[..], [lane] if lane.tracker.position().is_none() && lane.after().is_some())
    }

    /// `path` with channels only.
    pub(crate) fn channels(&self, path: &str) -> String {
        query(path, self.lanes.iter())
    }

    /// The positions known; `None` if there are none.
    pub(crate) fn token(&self) -> Option<String> {
        if let [lane] = &self.lanes[..] {
            return lane.after().map(|cursor| cursor.to_string());
        }
        compound(self.lanes.iter().filter_map(|lane| Some((lane.key, lane.after()?))))
    }

    /// A lane by its channel, which only answers about several channels name.
    pub(crate) fn lane(&mut self, channel: Option<&str>) -> Result<&mut Lane, Error> {
        let named = |lane: &&mut Lane| channel.is_none_or(|channel| lane.channel.as_str() == channel);
        match (&mut self.lanes[..], channel) {
            ([lane], None) => Ok(lane),
            (_, None) => Err(Error::Protocol("no channel where several were asked for".to_owned())),
            (lanes, Some(channel)) => lanes.iter_mut().find(named).ok_or_else(|| {
                Error::Protocol(format!("an answer about the channel {channel}, which was not asked for"))
            }),
        }
    }

    pub(crate) fn lane_of(&mut self, channel: &ChannelName) -> Result<&mut Lane, Error> {
        self.lane((self.asked() == Asked::Several).then_some(channel.as_str()))
    }

    /// The message that a line announces without containing it.
    pub(crate) fn announced(&mut self, line: &Line<'_>) -> Result<(ChannelName, Cursor), Error> {
        let asked = self.asked();
        let lane = self.lane(line.channel.as_deref())?;
        Ok((lane.channel.clone(), lane.part_of(line.required_token()?, asked)?))
    }

    /// Queues the events of a polled answer and moves the positions.
    pub(crate) fn polled(&mut self, answer: PollAnswer<'_>, out: &mut Out<Event>) -> Result<Polled, Error> {
        out.backoff.reset();
        self.refused(&answer.refused, out);
        let stats = self.stats.clone();
        for Gap { channel, count, reset } in answer.gaps() {
            self.lane(channel)?.tracker.missed(count, reset, None, &mut out.queue, &stats);
        }
        let (empty, asked) = (answer.messages.is_empty(), self.asked());
        for record in answer.messages {
            let lane = self.lane(record.channel.as_deref())?;
            let epoch = lane.part_of(&answer.cursor, asked)?.epoch;
            let message = record.message(&lane.channel, epoch)?;
            lane.tracker.message(message, &mut out.queue, &stats);
        }
        for lane in &mut self.lanes {
            if lane.access == Access::Granted {
                let cursor = lane.part_of(&answer.cursor, asked)?;
                lane.tracker.stands_at(cursor);
            }
        }
        if !empty {
            return Ok(Polled::Something);
        }
        self.stats.empty_answers.add(1);
        if answer.closed {
            out.close();
            return Ok(Polled::Something);
        }
        Ok(Polled::Nothing)
    }

    /// Queues the event of a stream's line and moves the position.
    pub(crate) fn line(&mut self, line: &Line<'_>, out: &mut Out<Event>) -> Result<(), Error> {
        let (stats, asked) = (self.stats.clone(), self.asked());
        if line.message.is_some() {
            let lane = self.lane(line.channel.as_deref())?;
            let cursor = lane.part_of(line.required_token()?, asked)?;
            let message = line.message(&lane.channel, cursor)?;
            out.backoff.reset();
            lane.tracker.message(message, &mut out.queue, &stats);
            return Ok(());
        }
        match &*line.kind {
            // Not a success: a server may say this and break off every time.
            "connected" => {
                self.refused(&line.refused, out);
                self.connected(line)?;
            }
            "heartbeat" => out.backoff.reset(),
            "reset" => {
                let lane = self.lane(line.channel.as_deref())?;
                let cursor = lane.part_of(line.required_token()?, asked)?;
                let reset = line.reset || line.missed.is_none() || lane.tracker.is_foreign(cursor);
                lane.tracker.missed(line.missed, reset, Some(cursor), &mut out.queue, &stats);
            }
            "closed" if line.reason.as_deref() == Some("ended") => out.close(),
            "closed" => return Err(Error::Draining),
            _ => {}
        }
        Ok(())
    }

    fn connected(&mut self, line: &Line<'_>) -> Result<(), Error> {
        let (token, asked) = (line.required_token()?, self.asked());
        for lane in self.lanes.iter_mut().filter(|lane| lane.access == Access::Granted) {
            let cursor = lane.part_of(token, asked)?;
            lane.tracker.connected(cursor);
        }
        Ok(())
    }

    fn asked(&self) -> Asked {
        if self.lanes.len() == 1 { Asked::One } else { Asked::Several }
    }

    fn refused(&mut self, names: &[Cow<'_, str>], out: &mut Out<Event>) {
        for lane in &mut self.lanes {
            lane.set_access(lane.access_in(names), out);
        }
    }

    /// Finds positions that only the server knows.
    pub(crate) async fn find_start(&mut self, lookup: Lookup, out: &mut Out<Event>) -> Result<(), Error> {
        lookup::find(&self.client, &self.stats, &mut self.lanes, lookup, out).await
    }

    /// How long a stream may be silent.
    pub(crate) fn silence(&self) -> Duration {
        self.client.inner.settings.silence()
    }

    /// An event has been returned.
    pub(crate) fn returned(&mut self, event: &Event) {
        if let Event::Message(message) = event
            && let Some(lane) = self.lanes.iter().find(|lane| lane.channel == message.channel)
        {
            self.returned.stands_at(lane.ticket, message.cursor);
        }
    }

    /// All events have been returned.
    pub(crate) fn returned_all(&mut self) {
        let positions = self.lanes.iter().filter_map(|lane| Some((lane.ticket, lane.tracker.position()?)));
        self.returned.all_stand_at(positions);
    }
}
