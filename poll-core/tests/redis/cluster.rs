//! A cluster of six Redis processes: three masters, each with a replica.

use super::life::forks_come_and_go;
use super::nodes::{Node, until};
use super::server::RedisServer;
use super::traffic::{Losses, Traffic};

struct Cluster {
    members: Vec<RedisServer>,
}

impl Cluster {
    async fn start() -> Self {
        let settings = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"];
        let settings = [&settings[..], &["--repl-diskless-sync-delay", "0"]].concat();
        let members: Vec<_> = (0..6).map(|_| RedisServer::start(&settings)).collect();
        let addresses = members.iter().map(|member| member.address().to_string());
        let mut create = std::process::Command::new("redis-cli");
        create.args(["--cluster", "create"]).args(addresses);
        create.args(["--cluster-replicas", "1", "--cluster-yes"]);
        let created = tokio::task::spawn_blocking(move || create.output().unwrap()).await.unwrap();
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stdout));
        let cluster = Self { members };
        for at in 0..6 {
            until("the cluster is up", async || cluster.is_up(at).await).await;
            until("replicas are in step", async || {
                let told = cluster.tell(at, &["INFO", "replication"]).await;
                told.contains("role:master") || told.contains("master_link_status:up")
            })
            .await;
        }
        cluster
    }

    async fn is_up(&self, member: usize) -> bool {
        let told = self.tell(member, &["CLUSTER", "INFO"]).await;
        let slots = self.tell(member, &["CLUSTER", "SHARDS"]).await;
        told.contains("cluster_state:ok") && told.contains("cluster_known_nodes:6") && !slots.is_empty()
    }

    /// The answer to a command, as text.
    async fn tell(&self, member: usize, command: &[&str]) -> String {
        let client = redis::Client::open(self.members[member].url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut told = redis::cmd(command[0]);
        match told.arg(&command[1..]).query_async::<redis::Value>(&mut connection).await {
            Ok(redis::Value::BulkString(text)) => String::from_utf8_lossy(&text).into_owned(),
            Ok(redis::Value::VerbatimString { text, .. }) => text,
            Ok(other) => format!("{other:?}"),
            Err(error) => error.to_string(),
        }
    }

    fn url(&self) -> String {
        let hosts: Vec<_> = self.members.iter().take(3).map(|member| member.address().to_string()).collect();
        format!("redis+cluster://{}", hosts.join(","))
    }
}

#[tokio::test]
async fn a_cluster_is_one_log() {
    let cluster = Cluster::start().await;
    let nodes = Node::several(&cluster.url(), 2).await;
    let traffic = Traffic::start(&nodes);
    traffic.flows().await;

    // A partition moves from one master to another, with everything in it.
    let mut reshard = std::process::Command::new("redis-cli");
    let id = cluster.tell(0, &["CLUSTER", "MYID"]).await;
    let from = cluster.tell(1, &["CLUSTER", "MYID"]).await;
    reshard.args(["--cluster", "reshard", &cluster.members[0].address().to_string()]);
    reshard.args(["--cluster-from", &from, "--cluster-to", &id, "--cluster-slots", "2000", "--cluster-yes"]);
    let moved = tokio::task::spawn_blocking(move || reshard.output().unwrap()).await.unwrap();
    assert!(moved.status.success(), "{}", String::from_utf8_lossy(&moved.stdout));
    traffic.flows().await;
    for node in &nodes {
        node.ready().await;
    }
    // The forks of one source are in partitions of all masters.
    forks_come_and_go(&nodes, 12).await;
    traffic.end().await.judge(Losses::None);
}

#[tokio::test]
async fn a_dead_master_is_replaced() {
    let mut cluster = Cluster::start().await;
    let nodes = Node::several(&cluster.url(), 2).await;
    let traffic = Traffic::start(&nodes);
    traffic.flows().await;
    cluster.members[1].kill();
    nodes[0].red().await;
    for node in &nodes {
        node.ready().await;
    }
    traffic.flows().await;
    traffic.end().await.judge(Losses::Told);
}
