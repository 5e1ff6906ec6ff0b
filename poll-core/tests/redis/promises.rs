//! What is promised beside the log itself: durability, the clock, and that a journal which cannot do its work says so.

use std::time::Duration;

use poll_core::environment::Environment;
use poll_core::journal::redis::{Durability, Options, RedisJournal};
use poll_core::journal::{Archive, FaultKind, Health};
use poll_core::life::{
    AppendError, Bounds, Condition, Create, CreateError, Created, ProducerId, ProducerStamp,
};
use poll_core::{
    ChannelName, Ending, IdempotencyKey, JournalError, Payload, Publish, PublishError, Published, Timestamp,
};
use rustix::process::Signal;

use super::fixture::name;
use super::nodes::{Node, retention};
use super::server::RedisServer;

async fn publish(node: &Node, text: &str) -> Result<Published, PublishError> {
    let name = ChannelName::parse("a").unwrap();
    let message = Publish::one(Payload::text(text.to_owned()));
    node.store.publish(node.store.environment().now(), &name, message).await
}

fn durable(durability: Durability) -> Options {
    Options { durability, ..Options::default() }
}

/// Why a journal cannot be connected.
async fn refused(url: &str, options: Options) -> String {
    let environment = Environment::system();
    RedisJournal::connect(&environment, url.parse().unwrap(), options).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_publish_waits_for_as_many_replicas_as_promised() {
    let master = RedisServer::start(&[]);
    let node = Node::with(&master.url(), durable(Durability::Replicas(1)), retention()).await;
    // Only the master has it.
    let alone = publish(&node, "x").await;
    let unknown = matches!(alone, Err(PublishError::Journal(JournalError::OutcomeUnknown(_))));
    assert!(unknown, "{alone:?}");
    assert_eq!(node.red().await.kind, FaultKind::Failing);
    let port = master.address().port().to_string();
    let _replica =
        RedisServer::start(&["--replicaof", "127.0.0.1", &port, "--repl-diskless-sync-delay", "0"]);
    node.ready().await;
    publish(&node, "y").await.unwrap();
}

/// What is kept is not safe because it is asked for again: a publish under a key, and the end of a channel.
#[tokio::test]
async fn a_repeat_waits_for_as_many_replicas_as_promised() {
    let master = RedisServer::start(&[]);
    let port = master.address().port().to_string();
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", &port, "--repl-diskless-sync-delay", "0"]);
    let options = durable(Durability::Replicas(1));
    let first = Node::with(&master.url(), options.clone(), retention()).await;
    let second = Node::with(&master.url(), options, retention()).await;
    for node in [&first, &second] {
        node.ready().await;
    }
    let keyed = async |node: &Node| {
        let message = Publish::one(Payload::text("x")).under(IdempotencyKey::parse("k").unwrap());
        let name = ChannelName::parse("a").unwrap();
        node.store.publish(node.store.environment().now(), &name, message).await.map(|_| ())
    };
    let close = async |node: &Node| {
        node.store.close(node.store.environment().now(), &ChannelName::parse("b").unwrap()).await
    };
    replica.signal(Signal::STOP);
    // One of two is a repeat, and both are sent before the health says that the replica is late.
    let answers = tokio::join!(keyed(&first), keyed(&second), close(&first), close(&second));
    for answer in <[_; 4]>::from(answers) {
        let unknown = matches!(answer, Err(PublishError::Journal(JournalError::OutcomeUnknown(_))));
        assert!(unknown, "{answer:?}");
    }
    for node in [&first, &second] {
        node.red().await;
    }
    replica.signal(Signal::CONT);
    for node in [&first, &second] {
        node.ready().await;
        keyed(node).await.unwrap();
        close(node).await.unwrap();
    }
}

/// Nor is what was done to a channel with a life of its own: here by a server that promises less.
#[tokio::test]
async fn what_is_so_already_waits_for_as_many_replicas_as_promised() {
    let master = RedisServer::start(&[]);
    let port = master.address().port().to_string();
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", &port, "--repl-diskless-sync-delay", "0"]);
    let hasty = Node::connect(&master.url()).await;
    let node = Node::with(&master.url(), durable(Durability::Replicas(1)), retention()).await;
    node.ready().await;
    for channel in ["appended", "closed", "deleted"] {
        let created = hasty.store.create(now(&hasty), &name(channel), stream()).await;
        assert!(matches!(created, Ok(Created::New { .. })), "{created:?}");
    }
    replica.signal(Signal::STOP);
    for (what, answer) in everything(&hasty).await {
        assert_eq!(answer, Ok(()), "{what}");
    }
    for (what, answer) in everything(&node).await {
        assert!(matches!(answer, Err(PublishError::Journal(_))), "{what}: {answer:?}");
    }
    node.red().await;
    replica.signal(Signal::CONT);
    node.ready().await;
    for (what, answer) in everything(&node).await {
        assert_eq!(answer, Ok(()), "{what}");
    }
}

/// What changes something once, and is so after that.
async fn everything(node: &Node) -> [(&'static str, Result<(), PublishError>); 4] {
    let stamp = ProducerStamp { id: ProducerId::parse("p").unwrap(), epoch: 0, seq: 0 };
    let condition = Condition { producer: Some(stamp), ..Condition::default() };
    let (append, close) = (Publish::one(Payload::text("x")), Publish::many(Vec::new()).closing());
    let (appended, closed, born, deleted) = (name("appended"), name("closed"), name("born"), name("deleted"));
    let (appended, closed, created, deleted) = tokio::join!(
        node.store.append(now(node), &appended, append, condition),
        node.store.append(now(node), &closed, close, Condition::default()),
        node.store.create(now(node), &born, stream()),
        node.store.delete(now(node), &deleted),
    );
    let unkept = |error| match error {
        AppendError::Closed { .. } => Ok(()),
        AppendError::Publish(error) => Err(error),
        error => panic!("{error:?}"),
    };
    let created = created.map(|_| ()).map_err(|error| match error {
        CreateError::Publish(error) => error,
        error => panic!("{error:?}"),
    });
    [
        ("the append", appended.map_or_else(unkept, |_| Ok(()))),
        ("the close", closed.map_or_else(unkept, |_| Ok(()))),
        ("the creation", created),
        ("the end", deleted.map(|_| ())),
    ]
}

fn stream() -> Create {
    Create {
        content_type: None,
        lifetime: None,
        bounds: Bounds::UNLIMITED,
        payloads: [].into_iter().collect(),
        ending: Ending::Open,
        origin: None,
    }
}

fn now(node: &Node) -> Timestamp {
    node.store.environment().now()
}

#[tokio::test]
async fn disk_is_promised_where_redis_can_keep_it() {
    let synced = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let node = Node::with(&synced.url(), durable(Durability::Disk), retention()).await;
    publish(&node, "x").await.unwrap();
    let unsynced = RedisServer::start(&[]);
    let error = refused(&unsynced.url(), durable(Durability::Disk)).await;
    assert!(error.contains("appendonly"), "{error}");
}

#[tokio::test]
async fn times_are_those_of_redis_even_an_hour_off() {
    let server = RedisServer::start(&[]);
    let system = Environment::system();
    let hour = Duration::from_secs(3_600);
    let late = system.with_clock({
        let system = system.clone();
        move || system.now().after(hour)
    });
    let early = system.with_clock({
        let system = system.clone();
        move || system.now().before(hour)
    });
    for environment in [late, early] {
        let node = Node::within(&environment, &server.url(), Options::default(), retention()).await;
        let at = publish(&node, "x").await.unwrap().stamps[0].at;
        let apart = |a: Timestamp, b: Timestamp| a.since(b).max(b.since(a));
        assert!(apart(at, node.store.environment().now()) < Duration::from_secs(5));
        assert!(apart(at, system.now()) < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn what_cannot_be_connected_to_is_said_in_one_line() {
    let server = RedisServer::start(&[]);
    let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    redis::cmd("CONFIG").arg(&["SET", "requirepass", "secret"]).exec(&mut connection).unwrap();
    let address = server.address();
    let table = [
        (format!("redis://:wrong-one@{address}"), "accepts neither the user nor the password"),
        (format!("redis://{address}"), "wants a password"),
        ("redis://127.0.0.1:1".to_owned(), "refused"),
        (format!("redis+cluster://:secret@{address}"), "cluster"),
    ];
    for (url, part) in table {
        let error = refused(&url, Options::default()).await;
        assert!(error.contains(part) && !error.contains('\n'), "{url}: {error}");
        assert!(!error.contains("wrong-one") && !error.contains("secret"), "{error}");
    }
    let url = format!("redis://:secret@{address}");
    Node::connect(&url).await;
}

#[tokio::test]
async fn a_closed_journal_has_kept_what_it_accepted() {
    let server = RedisServer::start(&[]);
    let node = Node::connect(&server.url()).await;
    publish(&node, "x").await.unwrap();
    let sends: Vec<_> = (0..50)
        .map(|number: usize| {
            let (store, name) = (node.store.clone(), ChannelName::parse("a").unwrap());
            tokio::spawn(async move {
                let message = Publish::one(Payload::text(number.to_string()));
                store.publish(store.environment().now(), &name, message).await
            })
        })
        .collect();
    tokio::task::yield_now().await;
    node.store.shut_down().await.unwrap();
    for send in sends {
        assert!(send.await.unwrap().is_ok());
    }
    assert!(
        matches!(&*node.journal.health().borrow(), Health::Lost(fault) if fault.kind == FaultKind::Closed)
    );
    assert!(matches!(publish(&node, "late").await, Err(PublishError::Journal(_))));
    node.store.shut_down().await.unwrap();
}

#[tokio::test]
async fn an_eviction_policy_is_warned_of() {
    let server = RedisServer::start(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    let node = Node::connect(&server.url()).await;
    assert!(node.journal.warnings()[0].contains("allkeys-lru"));
}
