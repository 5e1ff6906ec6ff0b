//! How each fault is inflicted, how long it lasts, and how it is taken back.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _};
use rustix::process::Signal;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::fault::{Fault, Red};
use super::process::output;
use super::relay::{Flow, Flows};
use super::system::{Backing, System};
use crate::client::Client;

/// Lengths of faults, in milliseconds. Half of those that may last are longer than a node may take to notice.
const SHORT: std::ops::Range<u64> = 100..3_000;
const LONG: std::ops::Range<u64> = 6_000..8_000;
/// How long a node is stopped, in milliseconds; less in a quick round.
const STOPPED: std::ops::Range<u64> = 28_000..30_000;
/// Connections that publish in a burst, and the bytes of each message: small enough to be announced as it is.
const WRITERS: usize = 16;
const BULK: usize = 7_000;
/// How long a node takes nothing meanwhile, and how often that is tried.
const HELD: Duration = Duration::from_millis(2_500);
const TRIES: u32 = 10;
/// What Redis writes when it ends a subscription that does not take what it is sent.
const OVERRUN: &str = "overcoming of output buffer limits";

/// How thorough a round is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// Every fault that may last is noticed, and no fault lasts longer than that.
    Quick,
    Full,
}

/// A fault that is over.
#[derive(Debug)]
pub(super) struct Struck {
    pub(super) began: Instant,
    pub(super) ended: Instant,
    /// What each node must have said meanwhile.
    pub(super) red: Vec<Red>,
}

/// One round's fault.
pub(super) struct Strike<'a> {
    pub(super) system: &'a mut System,
    pub(super) random: &'a mut StdRng,
    pub(super) length: Length,
    /// A channel that is not judged.
    pub(super) channel: &'a str,
}

impl Strike<'_> {
    pub(super) async fn inflict(&mut self, fault: Fault) -> Result<Struck> {
        let began = Instant::now();
        let red = match fault {
            Fault::Control | Fault::Planted | Fault::ClockOff => self.nothing().await,
            Fault::PubsubKilled => self.kill_subscriptions().await?,
            Fault::Overrun => self.overrun().await?,
            Fault::Restart | Fault::RestartEverysec => self.restart().await?,
            Fault::Flushall => {
                self.system.backing.single()?.ask(&["flushall"]).await?;
                self.all(Red::May)
            }
            Fault::Full => {
                self.refuse(&[&["config", "set", "maxmemory", "1mb"]], &["config", "set", "maxmemory", "0"])
                    .await?
            }
            Fault::ReadOnly => self.read_only().await?,
            Fault::NodeKilled => self.kill_node().await?,
            Fault::NodeStopped => self.stop_node().await?,
            Fault::CutBoth => self.cut(|flow| Flows { there: flow, back: flow }).await?,
            Fault::CutThere => self.cut(|there| Flows { there, ..Flows::OPEN }).await?,
            Fault::CutBack => self.cut(|back| Flows { back, ..Flows::OPEN }).await?,
            Fault::Slow => self.delay().await,
            Fault::FailoverKill | Fault::FailoverReplicas => self.kill_master().await?,
            Fault::FailoverSleep => self.let_master_sleep().await?,
            Fault::ClusterKill => self.kill_cluster_master().await?,
        };
        Ok(Struck { began, ended: Instant::now(), red })
    }

    fn all(&self, red: Red) -> Vec<Red> {
        vec![red; self.system.nodes.len()]
    }

    /// Only this node has to do with it.
    fn only(&self, node: usize, red: Red) -> Vec<Red> {
        let mut all = self.all(Red::MustNot);
        all[node] = red;
        all
    }

    fn node(&mut self) -> usize {
        self.random.random_range(0..self.system.nodes.len())
    }

    async fn pass(&mut self, millis: std::ops::Range<u64>) {
        let length = Duration::from_millis(self.random.random_range(millis));
        sleep(length).await;
    }

    /// Lets a fault last.
    async fn last(&mut self) {
        let is_long = self.length == Length::Quick || self.random.random();
        self.pass(if is_long { LONG } else { SHORT }).await;
    }

    async fn nothing(&mut self) -> Vec<Red> {
        self.pass(SHORT).await;
        self.all(Red::MustNot)
    }

    async fn kill_subscriptions(&mut self) -> Result<Vec<Red>> {
        for _ in 0..self.random.random_range(1..6) {
            for store in self.system.backing.stores() {
                store.ask(&["client", "kill", "type", "pubsub"]).await?;
            }
            self.pass(20..500).await;
        }
        Ok(self.all(Red::May))
    }

    /// One node takes nothing from Redis while much is announced.
    async fn overrun(&mut self) -> Result<Vec<Red>> {
        let victim = self.node();
        let writer = self.system.nodes[(victim + 1) % self.system.nodes.len()].address;
        let redis = self.system.backing.single()?;
        redis.ask(&["config", "set", "client-output-buffer-limit", "pubsub 64kb 64kb 1"]).await?;
        let before = redis.said(OVERRUN);
        let mut burst = JoinSet::new();
        for _ in 0..WRITERS {
            burst.spawn_local(burst_to(writer, self.channel.to_owned()));
        }
        let mut tries = 0;
        while self.system.backing.single()?.said(OVERRUN) == before {
            ensure!(tries < TRIES, "a subscription took all in {TRIES} times");
            tries += 1;
            // A node that hears nothing for longer gives its subscription up by itself.
            self.system.relays[victim].set(Flows { back: Flow::Held, ..Flows::OPEN });
            sleep(HELD).await;
            self.system.relays[victim].set(Flows::OPEN);
            self.system.nodes[victim].ready().await?;
        }
        drop(burst);
        let redis = self.system.backing.single()?;
        redis.ask(&["config", "set", "client-output-buffer-limit", "pubsub 32mb 8mb 60"]).await?;
        Ok(self.all(Red::May))
    }

    async fn restart(&mut self) -> Result<Vec<Red>> {
        self.system.backing.single()?.kill();
        self.last().await;
        self.system.backing.single()?.start().await?;
        Ok(self.all(Red::Must))
    }

    /// Has Redis refuse what is published, and take it again.
    async fn refuse(&mut self, refuse: &[&[&str]], take: &[&str]) -> Result<Vec<Red>> {
        for words in refuse {
            self.system.backing.single()?.ask(words).await?;
        }
        self.last().await;
        self.system.backing.single()?.ask(take).await?;
        Ok(self.all(Red::Must))
    }

    async fn read_only(&mut self) -> Result<Vec<Red>> {
        if self.random.random() {
            let lonely = ["config", "set", "min-replicas-to-write"];
            return self.refuse(&[&[&lonely[..], &["1"]].concat()], &[&lonely[..], &["0"]].concat()).await;
        }
        // A replica of nothing keeps what it has, and takes nothing.
        self.refuse(&[&["replicaof", "127.0.0.1", "1"]], &["replicaof", "no", "one"]).await
    }

    async fn kill_node(&mut self) -> Result<Vec<Red>> {
        let victim = self.node();
        self.system.nodes[victim].kill();
        self.pass(SHORT).await;
        self.system.nodes[victim].start().await?;
        Ok(self.only(victim, Red::May))
    }

    async fn stop_node(&mut self) -> Result<Vec<Red>> {
        let victim = self.node();
        self.system.nodes[victim].signal(Signal::STOP)?;
        let is_quick = self.length == Length::Quick;
        self.pass(if is_quick { LONG } else { STOPPED }).await;
        self.system.nodes[victim].signal(Signal::CONT)?;
        Ok(self.only(victim, Red::May))
    }

    async fn cut(&mut self, flows: impl Fn(Flow) -> Flows) -> Result<Vec<Red>> {
        let victim = self.node();
        let flow = if self.random.random() { Flow::Held } else { Flow::Swallowed };
        let relay = self.system.relays.get(victim).context("there is no relay to cut")?;
        relay.set(flows(flow));
        self.last().await;
        self.system.relays[victim].set(Flows::OPEN);
        Ok(self.only(victim, Red::Must))
    }

    async fn delay(&mut self) -> Vec<Red> {
        let delay = Flow::Late(Duration::from_millis(self.random.random_range(20..300)));
        self.system.relays.iter().for_each(|relay| relay.set(Flows { there: delay, back: delay }));
        self.pass(2_000..5_000).await;
        self.system.relays.iter().for_each(|relay| relay.set(Flows::OPEN));
        self.all(Red::MustNot)
    }

    async fn kill_master(&mut self) -> Result<Vec<Red>> {
        let Backing::Trio(trio) = &mut self.system.backing else { anyhow::bail!("there is no trio") };
        let master = trio.master().await?;
        trio.stores[master].kill();
        trio.failover_from(master).await?;
        trio.stores[master].start().await?;
        trio.settle().await?;
        Ok(self.all(Red::May))
    }

    /// The master does nothing for a while; when it wakes it is one still, until a sentinel tells it otherwise.
    async fn let_master_sleep(&mut self) -> Result<Vec<Red>> {
        let Backing::Trio(trio) = &mut self.system.backing else { anyhow::bail!("there is no trio") };
        let master = trio.master().await?;
        let seconds = self.random.random_range(5..10).to_string();
        let sleep = trio.stores[master].command(&["debug", "sleep", &seconds])?;
        let asleep = tokio::task::spawn_local(output(sleep));
        trio.failover_from(master).await?;
        // The tool's own patience may end before the sleep does.
        let _ = asleep.await?;
        trio.settle().await?;
        Ok(self.all(Red::May))
    }

    async fn kill_cluster_master(&mut self) -> Result<Vec<Red>> {
        let Backing::Six(six) = &mut self.system.backing else { anyhow::bail!("there is no cluster") };
        let masters = six.masters().await?;
        ensure!(masters.len() == 3, "the cluster has {} masters", masters.len());
        let number = usize::try_from(self.random.next_u32())? % masters.len();
        let master = masters[number];
        six.stores[master].kill();
        six.failover_from(master).await?;
        six.stores[master].start().await?;
        six.settle().await?;
        Ok(self.all(Red::May))
    }
}

/// Publishes as fast as it is answered, until dropped.
async fn burst_to(node: SocketAddr, channel: String) {
    let mut client = Client::new(node);
    loop {
        // Another one that is refused or late proves nothing.
        if client.publish(&channel, "x".repeat(BULK)).await.is_err() {
            client.hang_up();
            tokio::task::yield_now().await;
        }
    }
}
