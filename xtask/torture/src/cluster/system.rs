//! All that a round needs: a log, three nodes over it, a relay between each node and a single Redis, nginx in front.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::liar::{Liar, Lie};
use super::nginx::Nginx;
use super::node::Node;
use super::redis::Redis;
use super::relay::Relay;
use super::six::Six;
use super::trio::Trio;
use crate::fixture::ONE_ADDRESS;
use crate::ports::Ports;
use crate::position::Way;
use crate::route::Entrance;
use xtask::server::Binary;

/// Nodes over one Redis.
const NODES: usize = 3;
/// So that the whole log can be read back, and one address may have them all.
const FLAGS: [&str; 7] = [
    ONE_ADDRESS[0],
    ONE_ADDRESS[1],
    "--retain-messages=0",
    "--retain-seconds=0",
    "--retain-bytes=0",
    "--idempotency-seconds=3600",
    "--workers=1",
];
/// Where Debian's libfaketime may stand.
const CLOCKS: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
];

/// What the nodes share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topology {
    /// Nothing: one node with a log on its disk, to prove the harness.
    Disk,
    /// One Redis whose file is synced after every command.
    Always,
    /// One Redis whose file is synced once a second.
    EverySecond,
    Trio,
    Six,
}

/// How a node's clock differs from ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clocks {
    Right,
    /// The second node's is an hour ahead, the third's an hour behind.
    HourOff,
}

#[derive(Debug)]
pub(super) enum Backing {
    Disk,
    Single(Redis),
    Trio(Trio),
    Six(Six),
}

/// A running system. Everything in it ends when it is dropped.
#[derive(Debug)]
pub(super) struct System {
    pub(super) nodes: Vec<Node>,
    pub(super) nginx: Nginx,
    /// One in front of each node's way to a single Redis.
    pub(super) relays: Vec<Relay>,
    pub(super) backing: Backing,
    /// What clients meet in place of the only node.
    liar: Option<Liar>,
    _folder: TempDir,
}

impl System {
    pub(super) async fn start(
        binary: &Binary,
        topology: Topology,
        durability: Option<&str>,
        clocks: Clocks,
    ) -> Result<Self> {
        let folder = tempfile::tempdir().context("no folder for the servers' files")?;
        let mut ports = Ports::new();
        let backing = Backing::start(topology, folder.path(), &mut ports).await?;
        let (mut relays, mut nodes) = (Vec::new(), Vec::new());
        for number in 0..if topology == Topology::Disk { 1 } else { NODES } {
            let store = match &backing {
                Backing::Disk => format!("disk:{}", folder.path().join("store").display()),
                Backing::Single(redis) => {
                    let relay = Relay::to(redis.address).await?;
                    let url = format!("redis://{}", relay.address());
                    relays.push(relay);
                    url
                }
                Backing::Trio(trio) => trio.url(),
                Backing::Six(six) => six.url(),
            };
            let mut flags: Vec<String> = FLAGS.iter().map(ToString::to_string).collect();
            flags.push(format!("--store={store}"));
            flags.extend(durability.map(|mode| format!("--redis-durability={mode}")));
            let binary = match (clocks, number) {
                (Clocks::HourOff, 1) => with_clock(binary, "+1h")?,
                (Clocks::HourOff, 2) => with_clock(binary, "-1h")?,
                _ => binary.clone(),
            };
            let mut node = Node::new(ports.next()?, binary, &flags);
            node.start().await?;
            node.ready().await?;
            nodes.push(node);
        }
        let addresses: Vec<_> = nodes.iter().map(|node| node.address).collect();
        let nginx = Nginx::start(ports.next()?, &addresses, folder.path()).await?;
        Ok(Self { nodes, nginx, relays, backing, liar: None, _folder: folder })
    }

    /// Puts something in front of the only node that lies.
    pub(super) async fn plant(&mut self, lie: Lie) -> Result<()> {
        let node = self.nodes.first().context("there is no node")?.address;
        self.liar = Some(Liar::before(node, lie).await?);
        Ok(())
    }

    /// The nodes' own addresses.
    pub(super) fn entrances(&self) -> Vec<Entrance> {
        if let Some(liar) = &self.liar {
            return vec![liar.address.into()];
        }
        self.nodes.iter().map(|node| node.address.into()).collect()
    }

    /// The way through nginx.
    pub(super) fn front(&self) -> Entrance {
        Entrance { address: self.nginx.address, way: Way::Relayed }
    }

    /// Waits until every node says that it is ready.
    pub(super) async fn ready(&mut self) -> Result<()> {
        for node in &mut self.nodes {
            node.ready().await?;
        }
        Ok(())
    }

    /// What the nodes logged last; it ends them.
    pub(super) fn last_words(&mut self) -> String {
        let mut words = match &self.backing {
            Backing::Trio(trio) => trio.roles(),
            _ => String::new(),
        };
        for node in &mut self.nodes {
            let address = node.address;
            words.push_str(&format!("{address}:\n  {}\n", node.end().join("\n  ")));
        }
        words
    }

    /// Ends the nodes in order, before what is below them.
    pub(super) async fn drain(mut self) -> Result<()> {
        for node in &mut self.nodes {
            node.drain().await?;
        }
        Ok(())
    }
}

impl Backing {
    async fn start(topology: Topology, folder: &Path, ports: &mut Ports) -> Result<Self> {
        let sync = match topology {
            Topology::Disk => return Ok(Self::Disk),
            Topology::Trio => return Ok(Self::Trio(Trio::start(folder, ports).await?)),
            Topology::Six => return Ok(Self::Six(Six::start(folder, ports).await?)),
            Topology::Always => "appendfsync always",
            Topology::EverySecond => "appendfsync everysec",
        };
        let mut redis = Redis::new(ports.next()?, folder, &["save \"\"", "appendonly yes", sync])?;
        redis.start().await?;
        Ok(Self::Single(redis))
    }

    pub(super) fn single(&mut self) -> Result<&mut Redis> {
        match self {
            Self::Single(redis) => Ok(redis),
            _ => anyhow::bail!("this fault is for a single Redis"),
        }
    }

    /// All processes that hold messages.
    pub(super) fn stores(&self) -> &[Redis] {
        match self {
            Self::Disk => &[],
            Self::Single(redis) => std::slice::from_ref(redis),
            Self::Trio(trio) => &trio.stores,
            Self::Six(six) => &six.stores,
        }
    }
}

/// The program with a wrong wall clock; timers go on as they are.
fn with_clock(binary: &Binary, offset: &str) -> Result<Binary> {
    let library = CLOCKS.iter().map(PathBuf::from).find(|path| path.is_file());
    let library = library.context("libfaketime is missing: `cargo xtask test` installs it")?;
    let variables = [
        ("LD_PRELOAD", &*library.to_string_lossy()),
        ("FAKETIME", offset),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    Ok(variables.iter().fold(binary.clone(), |binary, (name, value)| binary.with_variable(name, value)))
}

/// How long a patient reader of a system waits for anything.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
