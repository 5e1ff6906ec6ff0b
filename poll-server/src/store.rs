//! Opens the configured store, watches over it, and closes it.
//!
//! What: which stores this build has; opening in the background, so the server reports its state while a store is repaired
//! after a crash; one log line for each change of the store's health.
//! Why: the only place that knows all kinds of journal; everything else holds a `Store`.
//! Not here: what a store does (poll-core).

use std::sync::Arc;
use std::time::Duration;

use poll_core::environment::Environment;
use poll_core::journal::disk::{self, DiskJournal, Options, Progress};
use poll_core::journal::{Archive, Fault, FaultKind, Health, MemoryJournal};
use poll_core::{Memory, Store};
use tokio::time::MissedTickBehavior;

use crate::config::{Config, Durability, StoreUrl};
use crate::damage;

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
    journal: Option<DiskJournal>,
    /// What `/readyz` adds about durability; empty if nothing.
    note: String,
}

/// Opens the configured store, or begins to.
///
/// # Errors
/// When it is known at once that the store cannot be used.
pub(crate) fn open_store(environment: &Environment, config: &Config) -> Result<OpenStore, StoreError> {
    let memory = Memory::new(config.memory_bytes);
    let StoreUrl::Disk(path) = &config.store else {
        let store = Store::within(environment.clone(), Arc::new(MemoryJournal), config.retention, memory);
        return Ok(OpenStore { store, journal: None, note: String::new() });
    };
    let options = Options { durability: durability(config.durability), ..Options::default() };
    let journal = DiskJournal::start(environment, environment.directory(path), options, report);
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
    let store = Store::within(environment.clone(), Arc::new(journal.clone()), config.retention, memory);
    Ok(OpenStore { store, journal: Some(journal), note })
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
        let Some(journal) = &self.journal else { return Ok(()) };
        match tokio::time::timeout(OPEN_TIMEOUT, journal.opened()).await {
            Ok(opened) => opened.map_err(|error| StoreError(damage::advice(&error))),
            Err(_) => Ok(()),
        }
    }

    /// Resolves if the store turns out to be unusable.
    pub(crate) async fn failed(&self) -> StoreError {
        if let Some(Err(error)) = match &self.journal {
            Some(journal) => Some(journal.opened().await),
            None => None,
        } {
            return StoreError(damage::advice(&error));
        }
        std::future::pending().await
    }

    /// The answer to `/readyz`.
    pub(crate) fn ready(&self) -> impl Fn() -> Result<String, String> + Send + Sync + use<> {
        let (store, note) = (self.store.clone(), self.note.clone());
        move || readiness(&store.health(), &damage::with_damage(&note, &store))
    }

    /// Logs every change of the store's health, forever.
    pub(crate) fn log_health(&self) -> impl Future<Output = ()> + Send + use<> {
        let health = self.journal.as_ref().map(Archive::health);
        async move {
            let Some(mut health) = health else { return };
            let mut before = Health::Ready;
            loop {
                let now = health.borrow_and_update().clone();
                if now != before {
                    match now.fault() {
                        None => tracing::info!("the store keeps what is published"),
                        Some(Fault { kind, why }) => {
                            tracing::error!("{kind}, publishes are refused: {why}");
                        }
                    }
                    before = now;
                }
                if health.changed().await.is_err() {
                    return;
                }
            }
        }
    }

    /// Makes the store check its file and overdue commits, forever.
    pub(crate) fn verify(&self) -> impl Future<Output = ()> + Send + use<> {
        let journal = self.journal.clone();
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
            tracing::error!("the store was not closed cleanly: {error}");
        }
    }
}

/// The body of `/readyz`. It is public, so it names the kind of a fault and no more: details may name paths, and are in the
/// log (see [`OpenStore::log_health`]).
fn readiness(health: &Health, note: &str) -> Result<String, String> {
    match health {
        Health::Ready => Ok(note.to_owned()),
        // A full store can still be read; publishers get an error.
        Health::Refusing(Fault { kind: FaultKind::Full, .. }) => {
            let line = format!("{}: publishes are refused", FaultKind::Full);
            Ok(if note.is_empty() { line } else { format!("{note}\n{line}") })
        }
        Health::Refusing(fault) | Health::Away(fault) | Health::Lost(fault) => Err(fault.kind.to_string()),
    }
}

/// Logs the progress of opening.
fn report(progress: Progress) {
    match progress {
        Progress::Opening => tracing::debug!("the store is being opened"),
        Progress::Repairing(done) => {
            tracing::info!(
                "the last shutdown was not clean: the store is being repaired, {:.0} %",
                done * 100.0
            );
        }
        Progress::Compacting => tracing::info!("the store is being compacted"),
        Progress::Ready => tracing::debug!("the store is open"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_tells_the_kind_of_a_fault_and_nothing_else() {
        use FaultKind::{Closed, Damaged, Failing, Full, Gone, InUse, Opening, Stalled};
        let fault = |kind| Fault::new(kind, "/srv/poll-data/poll.redb: Input/output error (os error 5)");
        for kind in [Opening, Failing, Stalled, Gone, InUse, Damaged, Closed] {
            for health in [Health::Refusing, Health::Away, Health::Lost] {
                assert_eq!(readiness(&health(fault(kind)), "a note"), Err(kind.to_string()));
            }
        }
        assert!(readiness(&Health::Away(fault(Full)), "a note").is_err());
        assert_eq!(readiness(&Health::Ready, "a note"), Ok("a note".to_owned()));
        let full = "the store has no room left: publishes are refused";
        assert_eq!(readiness(&Health::Refusing(fault(Full)), ""), Ok(full.to_owned()));
        assert_eq!(readiness(&Health::Refusing(fault(Full)), "a note"), Ok(format!("a note\n{full}")));
    }
}
