//! The journal's thread: it connects, waits for its store, and then keeps everything going until it is closed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::cmd;
use tokio::sync::oneshot;
use tokio::time::{Instant, interval, sleep, timeout};

use super::ask::Ask;
use super::commands;
use super::link::Link;
use super::pulse::server_time;
use super::shared::Shared;
use super::subscription;
use crate::journal::redis::connect::connection::{Connection, LinkError, Role};
use crate::journal::redis::connect::durability::Server;
use crate::journal::redis::connect::topology::Discovery;
use crate::journal::redis::log::script::Announce;
use crate::journal::redis::url::Place;
use crate::journal::{Fault, FaultKind, Health, Reply};
use crate::types::JournalError;

/// How long the first connections may take.
pub(crate) const FIRST: Duration = Duration::from_secs(5);
/// How long is waited before the first connections are tried again.
const RETRY: Duration = Duration::from_millis(100);
/// How often late things are looked at: a tenth of the shortest time that anything may take.
const TICK: Duration = Duration::from_millis(20);
/// How long what was accepted may take when the journal is closed.
const CLOSE: Duration = Duration::from_secs(3);
/// How often the topology is looked at. A failover is noticed by then even where the old master still answers.
const LOOK: Duration = Duration::from_secs(1);
/// How soon it may be looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The work of the thread. `connected` hears whether the log can be used at all.
pub(crate) async fn run(shared: Arc<Shared>, connected: oneshot::Sender<Result<(), LinkError>>) {
    let mut discovery = Discovery::new(shared.url.clone());
    let outcome = connect(&shared, &mut discovery).await;
    let is_good = outcome.is_ok();
    if is_good {
        // Until the first sessions say otherwise: publishes wait for them.
        shared.health.send_replace(Health::Ready);
    }
    let mut ending = Ending { shared: shared.clone(), fault: Fault::new(FaultKind::Closed, "it is closed") };
    if connected.send(outcome).is_err() || !is_good {
        return;
    }
    let Some(host) = attached(&shared).await else { return };
    let announce = match &shared.url.place {
        Place::Cluster(_) => Announce::Sharded,
        Place::Server(_) | Place::Sentinel { .. } => Announce::Publish,
    };
    let link = Arc::new(Link::new(shared.clone(), host, announce));
    let closes = tokio::select! {
        biased;
        closes = dispatch(&link) => closes,
        () = watch(&link, &mut discovery) => Vec::new(),
        () = tick(&link) => Vec::new(),
        () = link.broken.notified() => {
            ending.fault = Fault::new(FaultKind::Failing, "a task of the journal panicked");
            Vec::new()
        }
    };
    link.retire_all();
    drop(ending);
    for reply in closes {
        reply(Ok(()));
    }
}

/// Dropped when the thread ends, by a panic too: everything that still waits for an answer gets an error.
struct Ending {
    shared: Arc<Shared>,
    fault: Fault,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let error = self.fault.error();
        self.shared.health.send_replace(Health::Lost(self.fault.clone()));
        self.shared.inbox.end().fail(&error);
    }
}

fn spawn_vital(link: &Arc<Link>, work: impl Future<Output = ()> + Send + 'static) {
    let link = link.clone();
    tokio::spawn(async move {
        let _vital = link.vital();
        work.await;
    });
}

/// Waits for the store; `None` if there will be none.
async fn attached(shared: &Shared) -> Option<crate::journal::Host> {
    loop {
        let attached = shared.attached.notified();
        if let Some(host) = shared.host.get() {
            return Some(host.clone());
        }
        tokio::select! {
            biased;
            () = attached => {}
            requests = shared.inbox.take() => {
                let is_over = requests.is_dropped || !requests.closes.is_empty();
                requests.fail(&JournalError::Unavailable("it is not attached to a store".to_owned()));
                if is_over {
                    return None;
                }
            }
        }
    }
}

/// Checks once that every server of the log can be used.
async fn connect(shared: &Shared, discovery: &mut Discovery) -> Result<(), LinkError> {
    let deadline = Instant::now() + FIRST;
    let mut before = LinkError::TimedOut;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let error = match timeout(left, check_servers(shared, discovery)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error @ LinkError::Unfit(_))) => return Err(error),
            Ok(Err(error)) => error,
            // An attempt that had no time says less than the one before it.
            Err(_) => return Err(before),
        };
        if Instant::now() + RETRY >= deadline {
            return Err(error);
        }
        before = error;
        sleep(RETRY).await;
    }
}

async fn check_servers(shared: &Shared, discovery: &mut Discovery) -> Result<(), LinkError> {
    shared.warnings.lock().clear();
    let topology = discovery.look().await?;
    for node in topology.0 {
        let mut connection = Connection::open(&shared.url, &node.address, Role::Server, None).await?;
        let server = Server::of(&mut connection).await?;
        server.is_of(&shared.url.place)?;
        server.fits(shared.options.durability)?;
        if let Some(warning) = server.warning() {
            shared.warnings.lock().push(format!("{}: {warning}", node.address));
        }
        let asked = shared.clock.here();
        if let Some(there) = server_time(&connection.ask(&cmd("TIME")).await?) {
            shared.clock.set(shared.clock.behind(None, asked, there));
        }
    }
    Ok(())
}

/// Hands what workers want to those who do it. Ends when the journal is closed and everything accepted is answered.
async fn dispatch(link: &Link) -> Vec<Reply<()>> {
    let shared = &link.shared;
    loop {
        let requests = shared.inbox.take().await;
        let is_over = requests.is_dropped || !requests.closes.is_empty();
        link.change(|state, _| {
            requests.publishes.into_iter().for_each(|publish| state.publish(publish));
            requests.questions.into_iter().for_each(|question| state.ask(Ask::new(question)));
            requests.checks.into_iter().for_each(|check| state.check(check));
        });
        if is_over {
            link.close();
            let deadline = Instant::now() + CLOSE;
            while !link.state.lock().is_quiet() && Instant::now() < deadline {
                sleep(TICK).await;
            }
            return requests.closes;
        }
    }
}

/// Keeps the sessions as the topology wants them.
async fn watch(link: &Arc<Link>, discovery: &mut Discovery) {
    loop {
        let look = link.looks.fetch_add(1, Ordering::Relaxed) + 1;
        match discovery.look().await {
            Ok(topology) => {
                for session in link.apply(topology) {
                    spawn_vital(link, commands::run(link.clone(), session.clone()));
                    spawn_vital(link, subscription::run(link.clone(), session));
                }
                link.looked.send_replace(look);
            }
            Err(error) => link.topology_unknown(&error),
        }
        if !discovery.changes() {
            return std::future::pending().await;
        }
        sleep(LOOK_AGAIN).await;
        drop(timeout(LOOK, link.look.notified()).await);
    }
}

/// Looks at what is late.
async fn tick(link: &Link) {
    let mut ticks = interval(TICK);
    loop {
        ticks.tick().await;
        link.tick();
    }
}
