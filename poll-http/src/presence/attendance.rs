//! The named clients that wait on this server: present, leaving at a time, gone.
//!
//! What: a pure state machine, moved by waits that begin and end and by the time. It says which clients the log has to
//! hear of, and when there will be more to say.
//! Not here: other servers, the log, and clocks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use poll_core::environment::KeyedMap;
use poll_core::{ChannelName, Charge, Kind, Memory, OverBudget, Timestamp};
use tokio::time::Instant;

use super::record::Names;

/// How long after its last wait a client is still present: longer than a long poll takes to be asked again.
pub(super) const LINGER: Duration = Duration::from_secs(10);

/// What a client takes on a channel besides its name, in bytes: its seat, and its places in tables.
const SEAT_BYTES: u64 = 240;

/// What a client takes in a record besides the names, in bytes: its time, and what JSON puts around that.
const ENTRY_BYTES: usize = 32;

/// The most clients on one channel: as many as may wait there by default.
pub(super) const MOST_ON_A_CHANNEL: usize = 10_000;

pub(super) struct Attendance {
    seats: KeyedMap<ChannelName, KeyedMap<Arc<str>, Seat>>,
    count: usize,
    /// Those who leave, in the order of time; the number tells those of one time apart.
    leaving: BTreeMap<(Instant, u64), (ChannelName, Arc<str>)>,
    next: u64,
    /// Those that came or went since the log heard of them.
    changed: BTreeSet<(ChannelName, Arc<str>)>,
    memory: Memory,
}

struct Seat {
    state: State,
    /// The start of its first wait.
    since: Timestamp,
    told: Told,
    _charge: Charge,
}

enum State {
    /// In so many waits, at least one.
    Present(u32),
    /// Its last wait is over.
    LeavingAt(Instant, u64),
    /// Only the log does not know yet.
    Gone,
}

/// Whether the log knows the client as present.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Yes,
    No,
}

/// The log has to hear of something.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct News;

/// A client will leave before everyone else who does.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sooner;

/// What the log has to hear.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) joined: Names,
    pub(super) left: Names,
}

/// There is no room for another client.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl From<OverBudget> for Full {
    fn from(_: OverBudget) -> Self {
        Self
    }
}

impl Attendance {
    pub(super) fn new(memory: Memory) -> Self {
        let (seats, leaving, changed) = (KeyedMap::default(), BTreeMap::new(), BTreeSet::new());
        Self { seats, count: 0, leaving, next: 0, changed, memory }
    }

    /// A client begins to wait.
    ///
    /// # Errors
    /// When there is no room for it; it is then not present.
    pub(super) fn begin(
        &mut self,
        channel: &ChannelName,
        client: &Arc<str>,
        now: Timestamp,
    ) -> Result<Option<News>, Full> {
        if let Some(seat) = self.seats.get_mut(channel).and_then(|seats| seats.get_mut(client)) {
            match seat.state {
                State::Present(ref mut waits) => {
                    *waits = waits.saturating_add(1);
                    return Ok(None);
                }
                State::LeavingAt(at, number) => drop(self.leaving.remove(&(at, number))),
                // The log does not have to hear that it went and came.
                State::Gone => {
                    self.count += 1;
                    self.changed.remove(&(channel.clone(), client.clone()));
                }
            }
            seat.state = State::Present(1);
            return Ok(None);
        }
        let seats = self.seats.get(channel);
        if seats.is_some_and(|seats| seats.len() >= MOST_ON_A_CHANNEL) {
            return Err(Full);
        }
        // The channel's name may be here alone.
        let names = client.len() + channel.as_str().len();
        let charge = self.memory.charge(Kind::Presence, SEAT_BYTES + names as u64)?;
        let seat = Seat { state: State::Present(1), since: now, told: Told::No, _charge: charge };
        self.seats.entry(channel.clone()).or_default().insert(client.clone(), seat);
        self.count += 1;
        self.changed.insert((channel.clone(), client.clone()));
        Ok(Some(News))
    }

    /// A wait is over. One that did not begin here, because there was no room, changes nothing.
    pub(super) fn end(&mut self, channel: &ChannelName, client: &Arc<str>, now: Instant) -> Option<Sooner> {
        let seat = self.seats.get_mut(channel)?.get_mut(client)?;
        let State::Present(waits) = &mut seat.state else { return None };
        *waits -= 1;
        if *waits > 0 {
            return None;
        }
        let leaves = (now + LINGER, self.next);
        self.next += 1;
        seat.state = State::LeavingAt(leaves.0, leaves.1);
        let sooner = self.leaving.first_key_value().is_none_or(|(first, _)| leaves < *first);
        self.leaving.insert(leaves, (channel.clone(), client.clone()));
        sooner.then_some(Sooner)
    }

    /// When the next client leaves, unless it waits again.
    pub(super) fn next_leave(&self) -> Option<Instant> {
        self.leaving.first_key_value().map(|((at, _), _)| *at)
    }

    /// Lets those go whose time is over.
    pub(super) fn advance(&mut self, now: Instant) {
        while let Some(first) = self.leaving.first_entry().filter(|first| first.key().0 <= now) {
            let (channel, client) = first.remove();
            self.count -= 1;
            let seat = self.seats.get_mut(&channel).and_then(|seats| seats.get_mut(&client));
            match seat {
                Some(seat) if seat.told == Told::Yes => {
                    seat.state = State::Gone;
                    self.changed.insert((channel, client));
                }
                // It came and went unheard, so it is not to be heard at all.
                _ => {
                    self.changed.remove(&(channel.clone(), client.clone()));
                    self.forget(&channel, &client);
                }
            }
        }
    }

    /// Takes what the log has to hear, about `most_bytes` of it.
    pub(super) fn take_changes(&mut self, most_bytes: usize) -> Option<Changes> {
        let (mut changes, mut bytes) = (Changes::default(), 0);
        while bytes < most_bytes
            && let Some((channel, client)) = self.changed.pop_first()
        {
            bytes += channel.as_str().len() + client.len() + ENTRY_BYTES;
            let Some(seat) = self.seats.get_mut(&channel).and_then(|seats| seats.get_mut(&client)) else {
                continue;
            };
            if matches!(seat.state, State::Gone) {
                changes.left.add(&channel, &client, seat.since);
                self.forget(&channel, &client);
            } else {
                seat.told = Told::Yes;
                changes.joined.add(&channel, &client, seat.since);
            }
        }
        (changes != Changes::default()).then_some(changes)
    }

    /// Takes all who are present, in pieces of about `most_bytes`, for a log that knows none of them.
    pub(super) fn take_all(&mut self, most_bytes: usize) -> Vec<Names> {
        self.changed.clear();
        let (mut pieces, mut piece, mut bytes) = (Vec::new(), Names::default(), 0);
        for (channel, seats) in &mut self.seats {
            seats.retain(|client, seat| {
                if matches!(seat.state, State::Gone) {
                    return false;
                }
                seat.told = Told::Yes;
                piece.add(channel, client, seat.since);
                bytes += channel.as_str().len() + client.len() + ENTRY_BYTES;
                if bytes >= most_bytes {
                    pieces.push(std::mem::take(&mut piece));
                    bytes = 0;
                }
                true
            });
        }
        self.seats.retain(|_, seats| !seats.is_empty());
        pieces.push(piece);
        pieces
    }

    /// The clients on a channel, and since when.
    pub(super) fn present(&self, channel: &ChannelName) -> impl Iterator<Item = (&Arc<str>, Timestamp)> {
        let seats = self.seats.get(channel).into_iter().flatten();
        seats
            .filter(|(_, seat)| !matches!(seat.state, State::Gone))
            .map(|(client, seat)| (client, seat.since))
    }

    /// How many clients are present, once for each channel.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    fn forget(&mut self, channel: &ChannelName, client: &Arc<str>) {
        if let Some(seats) = self.seats.get_mut(channel) {
            seats.remove(client);
            if seats.is_empty() {
                self.seats.remove(channel);
            }
        }
    }
}
