//! What can happen to a Redis and to the connections to it, each once, with publishers and readers on two servers.

use std::sync::Arc;
use std::time::Duration;

use poll_core::journal::redis::Options;
use poll_core::journal::{Archive, FaultKind};
use poll_core::{ChannelName, Payload, Position, Publish};
use rustix::process::Signal;
use tokio::time::{interval, timeout};

use super::nodes::{Node, retention, until};
use super::proxy::{Cut, Proxy};
use super::server::RedisServer;
use super::traffic::{Losses, Traffic};

/// A reader is always answered by then.
const ANSWERED: Duration = Duration::from_secs(10);

/// A command to a Redis, of which nothing is expected.
async fn tell(server: &RedisServer, command: &[&str]) {
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut told = redis::cmd(command[0]);
    let _ = told.arg(&command[1..]).exec_async(&mut connection).await;
}

/// A command that keeps Redis busy, of which no answer is waited for.
fn tell_without_waiting(server: &RedisServer, command: &'static [&'static str]) {
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    let mut told = redis::cmd(command[0]);
    told.arg(&command[1..]).set_no_response(true);
    told.exec(&mut connection).unwrap();
}

#[tokio::test]
async fn a_killed_subscription_misses_nothing() {
    let server = RedisServer::start(&[]);
    let nodes = Node::several(&server.url(), 2).await;
    let traffic = Traffic::start(&nodes);
    traffic.flows().await;
    for _ in 0..3 {
        tell(&server, &["CLIENT", "KILL", "TYPE", "pubsub"]).await;
        traffic.flows().await;
    }
    let report = traffic.end().await;
    report.judge(Losses::None);
    assert_eq!(report.unknown(), 0);
}

#[tokio::test]
async fn killed_commands_leave_doubt_at_most() {
    let server = RedisServer::start(&[]);
    let nodes = Node::several(&server.url(), 2).await;
    let traffic = Traffic::start(&nodes);
    traffic.flows().await;
    for _ in 0..3 {
        tell(&server, &["CLIENT", "KILL", "TYPE", "normal"]).await;
        traffic.flows().await;
    }
    traffic.end().await.judge(Losses::None);
}

#[tokio::test]
async fn a_forgotten_script_is_loaded_again() {
    let server = RedisServer::start(&[]);
    let nodes = Node::several(&server.url(), 2).await;
    let traffic = Traffic::start(&nodes);
    traffic.flows().await;
    for _ in 0..3 {
        tell(&server, &["SCRIPT", "FLUSH"]).await;
        traffic.flows().await;
    }
    let report = traffic.end().await;
    report.judge(Losses::None);
    assert_eq!(report.unknown(), 0);
}

#[tokio::test]
async fn readers_are_told_that_everything_was_lost() {
    let server = RedisServer::start(&[]);
    let nodes = Node::several(&server.url(), 2).await;
    let traffic = Traffic::start(&nodes);
    traffic.flows().await;
    tell(&server, &["FLUSHALL"]).await;
    traffic.flows().await;
    let report = traffic.end().await;
    report.judge(Losses::Told);
    assert!(report.resets() >= 6, "{} resets", report.resets());
}

#[tokio::test]
async fn a_redis_that_comes_back_with_its_file_has_everything() {
    let mut server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let nodes = Node::several(&server.url(), 2).await;
    let traffic = Traffic::start(&nodes);
    traffic.flows().await;
    server.kill();
    assert_eq!(nodes[0].red().await.kind, FaultKind::Unreachable);
    nodes[1].red().await;
    server.restart();
    for node in &nodes {
        node.ready().await;
    }
    traffic.flows().await;
    traffic.end().await.judge(Losses::None);
}

/// A reader that begins has the log asked whether there is more than what is in memory. If there is no answer, it goes on
/// with that.
async fn begins(node: &Node) {
    let name = ChannelName::parse("a").unwrap();
    let beginning = node.store.pin(node.store.environment().now(), &name, Position::Start);
    let begun = timeout(ANSWERED, beginning).await.expect("a reader is answered");
    begun.unwrap();
}

#[tokio::test]
async fn readers_begin_though_redis_is_down() {
    let mut server = RedisServer::start(&[]);
    let node = Arc::new(Node::connect(&server.url()).await);
    node.ready().await;
    begins(&node).await;
    server.kill();
    // Some come before it is known, and some between two connections.
    let (mut readers, mut arrivals) = (Vec::new(), interval(Duration::from_millis(20)));
    while node.journal.health().borrow().check_writable().is_ok() {
        arrivals.tick().await;
        let node = node.clone();
        readers.push(tokio::spawn(async move { begins(&node).await }));
    }
    for reader in readers {
        reader.await.unwrap();
    }
}

/// Redis has lost everything, and takes nothing that would begin a new generation.
#[tokio::test]
async fn readers_begin_though_a_loss_cannot_be_dealt_with() {
    let server = RedisServer::start(&[]);
    let node = Node::connect(&server.url()).await;
    node.ready().await;
    begins(&node).await;
    tell(&server, &["CONFIG", "SET", "maxmemory", "1"]).await;
    tell(&server, &["FLUSHALL"]).await;
    begins(&node).await;
}

#[tokio::test]
async fn a_redis_that_comes_back_without_its_file_is_told_of() {
    let mut server = RedisServer::start(&[]);
    let nodes = Node::several(&server.url(), 2).await;
    let traffic = Traffic::start(&nodes);
    traffic.flows().await;
    server.kill();
    server.restart();
    traffic.flows().await;
    let report = traffic.end().await;
    report.judge(Losses::Told);
    assert!(report.resets() >= 6, "{} resets", report.resets());
}

#[tokio::test]
async fn a_redis_that_sleeps_is_noticed() {
    let server = RedisServer::start(&["--enable-debug-command", "yes"]);
    let nodes = Node::several(&server.url(), 2).await;
    let traffic = Traffic::start(&nodes);
    traffic.flows().await;
    tell_without_waiting(&server, &["DEBUG", "SLEEP", "6"]);
    nodes[0].red().await;
    nodes[0].ready().await;
    traffic.flows().await;
    traffic.end().await.judge(Losses::None);
}

#[tokio::test]
async fn a_redis_that_is_stopped_is_noticed() {
    let server = RedisServer::start(&[]);
    let nodes = Node::several(&server.url(), 2).await;
    let traffic = Traffic::start(&nodes);
    traffic.flows().await;
    server.signal(Signal::STOP);
    nodes[0].red().await;
    nodes[1].red().await;
    server.signal(Signal::CONT);
    nodes[0].ready().await;
    traffic.flows().await;
    traffic.end().await.judge(Losses::None);
}

#[tokio::test]
async fn a_cut_in_any_direction_is_noticed() {
    let server = RedisServer::start(&[]);
    let proxy = Proxy::start(server.address()).await;
    let nodes = [Node::connect(&proxy.url()).await, Node::connect(&server.url()).await];
    let traffic = Traffic::start(&nodes);
    for cut in [Cut::ToRedis, Cut::FromRedis, Cut::Both] {
        traffic.flows().await;
        proxy.cut(cut);
        nodes[0].red().await;
        proxy.cut(Cut::Nothing);
        nodes[0].ready().await;
    }
    traffic.flows().await;
    traffic.end().await.judge(Losses::None);
}

#[tokio::test]
async fn out_of_memory_is_said_and_is_over_with_memory() {
    let server = RedisServer::start(&[]);
    let nodes = Node::several(&server.url(), 2).await;
    let traffic = Traffic::start(&nodes);
    traffic.flows().await;
    tell(&server, &["CONFIG", "SET", "maxmemory", "1"]).await;
    assert_eq!(nodes[0].red().await.kind, FaultKind::Full);
    tell(&server, &["CONFIG", "SET", "maxmemory", "0"]).await;
    nodes[0].ready().await;
    traffic.flows().await;
    let report = traffic.end().await;
    report.judge(Losses::None);
    assert_eq!(report.unknown(), 0);
}

#[tokio::test]
async fn a_replica_is_said_to_be_one() {
    let server = RedisServer::start(&[]);
    let nodes = Node::several(&server.url(), 2).await;
    let traffic = Traffic::start(&nodes);
    traffic.flows().await;
    tell(&server, &["REPLICAOF", "127.0.0.1", "1"]).await;
    assert_eq!(nodes[0].red().await.kind, FaultKind::ReadOnly);
    tell(&server, &["REPLICAOF", "NO", "ONE"]).await;
    nodes[0].ready().await;
    traffic.flows().await;
    traffic.end().await.judge(Losses::None);
}

#[tokio::test]
async fn a_redis_that_cannot_save_refuses() {
    let server = RedisServer::start(&["--enable-protected-configs", "yes"]);
    let nodes = Node::several(&server.url(), 2).await;
    let traffic = Traffic::start(&nodes);
    traffic.flows().await;
    let directory = "/proc";
    tell(&server, &["CONFIG", "SET", "dir", directory]).await;
    tell(&server, &["CONFIG", "SET", "save", "3600 1"]).await;
    tell(&server, &["BGSAVE"]).await;
    nodes[0].red().await;
    tell(&server, &["CONFIG", "SET", "save", ""]).await;
    nodes[0].ready().await;
    traffic.flows().await;
    traffic.end().await.judge(Losses::None);
}

#[tokio::test]
async fn a_subscription_that_is_too_slow_for_redis_misses_nothing() {
    let server = RedisServer::start(&["--client-output-buffer-limit", "pubsub 20000 0 0"]);
    let nodes = Node::several(&server.url(), 2).await;
    let traffic = Traffic::start(&nodes);
    traffic.flows().await;
    let before = nodes[0].journal.figures().reconnects + nodes[1].journal.figures().reconnects;
    let noise = ChannelName::parse("channel-0-noise").unwrap();
    until("Redis ends a subscription", async || {
        let sends = (0..40).map(|_| {
            let (store, noise) = (nodes[0].store.clone(), noise.clone());
            tokio::spawn(async move {
                let message = Publish::one(Payload::text("x".repeat(7_000)));
                store.publish(store.environment().now(), &noise, message).await
            })
        });
        for send in sends.collect::<Vec<_>>() {
            let _ = send.await;
        }
        nodes[0].journal.figures().reconnects + nodes[1].journal.figures().reconnects > before
    })
    .await;
    traffic.flows().await;
    traffic.end().await.judge(Losses::None);
}

/// How often Redis was sent a command, and how often it refused that.
async fn calls(server: &RedisServer, command: &str) -> (u64, u64) {
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let info: String = redis::cmd("INFO").arg("commandstats").query_async(&mut connection).await.unwrap();
    let line = info.lines().find(|line| line.starts_with(&format!("cmdstat_{command}:"))).unwrap();
    let field = |name: &str| {
        let digits = line.split(name).nth(1).unwrap().split(',').next().unwrap();
        digits.parse::<u64>().unwrap()
    };
    (field(":calls="), field("rejected_calls=") + field("failed_calls="))
}

/// What is asked every second anyway is not asked once more for each time that it was refused.
#[tokio::test]
async fn questions_do_not_pile_up_while_redis_refuses() {
    let server = RedisServer::start(&[]);
    let node = Node::connect(&server.url()).await;
    node.ready().await;
    begins(&node).await;
    let ways: [&[&[&str]]; 2] = [
        &[&["ACL", "SETUSER", "default", "-evalsha"]],
        // New generations are refused.
        &[&["CONFIG", "SET", "maxmemory", "1"], &["FLUSHALL"], &["ACL", "SETUSER", "default", "+evalsha"]],
    ];
    for way in ways {
        for command in way {
            tell(&server, command).await;
        }
        // Each pulse publishes once, and here nothing else does.
        let (pulses, refused) = (calls(&server, "publish").await.0, calls(&server, "evalsha").await.1);
        until("some pulses", async || calls(&server, "publish").await.0 >= pulses + 4).await;
        let pulses = calls(&server, "publish").await.0 - pulses;
        let refused = calls(&server, "evalsha").await.1 - refused;
        assert!((128..=128 * (pulses + 2)).contains(&refused), "{refused} in {pulses} pulses");
    }
    tell(&server, &["CONFIG", "SET", "maxmemory", "0"]).await;
    node.ready().await;
}

/// The queue of publishes is bounded, and a publish that finds it full is refused.
#[tokio::test]
async fn publishes_that_have_no_room_are_refused() {
    let server = RedisServer::start(&[]);
    let options = Options { queue_bytes: 10_000, ..Options::default() };
    let node = Node::with(&server.url(), options, retention()).await;
    node.ready().await;
    server.signal(Signal::STOP);
    let a = ChannelName::parse("a").unwrap();
    let now = node.store.environment().now();
    let sends: Vec<_> = (0..30)
        .map(|_| {
            let (store, a) = (node.store.clone(), a.clone());
            tokio::spawn(async move {
                store.publish(now, &a, Publish::one(Payload::text("x".repeat(1_000)))).await
            })
        })
        .collect();
    let mut refused = 0;
    for send in sends {
        let failed = tokio::time::timeout(super::nodes::PATIENCE, send).await.unwrap().unwrap().unwrap_err();
        refused += usize::from(format!("{failed:?}").contains("more waits"));
    }
    assert!((15..30).contains(&refused), "{refused} of 30 refused");
    server.signal(Signal::CONT);
    node.ready().await;
}
