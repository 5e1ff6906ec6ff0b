//! A master, two replicas, and three sentinels that watch them.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::process::until;
use super::redis::Redis;
use crate::ports::Ports;

/// What the sentinels call it.
const NAME: &str = "poll";
const PATIENCE: Duration = Duration::from_secs(60);
/// A replica that stood still for a second is dead to the sentinels.
const SENTINEL: [&str; 3] = [
    "sentinel down-after-milliseconds poll 1000",
    "sentinel failover-timeout poll 3000",
    "sentinel parallel-syncs poll 2",
];
/// How often sentinels look, in milliseconds. By default they ask for roles every ten seconds, demote an old master only
/// after eight seconds without a missed ping, and do nothing for thirty seconds after a pause of their own process. They
/// also open a lost connection once a second at most. A promotion closes the connections of all sentinels to the new
/// master, so with the patience above it would sometimes be dead to them at once, and a second failover would follow
/// while its own master lives.
const PACE: [&str; 10] = [
    "sentinel",
    "debug",
    "info-period",
    "500",
    "ping-period",
    "200",
    "publish-period",
    "300",
    "tilt-period",
    "1000",
];
/// Nothing on disk: a store that comes back is filled by the new master. An old master that is cut off must not go on
/// for long.
const STORE: [&str; 3] = ["save \"\"", "appendonly no", "repl-diskless-sync-delay 0"];

#[derive(Debug)]
pub(super) struct Trio {
    pub(super) stores: Vec<Redis>,
    sentinels: Vec<Redis>,
}

impl Trio {
    pub(super) async fn start(folder: &Path, ports: &mut Ports) -> Result<Self> {
        let master = ports.next()?;
        let mut stores = vec![Redis::new(master, folder, &STORE)?];
        let replica = format!("replicaof {} {}", master.ip(), master.port());
        for _ in 0..2 {
            stores.push(Redis::new(ports.next()?, folder, &[&STORE[..], &[&*replica]].concat())?);
        }
        let monitor = format!("sentinel monitor {NAME} {} {} 2", master.ip(), master.port());
        let lines = [&[&*monitor][..], &SENTINEL].concat();
        let sentinels = (0..3).map(|_| Redis::sentinel(ports.next()?, folder, &lines));
        let mut trio = Self { stores, sentinels: sentinels.collect::<Result<_>>()? };
        for redis in trio.stores.iter_mut().chain(&mut trio.sentinels) {
            redis.start().await?;
        }
        for sentinel in &trio.sentinels {
            sentinel.ask(&PACE).await?;
        }
        trio.settle().await?;
        Ok(trio)
    }

    pub(super) fn url(&self) -> String {
        let sentinels: Vec<String> = self.sentinels.iter().map(|one| one.address.to_string()).collect();
        format!("redis+sentinel://{}/{NAME}", sentinels.join(","))
    }

    /// What all processes' logs say of who is the master.
    pub(super) fn roles(&self) -> String {
        self.stores.iter().chain(&self.sentinels).map(Redis::roles).collect()
    }

    /// The store that a sentinel calls the master.
    async fn master_by(&self, sentinel: &Redis) -> Result<usize> {
        let told = sentinel.ask(&["sentinel", "get-master-addr-by-name", NAME]).await?;
        let port = told.lines().nth(1).context("a sentinel knows no master")?.trim();
        let is_it = |store: &Redis| store.address.port().to_string() == port;
        self.stores.iter().position(is_it).context("the master is none of ours")
    }

    /// The master, once all sentinels agree.
    pub(super) async fn master(&self) -> Result<usize> {
        let first = self.master_by(&self.sentinels[0]).await?;
        for sentinel in &self.sentinels[1..] {
            ensure!(self.master_by(sentinel).await? == first, "the sentinels do not agree");
        }
        Ok(first)
    }

    /// Waits until another store than this one is the master, and says so itself.
    pub(super) async fn failover_from(&self, old: usize) -> Result<usize> {
        until("the sentinels choose another master", PATIENCE, async || {
            let new = self.master().await?;
            Ok(new != old && self.stores[new].info("role").await? == "master")
        })
        .await?;
        self.master().await
    }

    /// Waits until one master has two replicas that have all it has, and the sentinels know them.
    pub(super) async fn settle(&self) -> Result<()> {
        until("the trio is whole", PATIENCE, async || {
            let master = self.master().await?;
            for (number, store) in self.stores.iter().enumerate() {
                let is_master = store.info("role").await? == "master";
                ensure!(is_master == (number == master), "{} has the wrong role", store.address);
                if !is_master {
                    ensure!(store.info("master_link_status").await? == "up", "a replica has no master");
                    let port = self.stores[master].address.port().to_string();
                    ensure!(store.info("master_port").await? == port, "a replica has another master");
                }
            }
            for sentinel in &self.sentinels {
                sentinel.ask(&["sentinel", "ckquorum", NAME]).await?;
                let told = sentinel.ask(&["sentinel", "master", NAME]).await?;
                let words: Vec<&str> = told.lines().map(str::trim).collect();
                let value = |name: &str| words.iter().position(|word| *word == name).map(|at| words[at + 1]);
                let is_whole = value("num-slaves") == Some("2") && value("flags") == Some("master");
                ensure!(is_whole, "a sentinel does not see the whole trio");
            }
            Ok(true)
        })
        .await
    }
}
