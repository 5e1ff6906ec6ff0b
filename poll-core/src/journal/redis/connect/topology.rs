//! Which server has which partitions, and how that is found out.
//!
//! One server has them all. Sentinels name a master: all of them are asked, and the one whose configuration is the newest is
//! believed, since one that is cut off names the old master for as long as it is. In a cluster any member knows all.

use redis::{Value, cmd};
use tokio::task::JoinSet;

use super::connection::{Connection, LinkError, Role};
use super::refusal::Refusal;
use crate::journal::redis::log::partition::Partition;
use crate::journal::redis::url::{Address, Place, RedisUrl};

/// The servers that are written to, and their partitions, in a fixed order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Topology(pub(crate) Vec<Node>);

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) address: Address,
    pub(crate) partitions: Vec<Partition>,
}

/// Finds out the topology, again and again.
pub(crate) struct Discovery {
    url: RedisUrl,
    /// Who can be asked: Sentinels, or members of the cluster.
    sources: Vec<Source>,
    /// The member that was asked last.
    turn: usize,
}

struct Source {
    address: Address,
    connection: Option<Connection>,
}

/// What a Sentinel says of a master.
#[derive(Debug, PartialEq, Eq)]
struct Named {
    address: Address,
    epoch: u64,
}

impl Discovery {
    pub(crate) fn new(url: RedisUrl) -> Self {
        let addresses = match &url.place {
            Place::Server(_) => Vec::new(),
            Place::Sentinel { sentinels, .. } => sentinels.clone(),
            Place::Cluster(members) => members.clone(),
        };
        let sources = addresses.into_iter().map(|address| Source { address, connection: None }).collect();
        Self { url, sources, turn: 0 }
    }

    /// Whether the topology can change.
    pub(crate) fn changes(&self) -> bool {
        !matches!(self.url.place, Place::Server(_))
    }

    /// The topology now.
    pub(crate) async fn look(&mut self) -> Result<Topology, LinkError> {
        match self.url.place.clone() {
            Place::Server(address) => Ok(Topology::of_one(address)),
            Place::Sentinel { master, .. } => self.ask_sentinels(&master).await.map(Topology::of_one),
            Place::Cluster(_) => self.ask_members().await,
        }
    }

    async fn ask_sentinels(&mut self, master: &str) -> Result<Address, LinkError> {
        let mut asked = JoinSet::new();
        for (at, source) in self.sources.iter_mut().enumerate() {
            let (url, address, connection) =
                (self.url.clone(), source.address.clone(), source.connection.take());
            let mut question = cmd("SENTINEL");
            question.arg("MASTER").arg(master);
            asked.spawn(async move {
                let mut connection = match connection {
                    Some(connection) => connection,
                    None => Connection::open(&url, &address, Role::Sentinel, None).await?,
                };
                let answer = connection.ask(&question).await?;
                Ok::<_, LinkError>((at, connection, answer))
            });
        }
        let (mut newest, mut error) = (None::<Named>, None);
        while let Some(answer) = asked.join_next().await {
            match answer {
                Ok(Ok((at, connection, answer))) => {
                    self.sources[at].connection = Some(connection);
                    match Named::of(&answer) {
                        Some(named) if newest.as_ref().is_none_or(|newest| named.epoch > newest.epoch) => {
                            newest = Some(named);
                        }
                        Some(_) => {}
                        None => error = Some(LinkError::Lost(format!("a Sentinel does not know {master}"))),
                    }
                }
                Ok(Err(failed)) => error = Some(failed),
                Err(_) => {}
            }
        }
        match (newest, error) {
            (Some(named), _) => Ok(named.address),
            (None, error) => {
                let why = error.map_or_else(String::new, |error| format!(" ({error})"));
                Err(LinkError::Lost(format!("no Sentinel names {master}{why}")))
            }
        }
    }

    /// Asks one member after the other, beginning with another one each time: one that is cut off knows an old topology.
    async fn ask_members(&mut self) -> Result<Topology, LinkError> {
        let mut error = LinkError::Lost("the cluster has no members".to_owned());
        for _ in 0..self.sources.len() {
            self.turn = (self.turn + 1) % self.sources.len();
            match self.ask_member(self.turn).await {
                Ok(topology) => {
                    self.remember(&topology);
                    return Ok(topology);
                }
                Err(failed) => error = failed,
            }
        }
        Err(error)
    }

    async fn ask_member(&mut self, at: usize) -> Result<Topology, LinkError> {
        let source = &mut self.sources[at];
        let mut connection = match source.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.url, &source.address, Role::Server, None).await?,
        };
        let mut question = cmd("CLUSTER");
        let answer = match connection.ask(question.arg("SLOTS")).await {
            Err(LinkError::Refused(Refusal::Unknown(why))) => {
                return Err(LinkError::Unfit(format!("it is not a cluster ({why})")));
            }
            answer => answer?,
        };
        source.connection = Some(connection);
        let topology = Topology::of_slots(&answer, &source.address);
        topology.ok_or_else(|| LinkError::Unfit("it is not a cluster".to_owned()))
    }

    /// Members that were not named in the URL can be asked as well; those that left the cluster are not.
    fn remember(&mut self, topology: &Topology) {
        let Place::Cluster(named) = &self.url.place else { return };
        self.sources.retain(|source| {
            named.contains(&source.address) || topology.0.iter().any(|node| node.address == source.address)
        });
        for node in &topology.0 {
            if !self.sources.iter().any(|source| source.address == node.address) {
                self.sources.push(Source { address: node.address.clone(), connection: None });
            }
        }
    }
}

impl Topology {
    fn of_one(address: Address) -> Self {
        Self(vec![Node { address, partitions: Partition::all().collect() }])
    }

    /// From the answer to `CLUSTER SLOTS` of the member at `asked`: first slot, last slot, then the master's host and port
    /// and what else there is. `None` if it is something else.
    fn of_slots(answer: &Value, asked: &Address) -> Option<Self> {
        let Value::Array(ranges) = answer else { return None };
        let mut owners: Vec<(i64, i64, Address)> = Vec::new();
        for range in ranges {
            let Value::Array(range) = range else { return None };
            let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = range.as_slice() else {
                return None;
            };
            let [host, Value::Int(port), ..] = master.as_slice() else { return None };
            let host = match text(host) {
                // It is where it was asked.
                None | Some("") => match asked {
                    Address::Tcp { host, .. } => host.clone(),
                    Address::Unix(_) => return None,
                },
                // It does not know its own host yet.
                Some("?") => continue,
                Some(host) => host.to_owned(),
            };
            owners.push((*first, *last, Address::Tcp { host, port: u16::try_from(*port).ok()? }));
        }
        let mut nodes: Vec<Node> = Vec::new();
        for partition in Partition::all() {
            let slot = i64::from(partition.slot());
            let Some((.., address)) = owners.iter().find(|(first, last, _)| (*first..=*last).contains(&slot))
            else {
                continue;
            };
            match nodes.iter_mut().find(|node| node.address == *address) {
                Some(node) => node.partitions.push(partition),
                None => nodes.push(Node { address: address.clone(), partitions: vec![partition] }),
            }
        }
        nodes.sort_by(|a, b| a.address.cmp(&b.address));
        Some(Self(nodes))
    }
}

impl Named {
    /// From the answer to `SENTINEL MASTER`: a map, or a list of names and values.
    fn of(answer: &Value) -> Option<Self> {
        let pairs: Vec<(&Value, &Value)> = match answer {
            Value::Map(pairs) => pairs.iter().map(|(name, value)| (name, value)).collect(),
            Value::Array(list) => list.chunks_exact(2).map(|pair| (&pair[0], &pair[1])).collect(),
            _ => return None,
        };
        let field =
            |name| pairs.iter().find(|(has, _)| text(has) == Some(name)).and_then(|(_, value)| text(value));
        let (host, port) = (field("ip")?.to_owned(), field("port")?.parse().ok()?);
        Some(Self { address: Address::Tcp { host, port }, epoch: field("config-epoch")?.parse().ok()? })
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp { host: host.to_owned(), port }
    }

    fn range(first: i64, last: i64, host: Value, port: i64) -> Value {
        let master = Value::Array(vec![host, Value::Int(port), bulk("id"), Value::Array(Vec::new())]);
        let replica = Value::Array(vec![bulk("replica"), Value::Int(1)]);
        Value::Array(vec![Value::Int(first), Value::Int(last), master, replica])
    }

    #[test]
    fn partitions_are_where_their_slots_are() {
        let answer = Value::Array(vec![
            range(8192, 16_383, bulk("b"), 2),
            range(0, 4095, bulk("a"), 1),
            range(4096, 8191, Value::Nil, 3),
        ]);
        let Topology(nodes) = Topology::of_slots(&answer, &tcp("asked", 9)).unwrap();
        let shape: Vec<_> = nodes.iter().map(|node| (node.address.clone(), node.partitions.len())).collect();
        assert_eq!(shape, [(tcp("a", 1), 32), (tcp("asked", 3), 32), (tcp("b", 2), 64)]);
        assert!(nodes[2].partitions.iter().all(|partition| partition.slot() >= 8192));
    }

    #[test]
    fn slots_that_no_server_has_are_nowhere() {
        let answer = Value::Array(vec![range(0, 127, bulk("a"), 1)]);
        let Topology(nodes) = Topology::of_slots(&answer, &tcp("a", 1)).unwrap();
        assert_eq!((nodes.len(), nodes[0].partitions.len()), (1, 1));
        assert_eq!(Topology::of_slots(&Value::Okay, &tcp("a", 1)), None);
    }

    #[test]
    fn a_sentinel_answers_a_map_or_a_list() {
        let pairs = [("name", "m"), ("ip", "10.0.0.1"), ("port", "6379"), ("config-epoch", "7")];
        let map = Value::Map(pairs.iter().map(|(name, value)| (bulk(name), bulk(value))).collect());
        let list = Value::Array(pairs.iter().flat_map(|(name, value)| [bulk(name), bulk(value)]).collect());
        let named = Some(Named { address: tcp("10.0.0.1", 6379), epoch: 7 });
        assert_eq!(
            (Named::of(&map), Named::of(&list)),
            (named, Some(Named { address: tcp("10.0.0.1", 6379), epoch: 7 }))
        );
        assert_eq!(Named::of(&Value::Nil), None);
    }
}
