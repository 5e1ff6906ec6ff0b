//! A Redis Cluster of six processes: three masters, each with one replica.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::process::{output, until};
use super::redis::Redis;
use crate::ports::Ports;

const PATIENCE: Duration = Duration::from_secs(60);
/// A process that is silent for so long is dead to the others.
const STORE: [&str; 6] = [
    "cluster-enabled yes",
    "cluster-node-timeout 1500",
    "cluster-replica-validity-factor 0",
    "save \"\"",
    "appendonly no",
    "repl-diskless-sync-delay 0",
];

#[derive(Debug)]
pub(super) struct Six {
    pub(super) stores: Vec<Redis>,
}

/// A line of `CLUSTER NODES`.
struct Seen<'a> {
    port: u16,
    flags: Vec<&'a str>,
    /// Of a replica.
    master: Option<&'a str>,
    id: &'a str,
    is_connected: bool,
}

impl Six {
    pub(super) async fn start(folder: &Path, ports: &mut Ports) -> Result<Self> {
        let mut stores = Vec::new();
        for _ in 0..6 {
            let bus = format!("cluster-port {}", ports.next()?.port());
            stores.push(Redis::new(ports.next()?, folder, &[&STORE[..], &[&*bus]].concat())?);
        }
        for store in &mut stores {
            store.start().await?;
        }
        let mut create = stores[0].command(&[])?;
        create.args(["--cluster", "create"]).args(stores.iter().map(|store| store.address.to_string()));
        create.args(["--cluster-replicas", "1", "--cluster-yes"]);
        // It waits for the processes to meet, which takes some seconds.
        until("the cluster is created", PATIENCE, async || {
            let mut again = std::process::Command::new(create.get_program());
            again.args(create.get_args());
            output(again).await.map(|_| true)
        })
        .await?;
        let six = Self { stores };
        six.settle().await?;
        Ok(six)
    }

    pub(super) fn url(&self) -> String {
        let stores: Vec<String> = self.stores.iter().map(|one| one.address.to_string()).collect();
        format!("redis+cluster://{}", stores.join(","))
    }

    /// The masters that have a replica to follow them.
    pub(super) async fn masters(&self) -> Result<Vec<usize>> {
        let told = self.stores[0].ask(&["cluster", "nodes"]).await?;
        let all = nodes(&told)?;
        let is_master = |store: &&usize| {
            let port = self.stores[**store].address.port();
            all.iter().any(|seen| seen.port == port && seen.master.is_none())
        };
        let numbers: Vec<usize> = (0..self.stores.len()).collect();
        Ok(numbers.iter().filter(is_master).copied().collect())
    }

    /// Waits until another process serves what this one did.
    pub(super) async fn failover_from(&self, old: usize) -> Result<()> {
        let port = self.stores[old].address.port();
        until("the cluster serves all slots again", PATIENCE, async || {
            for store in self.stores.iter().filter(|store| store.is_running()) {
                if store.address.port() == port {
                    continue;
                }
                ensure!(store.info("cluster_enabled").await? == "1", "no cluster");
                let state = store.ask(&["cluster", "info"]).await?;
                ensure!(state.contains("cluster_state:ok"), "{} says: {state}", store.address);
                let told = store.ask(&["cluster", "nodes"]).await?;
                let all = nodes(&told)?;
                let old = all.iter().find(|seen| seen.port == port).context("the old master is unknown")?;
                let has_lost = old.flags.contains(&"fail") || old.master.is_some();
                ensure!(has_lost, "the old master is not replaced");
                let masters =
                    all.iter().filter(|seen| seen.master.is_none() && !seen.flags.contains(&"fail"));
                ensure!(masters.count() == 3, "there are not three masters");
            }
            Ok(true)
        })
        .await
    }

    /// Waits until three masters have a replica each, in the eyes of all.
    pub(super) async fn settle(&self) -> Result<()> {
        until("the cluster is whole", PATIENCE, async || {
            for store in &self.stores {
                let state = store.ask(&["cluster", "info"]).await?;
                ensure!(state.contains("cluster_state:ok"), "{} says: {state}", store.address);
                let told = store.ask(&["cluster", "nodes"]).await?;
                let all = nodes(&told)?;
                ensure!(all.len() == 6, "{} knows {} processes", store.address, all.len());
                for seen in &all {
                    let is_well = seen.is_connected && !seen.flags.iter().any(|flag| flag.contains("fail"));
                    ensure!(is_well, "{} is not well in the eyes of {}", seen.port, store.address);
                }
                for master in all.iter().filter(|seen| seen.master.is_none()) {
                    let replicas = all.iter().filter(|seen| seen.master == Some(master.id)).count();
                    ensure!(replicas == 1, "{} has {replicas} replicas", master.port);
                }
                if store.info("role").await? == "slave" {
                    ensure!(store.info("master_link_status").await? == "up", "a replica has no master");
                }
            }
            Ok(true)
        })
        .await
    }
}

/// Reads `CLUSTER NODES`.
fn nodes(told: &str) -> Result<Vec<Seen<'_>>> {
    let read = |line| {
        let words: Vec<&str> = str::split_whitespace(line).collect();
        let [id, address, flags, master, _, _, _, link, ..] = words[..] else { return None };
        let port = address.split(['@', ',']).next()?.rsplit(':').next()?.parse().ok()?;
        let master = Some(master).filter(|master| *master != "-");
        let is_connected = link == "connected" || flags.contains("myself");
        Some(Seen { port, flags: flags.split(',').collect(), master, id, is_connected })
    };
    told.lines().map(|line| read(line).with_context(|| format!("what is `{line}`?"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_read_as_it_is_told() {
        let told = "aa 127.0.0.1:7001@17001 myself,master - 0 0 1 connected 0-5460\n\
                    bb 127.0.0.1:7002@17002,host slave,fail aa 0 1 1 disconnected\n";
        let all = nodes(told).unwrap();
        assert_eq!((all[0].port, all[0].master, all[0].is_connected), (7001, None, true));
        assert_eq!((all[1].port, all[1].master, all[1].is_connected), (7002, Some("aa"), false));
        assert!(all[1].flags.contains(&"fail"));
        assert!(nodes("nothing").is_err());
    }
}
