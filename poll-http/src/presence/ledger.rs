//! Who is present on any server, as the records say.
//!
//! What: a pure state machine, moved by records in the order of the log. All servers apply the same records, so they agree
//! on each join and leave. A client is present while it is at one server at least.
//! Not here: time, which servers only judge for themselves (`leases`), and publishing what is to be told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use poll_core::{ChannelName, Charge, Cursor, Kind, Memory, Timestamp};

use super::record::{Ended, Node, Part, Record};

/// What a client takes on a channel besides its name, in bytes.
const CLIENT_BYTES: u64 = 200;

pub(super) struct Ledger {
    /// In order, so that what a server's end brings about has the same order everywhere.
    channels: BTreeMap<ChannelName, BTreeMap<Arc<str>, Client>>,
    nodes: BTreeMap<Node, Server>,
    untold: VecDeque<Transition>,
    /// The position after the last record.
    applied: Cursor,
    /// How many clients there was no room for.
    refused: u64,
    memory: Memory,
}

struct Client {
    since: Timestamp,
    /// The servers that it is at, and the list that it was in there; nearly always one.
    at: Vec<(Node, u32)>,
    _charge: Charge,
}

struct Server {
    /// Its first record and its last.
    first: u64,
    last: u64,
    /// How many lists of all its clients it has begun.
    list: u32,
}

/// A join or a leave that is to be told.
#[derive(Debug, Clone)]
pub(super) struct Transition {
    /// The position after the record that brought it about.
    pub(super) record: Cursor,
    pub(super) channel: ChannelName,
    pub(super) client: Arc<str>,
    pub(super) event: Event,
    pub(super) at: Timestamp,
    _charge: Arc<Charge>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    Join,
    Leave,
}

impl Event {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Leave => "leave",
        }
    }
}

impl Ledger {
    pub(super) fn new(memory: Memory) -> Self {
        let (channels, nodes, untold) = (BTreeMap::new(), BTreeMap::new(), VecDeque::new());
        Self { channels, nodes, untold, applied: Cursor::ZERO, refused: 0, memory }
    }

    /// Applies the record of the message at `at`, after which the log stands at `end`. Returns the servers whose lease it
    /// ended.
    pub(super) fn apply(&mut self, end: Cursor, at: Timestamp, record: &Record) -> Vec<Node> {
        self.applied = end;
        if let Some(told) = record.told {
            while self.untold.front().is_some_and(|first| first.record.seq.get() <= told) {
                self.untold.pop_front();
            }
        }
        let (node, seq) = (record.node, end.seq.get());
        let server = self.nodes.entry(node).or_insert(Server { first: seq, last: seq, list: 0 });
        server.last = seq;
        if record.list.is_some_and(Part::begins) {
            server.list += 1;
        }
        let list = server.list;
        for (channel, client, _) in record.left.iter() {
            self.leave(node, channel, client, at);
        }
        for (channel, client, since) in record.joined.iter() {
            self.join(node, list, channel, client, since);
        }
        if record.list.is_some_and(Part::ends) {
            self.depart(at, |(there, last)| *there == node && *last < list);
        }
        let ended = record.ended.iter().filter(|ended| self.ends(ended)).map(|ended| ended.node);
        let ended: Vec<Node> = ended.collect();
        for node in &ended {
            self.nodes.remove(node);
            self.depart(at, |(there, _)| there == node);
        }
        ended
    }

    /// Whether a server has written nothing since its lease was found to be over.
    fn ends(&self, ended: &Ended) -> bool {
        self.nodes.get(&ended.node).is_some_and(|server| server.last == ended.last)
    }

    fn join(&mut self, node: Node, list: u32, channel: ChannelName, client: &str, since: Timestamp) {
        let clients = self.channels.entry(channel.clone()).or_default();
        if let Some(known) = clients.get_mut(client) {
            match known.at.iter_mut().find(|(there, _)| *there == node) {
                Some(there) => there.1 = list,
                None => known.at.push((node, list)),
            }
            return;
        }
        let names = client.len() + channel.as_str().len();
        match self.memory.charge(Kind::Presence, CLIENT_BYTES + names as u64) {
            Ok(charge) => {
                let client = Arc::<str>::from(client);
                clients.insert(client.clone(), Client { since, at: vec![(node, list)], _charge: charge });
                self.tell(channel, client, Event::Join, since);
            }
            Err(_) => {
                if clients.is_empty() {
                    self.channels.remove(&channel);
                }
                self.refused += 1;
            }
        }
    }

    fn leave(&mut self, node: Node, channel: ChannelName, client: &str, at: Timestamp) {
        let Some(clients) = self.channels.get_mut(&channel) else { return };
        let Some(known) = clients.get_mut(client) else { return };
        known.at.retain(|(there, _)| *there != node);
        if known.at.is_empty() {
            clients.remove(client);
            if clients.is_empty() {
                self.channels.remove(&channel);
            }
            self.tell(channel, client.into(), Event::Leave, at);
        }
    }

    /// Removes clients from where `whence` says.
    fn depart(&mut self, at: Timestamp, whence: impl Fn(&(Node, u32)) -> bool) {
        let mut gone = Vec::new();
        self.channels.retain(|channel, clients| {
            clients.retain(|client, known| {
                known.at.retain(|there| !whence(there));
                if known.at.is_empty() {
                    gone.push((channel.clone(), client.clone()));
                }
                !known.at.is_empty()
            });
            !clients.is_empty()
        });
        for (channel, client) in gone {
            self.tell(channel, client, Event::Leave, at);
        }
    }

    fn tell(&mut self, channel: ChannelName, client: Arc<str>, event: Event, at: Timestamp) {
        let bytes = CLIENT_BYTES + (client.len() + channel.as_str().len()) as u64;
        // Without a bound: a leave follows a join, which had one.
        let charge = Arc::new(self.memory.charge_unbounded(Kind::Presence, bytes));
        let record = self.applied;
        self.untold.push_back(Transition { record, channel, client, event, at, _charge: charge });
    }

    /// Who publishes joins and leaves: the server that has been there for longest.
    pub(super) fn teller(&self) -> Option<Node> {
        self.nodes.iter().min_by_key(|(_, server)| server.first).map(|(node, _)| *node)
    }

    /// The oldest of what is to be told, at most so much.
    pub(super) fn untold(&self, most: usize) -> Vec<Transition> {
        self.untold.iter().take(most).cloned().collect()
    }

    /// The oldest so many were told.
    pub(super) fn set_told(&mut self, count: usize) {
        drop(self.untold.drain(..count.min(self.untold.len())));
    }

    /// The number of the record up to which everything is told.
    pub(super) fn told(&self) -> u64 {
        self.untold.front().map_or(self.applied.seq.get(), |first| first.record.seq.get() - 1)
    }

    /// The number of a server's last record, if it has a lease.
    pub(super) fn last_of(&self, node: Node) -> Option<u64> {
        self.nodes.get(&node).map(|server| server.last)
    }

    /// Whether this server is the only one.
    pub(super) fn is_alone(&self, node: Node) -> bool {
        self.nodes.keys().all(|other| *other == node)
    }

    /// The position after the last record.
    pub(super) fn applied(&self) -> Cursor {
        self.applied
    }

    /// Who is on a channel, and since when, in the order of names.
    pub(super) fn present(&self, channel: &ChannelName) -> BTreeMap<Arc<str>, Timestamp> {
        let clients = self.channels.get(channel).into_iter().flatten();
        clients.map(|(client, known)| (client.clone(), known.since)).collect()
    }

    /// How many clients there was no room for since this was last asked.
    pub(super) fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }
}
