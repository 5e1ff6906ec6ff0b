//! The life of channels in Redis: against the model, each step on another server, and what takes time.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use poll_core::journal::redis::Options;
use poll_core::life::{
    Appended, Bounds, Condition, ContentType, Create, Created, Deleted, ForkPoint, Lifetime, ProducerId,
    ProducerStamp, Purged, Standing, Use,
};
use poll_core::{Ending, Limit, Payload, Pinned, Position, Publish, Retention, Store};
use proptest::prelude::*;
use smallvec::smallvec;

use crate::fixture::name;
use crate::life_model::{Disturbance, Step, World, is_like_the_model, steps};
use crate::nodes::{Node, PATIENCE, until};
use crate::server::RedisServer;

/// Servers of one log, which take turns.
struct Servers {
    nodes: Vec<Node>,
    turn: Cell<usize>,
    url: String,
    options: Options,
}

impl Servers {
    async fn start(redis: &RedisServer, count: usize) -> Self {
        static LOGS: AtomicUsize = AtomicUsize::new(0);
        let prefix = format!("log{}:", LOGS.fetch_add(1, Ordering::Relaxed));
        let options = Options { prefix, ..Options::default() };
        let (url, turn) = (redis.url(), Cell::new(0));
        let mut servers = Self { nodes: Vec::new(), turn, url, options };
        for _ in 0..count {
            servers.nodes.push(servers.connect().await);
        }
        servers
    }

    async fn connect(&self) -> Node {
        Node::with(&self.url, self.options.clone(), unbounded()).await
    }
}

impl World for Servers {
    fn store(&self) -> &Store {
        self.turn.set((self.turn.get() + 1) % self.nodes.len());
        &self.nodes[self.turn.get()].store
    }

    async fn counted(&self) -> (u64, u64) {
        // Each server hears of it a moment later.
        let count = |node: &Node| (node.store.channels(), node.store.weight());
        until("every server knows that nothing is left", async || {
            self.nodes.iter().all(|node| count(node) == (0, 0))
        })
        .await;
        count(&self.nodes[0])
    }

    async fn disturb(&mut self, how: Disturbance, _now: poll_core::Timestamp) {
        if let Disturbance::Restart = how {
            let node = self.connect().await;
            let turn = self.turn.get();
            self.nodes[turn] = node;
        }
    }
}

fn unbounded() -> Retention {
    Retention { messages: 0, age: Duration::ZERO, ..Retention::default() }
}

fn stream(lifetime: Option<Lifetime>) -> Create {
    Create {
        content_type: Some(ContentType::parse("text/plain").unwrap()),
        lifetime,
        bounds: Bounds::UNLIMITED,
        payloads: smallvec![],
        ending: Ending::Open,
        origin: None,
    }
}

fn fork_of(source: &str) -> Create {
    let point = ForkPoint { source: name(source), after: None, further: 0 };
    Create { content_type: None, origin: Some(point), ..stream(None) }
}

async fn create(node: &Node, channel: &str, create: Create) {
    let created = node.store.create(now(node), &name(channel), create).await;
    assert!(matches!(created, Ok(Created::New { .. })), "{created:?}");
}

async fn append(node: &Node, channel: &str, text: &str, condition: Condition) -> Appended {
    let publish = Publish::one(Payload::text(text.to_owned()));
    node.store.append(now(node), &name(channel), publish, condition).await.unwrap()
}

fn now(node: &Node) -> poll_core::Timestamp {
    node.store.environment().now()
}

async fn standing(node: &Node, channel: &str, how: Use) -> Standing {
    node.store.describe(now(node), &name(channel), how).await.unwrap()
}

async fn content(node: &Node, channel: &str) -> String {
    let mut pinned = node.store.pin(now(node), &name(channel), Position::Start).await.unwrap();
    let mut all = String::new();
    loop {
        let view = node.store.read(now(node), &name(channel), &pinned, Limit::default()).await.unwrap();
        let Some(batch) = view.batch else { return all };
        for message in batch.messages() {
            all += std::str::from_utf8(message.payload.as_bytes()).unwrap();
        }
        pinned = Pinned::after(view.next);
    }
}

/// The model's time is not that of Redis: without what depends on it.
fn timeless(steps: Vec<Step>) -> Vec<Step> {
    let timeless = |step| match step {
        Step::Wait { .. } => None,
        Step::Create { channel, kind, texts, close, fork, .. } => {
            Some(Step::Create { channel, kind, life: None, texts, close, fork })
        }
        step => Some(step),
    };
    steps.into_iter().filter_map(timeless).collect()
}

#[test]
fn two_servers_are_like_the_model() {
    let redis = RedisServer::start(&[]);
    let config = ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    proptest!(config, |(steps in steps(0))| {
        runtime.block_on(async {
            let mut servers = Servers::start(&redis, 2).await;
            is_like_the_model(&timeless(steps), &mut servers).await;
        });
    });
}

#[tokio::test]
async fn what_is_created_on_one_server_is_there_on_all() {
    let redis = RedisServer::start(&[]);
    let servers = Servers::start(&redis, 2).await;
    let [first, second] = &servers.nodes[..] else { unreachable!() };
    assert!(matches!(standing(second, "a", Use::Look).await, Standing::Absent));
    create(first, "a", stream(None)).await;
    let Standing::Live(description) = standing(second, "a", Use::Look).await else { panic!("not there") };
    assert_eq!((description.newest.get(), description.life.is_json()), (0, false));
    assert!(matches!(
        second.store.create(now(second), &name("a"), stream(None)).await,
        Ok(Created::Same(found)) if found.epoch == description.epoch
    ));
    append(second, "a", "x", Condition::default()).await;
    assert_eq!(content(first, "a").await, "x");
    assert_eq!(first.store.delete(now(first), &name("a")).await, Ok(Deleted::Gone));
    assert!(matches!(standing(second, "a", Use::Look).await, Standing::Absent));
    assert_eq!(second.store.delete(now(second), &name("a")).await, Ok(Deleted::Absent));
}

#[tokio::test]
async fn a_waiter_on_another_server_is_woken_when_its_channel_is_deleted() {
    let redis = RedisServer::start(&[]);
    let servers = Servers::start(&redis, 2).await;
    let [first, second] = &servers.nodes[..] else { unreachable!() };
    create(first, "a", stream(None)).await;
    append(first, "a", "x", Condition::default()).await;
    let (channel, lane) = (name("a"), second.store.lane());
    let pinned = second.store.pin(now(second), &channel, Position::End).await.unwrap();
    let wait = second.store.wait(&channel, &pinned, &lane);
    assert_eq!(first.store.delete(now(first), &channel).await, Ok(Deleted::Gone));
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
    assert!(matches!(standing(second, "a", Use::Look).await, Standing::Absent));
}

/// Appends of one producer, each sent to both servers at once.
#[tokio::test]
async fn a_producers_append_is_kept_once() {
    let redis = RedisServer::start(&[]);
    let servers = Servers::start(&redis, 2).await;
    let [first, second] = &servers.nodes[..] else { unreachable!() };
    create(first, "a", stream(None)).await;
    let id = ProducerId::parse("p").unwrap();
    for seq in 0..20 {
        let stamp = ProducerStamp { id: id.clone(), epoch: 1, seq };
        let condition = Condition { producer: Some(stamp), ..Condition::default() };
        let text = format!("{seq},");
        let (one, other) =
            tokio::join!(append(first, "a", &text, condition.clone()), append(second, "a", &text, condition));
        let news = [&one, &other].iter().filter(|appended| matches!(appended, Appended::New { .. })).count();
        assert_eq!(news, 1, "{one:?} {other:?}");
    }
    let all: String = (0..20).map(|seq| format!("{seq},")).collect();
    assert_eq!(content(second, "a").await, all);
}

#[tokio::test]
async fn a_use_on_one_server_lengthens_a_life_on_all() {
    let redis = RedisServer::start(&[]);
    let servers = Servers::start(&redis, 2).await;
    let [first, second] = &servers.nodes[..] else { unreachable!() };
    let lifetime = Duration::from_millis(400);
    create(first, "a", stream(Some(Lifetime::Sliding(lifetime)))).await;
    let begun = now(first);
    // Used on the second server alone, for longer than it lasts.
    until("it was used for long", async || {
        assert!(matches!(standing(second, "a", Use::Renew).await, Standing::Live(_)));
        second.store.tend(now(second)).await;
        now(second).since(begun) > lifetime * 3
    })
    .await;
    assert!(matches!(standing(first, "a", Use::Look).await, Standing::Live(_)));
    until("it is over", async || matches!(standing(first, "a", Use::Look).await, Standing::Absent)).await;
    assert!(matches!(standing(second, "a", Use::Look).await, Standing::Absent));
    // Its name is free.
    let publish = Publish::one(Payload::text("x"));
    second.store.publish(now(second), &name("a"), publish).await.unwrap();
    assert_eq!(content(first, "a").await, "x");
}

#[tokio::test]
async fn a_close_alone_lengthens_a_life() {
    let redis = RedisServer::start(&[]);
    let servers = Servers::start(&redis, 2).await;
    let [first, second] = &servers.nodes[..] else { unreachable!() };
    let lifetime = Duration::from_millis(600);
    create(first, "a", stream(Some(Lifetime::Sliding(lifetime)))).await;
    let begun = now(first);
    until("half of its time is over", async || now(first).since(begun) > lifetime / 2).await;
    let publish = Publish::many(Vec::new()).closing();
    second.store.append(now(second), &name("a"), publish, Condition::default()).await.unwrap();
    let closed = now(second);
    let Standing::Live(description) = standing(first, "a", Use::Look).await else { panic!("it is over") };
    assert_eq!(description.ending, Ending::Close);
    until("its first time is over", async || now(first).since(begun) > lifetime * 5 / 4).await;
    let standing = standing(first, "a", Use::Look).await;
    // On a slow machine its second time may be over, too.
    let may_be_over = now(first).since(closed) > lifetime;
    assert!(matches!(standing, Standing::Live(_)) || may_be_over, "{standing:?}");
}

/// Nothing is announced to a server whose subscription was lost.
#[tokio::test]
async fn a_change_that_was_not_heard_is_seen() {
    let redis = RedisServer::start(&[]);
    let servers = Servers::start(&redis, 2).await;
    let [first, second] = &servers.nodes[..] else { unreachable!() };
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    create(first, "a", stream(None)).await;
    for round in 0..3 {
        append(first, "a", "x", Condition::default()).await;
        assert_eq!(content(second, "a").await, "x", "{round}");
        redis::cmd("CLIENT").arg(&["KILL", "TYPE", "pubsub"]).exec(&mut connection).unwrap();
        assert_eq!(first.store.purge(now(first), &name("a")).await, Ok(Purged::Done));
        assert_eq!(content(second, "a").await, "", "{round}");
    }
}

#[tokio::test]
async fn what_is_over_is_removed_though_nothing_asks_for_it() {
    let redis = RedisServer::start(&[]);
    let servers = Servers::start(&redis, 1).await;
    let node = &servers.nodes[0];
    create(node, "a", stream(Some(Lifetime::Sliding(Duration::from_millis(1))))).await;
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    let mut keys = || redis::cmd("KEYS").arg("log*:a").query::<Vec<String>>(&mut connection).unwrap();
    assert_eq!(keys().len(), 2, "its record and its life");
    until("it is removed", async || {
        node.store.tend(now(node)).await;
        keys().is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_source_stays_as_long_as_it_has_forks() {
    let redis = RedisServer::start(&[]);
    let servers = Servers::start(&redis, 2).await;
    let [first, second] = &servers.nodes[..] else { unreachable!() };
    create(first, "a", stream(None)).await;
    append(first, "a", "x", Condition::default()).await;
    create(second, "b", fork_of("a")).await;
    create(first, "c", fork_of("b")).await;
    append(second, "b", "y", Condition::default()).await;
    append(first, "c", "z", Condition::default()).await;
    assert_eq!(first.store.delete(now(first), &name("a")).await, Ok(Deleted::Hidden));
    assert_eq!(second.store.delete(now(second), &name("b")).await, Ok(Deleted::Hidden));
    assert_eq!(second.store.delete(now(second), &name("a")).await, Ok(Deleted::AlreadyHidden));
    for node in [first, second] {
        assert_eq!(content(node, "c").await, "xz");
    }
    assert_eq!(second.store.delete(now(second), &name("c")).await, Ok(Deleted::Gone));
    for channel in ["a", "b", "c"] {
        let standing = standing(first, channel, Use::Look).await;
        assert!(matches!(standing, Standing::Absent), "{channel} is {standing:?}");
    }
}

/// Makes forks of one source, each on another server and by its name perhaps in another partition, and deletes all of it.
pub(crate) async fn forks_come_and_go(nodes: &[Node], count: usize) {
    let node = |at: usize| &nodes[at % nodes.len()];
    create(node(0), "source", stream(None)).await;
    append(node(0), "source", "x", Condition::default()).await;
    let forks: Vec<_> = (0..count).map(|number| format!("fork/{number}")).collect();
    for (at, fork) in forks.iter().enumerate() {
        create(node(at), fork, fork_of("source")).await;
        append(node(at + 1), fork, "y", Condition::default()).await;
    }
    let source = node(1).store.delete(now(node(1)), &name("source")).await;
    assert_eq!(source, Ok(Deleted::Hidden));
    for (at, fork) in forks.iter().enumerate() {
        assert_eq!(content(node(at), fork).await, "xy");
        assert_eq!(node(at).store.delete(now(node(at)), &name(fork)).await, Ok(Deleted::Gone));
        let is_last = at + 1 == count;
        let source = standing(node(at + 1), "source", Use::Look).await;
        assert_eq!(matches!(source, Standing::Absent), is_last, "{source:?}");
    }
}

/// What is left where a server ends between the two steps of a fork.
#[tokio::test]
async fn a_source_forgets_a_fork_that_was_never_born() {
    let redis = RedisServer::start(&[]);
    let servers = Servers::start(&redis, 1).await;
    let node = &servers.nodes[0];
    create(node, "a", stream(None)).await;
    create(node, "b", fork_of("a")).await;
    assert_eq!(node.store.delete(now(node), &name("a")).await, Ok(Deleted::Hidden));
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    let mut keys = |pattern| redis::cmd("KEYS").arg(pattern).query::<Vec<String>>(&mut connection).unwrap();
    let (record, forks) = (keys("log*:m:b"), keys("log*:f:a"));
    redis::cmd("DEL").arg(&record).exec(&mut connection).unwrap();
    let known: Vec<Vec<u8>> = redis::cmd("HKEYS").arg(&forks).query(&mut connection).unwrap();
    redis::cmd("HSET").arg(&forks).arg(&known).arg([0_u8; 8].as_slice()).exec(&mut connection).unwrap();
    until("the source is gone", async || {
        node.store.tend(now(node)).await;
        matches!(standing(node, "a", Use::Look).await, Standing::Absent)
    })
    .await;
}
