//! A master, its replica, and three Sentinels.

use std::io::Write;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::nodes::{Node, until};
use super::server::RedisServer;
use super::traffic::{Losses, Traffic};

/// How often Sentinels look, in milliseconds. By default they ask for roles every ten seconds, demote an old master only
/// after eight seconds without a missed ping, and do nothing for thirty seconds after a pause of their own process. On a
/// busy machine that adds up to more than a minute. They also open a lost connection once a second at most, so a server
/// could be dead to them because they had lost its connection a second ago.
const PACE: [&str; 10] = [
    "SENTINEL",
    "DEBUG",
    "info-period",
    "500",
    "ping-period",
    "200",
    "publish-period",
    "300",
    "tilt-period",
    "1000",
];

struct Trio {
    servers: Vec<RedisServer>,
    sentinels: Vec<Sentinel>,
}

struct Sentinel {
    process: Child,
    port: u16,
    _directory: TempDir,
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Sentinel {
    fn start(master: u16) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let path = directory.path().join("sentinel.conf");
        let mut file = std::fs::File::create(&path).unwrap();
        writeln!(file, "port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {master} 2").unwrap();
        writeln!(file, "sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 3000")
            .unwrap();
        let process = Command::new("redis-server")
            .arg(&path)
            .arg("--sentinel")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, port, _directory: directory }
    }
}

impl Trio {
    async fn start() -> Self {
        let master = RedisServer::start(&["--enable-debug-command", "yes"]);
        let port = master.address().port().to_string();
        let replica =
            RedisServer::start(&["--replicaof", "127.0.0.1", &port, "--repl-diskless-sync-delay", "0"]);
        let sentinels = (0..3).map(|_| Sentinel::start(master.address().port())).collect();
        let trio = Self { servers: vec![master, replica], sentinels };
        for at in 0..3 {
            until("a Sentinel answers", async || trio.ask(at, &PACE).await == "ok").await;
            until("the Sentinels know each other and the replica", async || {
                let told = trio.ask(at, &["SENTINEL", "MASTER", "main"]).await;
                told.contains("num-other-sentinels,2")
                    && told.contains("num-slaves,1")
                    && told.contains("flags,master,")
            })
            .await;
        }
        until("the replica is in step", async || {
            let told = tell(&trio.servers[1].url(), &["INFO", "replication"]).await;
            told.contains("master_link_status:up")
        })
        .await;
        trio
    }

    /// Waits until a Sentinel says that the replica is the master.
    async fn failed_over(&self) {
        let replica = format!("port,{},", self.servers[1].address().port());
        until("a Sentinel names the replica", async || {
            self.ask(0, &["SENTINEL", "MASTER", "main"]).await.contains(&replica)
        })
        .await;
    }

    async fn ask(&self, sentinel: usize, command: &[&str]) -> String {
        tell(&format!("redis://127.0.0.1:{}/", self.sentinels[sentinel].port), command).await
    }

    fn url(&self) -> String {
        let hosts: Vec<_> =
            self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect();
        format!("redis+sentinel://{}/main", hosts.join(","))
    }
}

/// The answer to a command, as text with commas.
async fn tell(url: &str, command: &[&str]) -> String {
    let client = redis::Client::open(url).unwrap();
    let Ok(mut connection) = client.get_multiplexed_async_connection().await else { return String::new() };
    let mut told = redis::cmd(command[0]);
    match told.arg(&command[1..]).query_async::<redis::Value>(&mut connection).await {
        Ok(redis::Value::BulkString(text)) => String::from_utf8_lossy(&text).into_owned(),
        Ok(redis::Value::Array(values)) => {
            let text = |value: &redis::Value| match value {
                redis::Value::BulkString(text) => String::from_utf8_lossy(text).into_owned(),
                other => format!("{other:?}"),
            };
            values.iter().map(text).collect::<Vec<_>>().join(",") + ","
        }
        Ok(other) => format!("{other:?}"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_dead_master_is_followed_by_its_replica() {
    let mut trio = Trio::start().await;
    let nodes = Node::several(&trio.url(), 2).await;
    let traffic = Traffic::start(&nodes);
    traffic.flows().await;
    trio.servers[0].kill();
    nodes[0].red().await;
    nodes[1].red().await;
    for node in &nodes {
        node.ready().await;
    }
    traffic.flows().await;
    traffic.end().await.judge(Losses::Told);
}

#[tokio::test]
async fn a_master_that_sleeps_through_its_failover_is_left() {
    let trio = Trio::start().await;
    let nodes = Node::several(&trio.url(), 2).await;
    let traffic = Traffic::start(&nodes);
    traffic.flows().await;
    let client = redis::Client::open(trio.servers[0].url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    let mut sleep = redis::cmd("DEBUG");
    sleep.arg("SLEEP").arg(8).set_no_response(true);
    sleep.exec(&mut connection).unwrap();
    // Whether the health shows red in between depends on which Sentinel is asked first.
    trio.failed_over().await;
    for node in &nodes {
        node.ready().await;
    }
    traffic.flows().await;
    // The old one wakes up, is made a replica, and changes nothing.
    until("the old master follows", async || {
        tell(&trio.servers[0].url(), &["INFO", "replication"]).await.contains("role:slave")
    })
    .await;
    traffic.flows().await;
    traffic.end().await.judge(Losses::Told);
}

/// It takes itself for the master until a Sentinel tells it otherwise.
#[tokio::test]
async fn a_dead_master_that_comes_back_empty_is_not_believed() {
    let mut trio = Trio::start().await;
    let nodes = Node::several(&trio.url(), 2).await;
    let traffic = Traffic::start(&nodes);
    traffic.flows().await;
    trio.servers[0].kill();
    trio.failed_over().await;
    trio.servers[0].restart();
    for node in &nodes {
        node.ready().await;
    }
    traffic.flows().await;
    until("the old master follows", async || {
        tell(&trio.servers[0].url(), &["INFO", "replication"]).await.contains("role:slave")
    })
    .await;
    traffic.flows().await;
    let report = traffic.end().await;
    report.judge(Losses::Told);
    // What the replica did not have yet was lost once; nothing was written to the old master.
    assert!(report.resets() <= 6, "{} resets", report.resets());
}
