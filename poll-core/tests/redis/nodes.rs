//! Servers that share one log, in one process.

use std::sync::Arc;
use std::time::Duration;

use poll_core::environment::Environment;
use poll_core::journal::redis::{Options, RedisJournal};
use poll_core::journal::{Archive, Fault, Health};
use poll_core::{Memory, Retention, Store};

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// How soon the health has to say that something is wrong.
const RED: Duration = Duration::from_secs(5);

/// One server.
pub(crate) struct Node {
    pub(crate) journal: RedisJournal,
    pub(crate) store: Store,
}

impl Node {
    pub(crate) async fn connect(url: &str) -> Self {
        Self::with(url, Options::default(), retention()).await
    }

    pub(crate) async fn with(url: &str, options: Options, retention: Retention) -> Self {
        Self::within(&Environment::system(), url, options, retention).await
    }

    pub(crate) async fn within(
        environment: &Environment,
        url: &str,
        options: Options,
        retention: Retention,
    ) -> Self {
        let journal = RedisJournal::connect(environment, url.parse().unwrap(), options).await.unwrap();
        let environment = environment.with_clock(journal.clock());
        let store = Store::following(environment, Arc::new(journal.clone()), retention, Memory::default());
        Self { journal, store }
    }

    pub(crate) async fn several(url: &str, count: usize) -> Vec<Self> {
        let mut nodes = Vec::new();
        for _ in 0..count {
            nodes.push(Self::connect(url).await);
        }
        nodes
    }

    /// Waits until the health says that something is wrong, which it has to within five seconds.
    pub(crate) async fn red(&self) -> Fault {
        let mut health = self.journal.health();
        let red = tokio::time::timeout(RED, health.wait_for(|health| health.fault().is_some())).await;
        red.expect("red within five seconds").unwrap().fault().unwrap().clone()
    }

    /// Waits until nothing is wrong.
    pub(crate) async fn ready(&self) {
        let mut health = self.journal.health();
        let ready = tokio::time::timeout(PATIENCE, health.wait_for(|health| *health == Health::Ready)).await;
        assert!(ready.is_ok(), "not ready again: {:?}", self.journal.health().borrow());
    }
}

/// Bounds that no test reaches.
pub(crate) fn retention() -> Retention {
    Retention { messages: 1_000_000, ..Retention::default() }
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        let mut looks = tokio::time::interval(Duration::from_millis(5));
        while !is_so().await {
            looks.tick().await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "in vain: {what}");
}
