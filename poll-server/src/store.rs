//! Opens the configured store, watches over it, and closes it.
//!
//! What: which stores this build has; opening in the background, so the server reports its state while a store is repaired
//! after a crash; one log line for each change of the store's health.
//! Why: the only place that knows all kinds of journal; everything else holds a `Store`.
//! Not here: what a store does (poll-core).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use poll_core::environment::Environment;
use poll_core::journal::disk::{self, DiskJournal, Options};
#[cfg(feature = "redis")]
use poll_core::journal::redis::{self, RedisJournal};
use poll_core::journal::{Fault, FaultKind, Health, MemoryJournal};
use poll_core::{Memory, Store};
use prometheus_client::registry::Registry;
use tokio::time::{MissedTickBehavior, timeout};

#[cfg(feature = "redis")]
use crate::config::Redis;
use crate::config::{Config, Durability, StoreUrl};
use crate::damage;
use crate::journal_metrics;
use crate::store_opening::Opening;

/// How long a start waits for the store before it listens. A store that cannot be used at all is known by then, and most
/// others are open.
const OPEN_TIMEOUT: Duration = Duration::from_secs(1);

/// How often the store checks that its file is still there. What is acknowledged in between may be lost if the file was
/// removed.
const VERIFY_INTERVAL: Duration = Duration::from_secs(1);

/// Why the store cannot be used, as one line.
#[derive(Debug)]
pub struct StoreError(String);

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StoreError {}

/// The store and its journal.
pub(crate) struct OpenStore {
    pub(crate) store: Store,
    journal: OpenJournal,
    /// What `/readyz` adds about durability; empty if nothing.
    note: String,
}

enum OpenJournal {
    Memory,
    Disk(DiskJournal, Arc<Opening>),
    #[cfg(feature = "redis")]
    Redis(RedisJournal, String),
}

/// Opens the configured store, or begins to. Its environment is the one to go on with: a shared log has a clock of its own.
///
/// # Errors
/// When it is known at once that the store cannot be used.
pub(crate) async fn open_store(environment: &Environment, config: &Config) -> Result<OpenStore, StoreError> {
    match &config.store {
        StoreUrl::Memory => {
            let memory = Memory::new(config.memory_bytes);
            let journal = Arc::new(MemoryJournal);
            let store = Store::within(environment.clone(), journal, config.retention, memory);
            Ok(OpenStore { store, journal: OpenJournal::Memory, note: String::new() })
        }
        StoreUrl::Disk(path) => open_disk(environment, config, path),
        #[cfg(feature = "redis")]
        StoreUrl::Redis(url) => open_redis(environment, config, url).await,
        #[cfg(not(feature = "redis"))]
        StoreUrl::Redis => Err(StoreError(
            "this build has none in Redis or Valkey; build poll-server with its feature `redis`".to_owned(),
        )),
    }
}

fn open_disk(environment: &Environment, config: &Config, path: &Path) -> Result<OpenStore, StoreError> {
    let options = Options { durability: durability(config.durability), ..Options::default() };
    let opening = Arc::new(Opening::new(path));
    let progress = opening.clone();
    let step = move |step| progress.step(step);
    let journal = DiskJournal::start(environment, environment.directory(path), options, step);
    let journal = journal.map_err(|error| StoreError(error.to_string()))?;
    let note = match config.durability {
        Durability::Commit => String::new(),
        Durability::Interval(interval) => {
            let note = "publishes are answered before they are kept: a crash loses up to";
            let note = format!("{note} {interval:?} of them");
            tracing::warn!("{note}");
            note
        }
    };
    let memory = Memory::new(config.memory_bytes);
    let store = Store::within(environment.clone(), Arc::new(journal.clone()), config.retention, memory);
    Ok(OpenStore { store, journal: OpenJournal::Disk(journal, opening), note })
}

#[cfg(feature = "redis")]
async fn open_redis(
    environment: &Environment,
    config: &Config,
    url: &redis::RedisUrl,
) -> Result<OpenStore, StoreError> {
    let Redis { prefix, durability } = config.redis.clone();
    let options = redis::Options { prefix, durability, ..redis::Options::default() };
    let journal = RedisJournal::connect(environment, url.clone(), options).await;
    let journal = journal.map_err(|error| StoreError(error.to_string()))?;
    let note = redis_note(durability);
    for warning in journal.warnings() {
        tracing::warn!("{warning}");
    }
    let environment = environment.clone().with_clock(journal.clock());
    let memory = Memory::new(config.memory_bytes);
    let store = Store::following(environment, Arc::new(journal.clone()), config.retention, memory);
    Ok(OpenStore { store, journal: OpenJournal::Redis(journal, url.to_string()), note })
}

/// What may be lost although its publisher was answered.
#[cfg(feature = "redis")]
fn redis_note(durability: redis::Durability) -> String {
    let (when, lost) = match durability {
        redis::Durability::Memory => (
            "Redis has them in memory".to_owned(),
            "its crash or failover loses what its file or replica does not have yet",
        ),
        redis::Durability::Replicas(count) => (
            format!("Redis and {count} of its replicas have them"),
            "a failover to another replica loses what that one does not have yet",
        ),
        redis::Durability::Disk => (
            "the file of Redis has them".to_owned(),
            "a failover to a replica loses what that one does not have yet",
        ),
    };
    format!("publishes are answered once {when}: {lost}")
}

pub(crate) fn durability(durability: Durability) -> disk::Durability {
    match durability {
        Durability::Commit => disk::Durability::Commit,
        Durability::Interval(interval) => disk::Durability::Interval(interval),
    }
}

impl OpenStore {
    /// Waits a moment for the store to open.
    ///
    /// # Errors
    /// When it cannot be used.
    pub(crate) async fn wait_briefly(&self) -> Result<(), StoreError> {
        if let OpenJournal::Disk(journal, _) = &self.journal {
            return match timeout(OPEN_TIMEOUT, journal.opened()).await {
                Ok(opened) => opened.map_err(|error| StoreError(damage::advice(&error))),
                Err(_) => Ok(()),
            };
        }
        if let Some(mut health) = self.store.watch_health() {
            let _in_time = timeout(OPEN_TIMEOUT, health.wait_for(|health| *health == Health::Ready)).await;
        }
        Ok(())
    }

    /// Resolves if the store turns out to be unusable.
    pub(crate) async fn failed(&self) -> StoreError {
        if let OpenJournal::Disk(journal, _) = &self.journal
            && let Err(error) = journal.opened().await
        {
            return StoreError(damage::advice(&error));
        }
        std::future::pending().await
    }

    /// Logs which store it is and what it holds; of a store that is still being opened, once it is open.
    pub(crate) fn log_contents(&self) {
        match &self.journal {
            OpenJournal::Memory => {
                tracing::info!(store = "memory:", "the store is memory:, and ends with this process");
            }
            OpenJournal::Disk(_, opening) => opening.announce(),
            #[cfg(feature = "redis")]
            OpenJournal::Redis(_, store) => tracing::info!(store, "the store is {store}; {}", self.note),
        }
    }

    /// The answer to `/readyz`.
    pub(crate) fn ready(&self) -> impl Fn() -> Result<String, String> + Send + Sync + use<> {
        let (store, note, when_full) = (self.store.clone(), self.note.clone(), self.when_full());
        move || readiness(&store.health(), &damage::with_damage(&note, &store), when_full)
    }

    fn when_full(&self) -> WhenFull {
        match &self.journal {
            OpenJournal::Memory | OpenJournal::Disk(..) => WhenFull::Ready,
            #[cfg(feature = "redis")]
            OpenJournal::Redis(..) => WhenFull::Unready,
        }
    }

    /// Registers what only this kind of store counts. Call the result before the metrics are written.
    pub(crate) fn register(&self, registry: &mut Registry) -> journal_metrics::Refresh {
        match &self.journal {
            OpenJournal::Memory => Box::new(|| {}),
            OpenJournal::Disk(journal, _) => journal_metrics::of_disk(journal.clone(), registry),
            #[cfg(feature = "redis")]
            OpenJournal::Redis(journal, _) => journal_metrics::of_redis(journal.clone(), registry),
        }
    }

    /// Logs what is wrong with the store whenever that changes, forever.
    pub(crate) fn log_health(&self) -> impl Future<Output = ()> + Send + use<> {
        let health = self.store.watch_health();
        async move {
            let Some(mut health) = health else { return };
            let mut before = Health::Ready;
            loop {
                let now = health.borrow_and_update().clone();
                match (news(&before, &now), now.fault()) {
                    (News::Fault, Some(Fault { kind, why })) => {
                        let remedy = damage::remedy(*kind);
                        tracing::error!(%kind, %why, "{kind}, publishes are refused: {why}{remedy}");
                    }
                    (News::Reason, Some(Fault { kind, why })) => {
                        tracing::info!(%kind, %why, "{kind}, still: {why}");
                    }
                    (News::Over, _) => tracing::info!("the store accepts publishes again"),
                    _ => {}
                }
                before = now;
                if health.changed().await.is_err() {
                    return;
                }
            }
        }
    }

    /// Makes the store check its file and overdue commits, forever.
    pub(crate) fn verify(&self) -> impl Future<Output = ()> + Send + use<> {
        let journal = match &self.journal {
            OpenJournal::Disk(journal, _) => Some(journal.clone()),
            _ => None,
        };
        async move {
            let Some(journal) = journal else { return };
            let mut ticks = tokio::time::interval(VERIFY_INTERVAL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                journal.verify();
            }
        }
    }

    /// Commits what is left and closes the file, so that the next start has nothing to repair.
    pub(crate) async fn close(&self) {
        if let Err(error) = self.store.shut_down().await {
            tracing::error!(%error, "the store was not closed cleanly: {error}");
        }
    }
}

/// What the log has to say of a change of the health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    Nothing,
    Fault,
    /// The same fault has another reason, as when a connection that ended cannot be opened again.
    Reason,
    Over,
}

/// What a fault stops may change while it lasts, as when first the subscription and then the commands of a Redis that is gone
/// fail. That is one fault, unless the store turns out to be lost for good.
fn news(before: &Health, now: &Health) -> News {
    let is_lost = |health: &Health| matches!(health, Health::Lost(_));
    match (before.fault(), now.fault()) {
        (None, None) => News::Nothing,
        (Some(_), None) => News::Over,
        (Some(old), Some(new)) if old.kind == new.kind && is_lost(before) == is_lost(now) => {
            if old.why == new.why { News::Nothing } else { News::Reason }
        }
        (_, Some(_)) => News::Fault,
    }
}

/// Whether a full store makes a server unready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WhenFull {
    /// No: another server would not have its messages.
    Ready,
    /// Yes: all servers that share the store say so.
    #[cfg_attr(
        not(any(feature = "redis", test)),
        expect(dead_code, reason = "only a log in Redis is shared")
    )]
    Unready,
}

/// The body of `/readyz`. It is public, so it names the kind of a fault and no more: details may name paths, and are in the
/// log (see [`OpenStore::log_health`]).
fn readiness(health: &Health, note: &str, when_full: WhenFull) -> Result<String, String> {
    match health {
        Health::Ready => Ok(note.to_owned()),
        // A full store can still be read; publishers get an error.
        Health::Refusing(Fault { kind: FaultKind::Full, .. }) if when_full == WhenFull::Ready => {
            let line = format!("{}: publishes are refused", FaultKind::Full);
            Ok(if note.is_empty() { line } else { format!("{note}\n{line}") })
        }
        Health::Refusing(fault) | Health::Away(fault) | Health::Lost(fault) => Err(fault.kind.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_logged_once_whatever_it_stops() {
        let fault = |why| Fault::new(FaultKind::Unreachable, why);
        let refusing = Health::Refusing(fault("refused"));
        assert_eq!(news(&Health::Ready, &refusing), News::Fault);
        assert_eq!(news(&refusing, &Health::Away(fault("refused"))), News::Nothing);
        assert_eq!(news(&refusing, &Health::Away(fault("broken pipe"))), News::Reason);
        assert_eq!(news(&refusing, &Health::Lost(fault("refused"))), News::Fault);
        let loading = Health::Away(Fault::new(FaultKind::Loading, "refused"));
        assert_eq!(news(&refusing, &loading), News::Fault);
        assert_eq!(news(&refusing, &Health::Ready), News::Over);
        assert_eq!(news(&Health::Ready, &Health::Ready), News::Nothing);
    }

    #[test]
    fn readiness_tells_the_kind_of_a_fault_and_nothing_else() {
        use FaultKind::{
            Closed, Damaged, Failing, Full, Gone, InUse, Loading, Opening, ReadOnly, Silent, Stalled,
            Unreachable, Version,
        };
        let fault = |kind| Fault::new(kind, "/srv/poll-data/poll.redb: Input/output error (os error 5)");
        let kinds = [
            Opening,
            Failing,
            Stalled,
            Gone,
            InUse,
            Damaged,
            Version,
            Unreachable,
            Loading,
            ReadOnly,
            Silent,
            Closed,
        ];
        for when_full in [WhenFull::Ready, WhenFull::Unready] {
            for kind in kinds {
                for health in [Health::Refusing, Health::Away, Health::Lost] {
                    assert_eq!(readiness(&health(fault(kind)), "a note", when_full), Err(kind.to_string()));
                }
            }
            assert!(readiness(&Health::Away(fault(Full)), "a note", when_full).is_err());
            assert_eq!(readiness(&Health::Ready, "a note", when_full), Ok("a note".to_owned()));
        }
        let full = Health::Refusing(fault(Full));
        let line = "the store has no room left: publishes are refused";
        assert_eq!(readiness(&full, "", WhenFull::Ready), Ok(line.to_owned()));
        assert_eq!(readiness(&full, "a note", WhenFull::Ready), Ok(format!("a note\n{line}")));
        assert_eq!(readiness(&full, "a note", WhenFull::Unready), Err(Full.to_string()));
    }
}
