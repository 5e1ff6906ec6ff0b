//! What servers write to each other: a record in the channel [`RECORDS`](super::channels::RECORDS).
//!
//! Each record renews the lease of the server that wrote it. JSON, so that an operator can read it, and so that servers of
//! different versions can ignore what they do not know.

use std::collections::BTreeMap;

use poll_core::{ChannelName, JsonError, Message, Payload, Timestamp};
use serde::{Deserialize, Serialize};

/// A server, for as long as its process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(super) struct Node(u128);

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Who wrote it.
    pub(super) node: Node,
    /// Clients that came to this server.
    #[serde(default, skip_serializing_if = "Names::is_empty")]
    pub(super) joined: Names,
    /// Clients that left it.
    #[serde(default, skip_serializing_if = "Names::is_empty")]
    pub(super) left: Names,
    /// Whether those that came are part of the list of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) list: Option<Part>,
    /// Servers whose lease is over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) ended: Vec<Ended>,
    /// The number of the record up to which joins and leaves were published; from the teller only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) told: Option<u64>,
}

/// A part of the list of all clients of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Part {
    /// All of it.
    Whole,
    First,
    Middle,
    /// Who was in no part is not present.
    Last,
}

/// The lease of a server is over, unless it wrote another record meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ended {
    pub(super) node: Node,
    /// The number of its last record.
    pub(super) last: u64,
}

/// Clients by channel, each with the start of its first wait in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Names(BTreeMap<String, BTreeMap<String, u64>>);

impl Record {
    /// A record that says nothing but that its server is alive.
    pub(super) fn of(node: Node) -> Self {
        let (joined, left, ended) = (Names::default(), Names::default(), Vec::new());
        Self { node, joined, left, list: None, ended, told: None }
    }

    /// # Errors
    /// Never: names and numbers can be written as JSON.
    pub(super) fn payload(&self) -> Result<Payload, JsonError> {
        Payload::json(&serde_json::to_vec(self).unwrap_or_default())
    }

    /// The record in a message; `None` if there is none in it, which only another program could have published.
    pub(super) fn read(message: &Message) -> Option<Self> {
        serde_json::from_slice(message.payload.as_bytes()).ok()
    }
}

impl Part {
    /// Part `index` of so many.
    pub(super) fn at(index: usize, of: usize) -> Self {
        match (index == 0, index + 1 == of) {
            (true, true) => Self::Whole,
            (true, false) => Self::First,
            (false, true) => Self::Last,
            (false, false) => Self::Middle,
        }
    }

    pub(super) fn begins(self) -> bool {
        matches!(self, Self::Whole | Self::First)
    }

    pub(super) fn ends(self) -> bool {
        matches!(self, Self::Whole | Self::Last)
    }
}

impl Names {
    pub(super) fn add(&mut self, channel: &ChannelName, client: &str, since: Timestamp) {
        let clients = match self.0.get_mut(channel.as_str()) {
            Some(clients) => clients,
            None => self.0.entry(channel.as_str().to_owned()).or_default(),
        };
        clients.insert(client.to_owned(), since.as_micros());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each client with its channel and since when, in one order everywhere. A name that is none is left out.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ChannelName, &str, Timestamp)> {
        let named = self.0.iter().filter_map(|(channel, clients)| {
            ChannelName::parse(channel).ok().map(|channel| (channel, clients))
        });
        named.flat_map(|(channel, clients)| {
            clients.iter().map(move |(client, since)| {
                (channel.clone(), client.as_str(), Timestamp::from_micros(*since))
            })
        })
    }
}

impl From<u128> for Node {
    fn from(bits: u128) -> Self {
        Self(bits)
    }
}

impl From<Node> for String {
    fn from(node: Node) -> Self {
        format!("{:032x}", node.0)
    }
}

impl TryFrom<String> for Node {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u128::from_str_radix(&text, 16).map(Self)
    }
}
