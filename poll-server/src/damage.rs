//! Damage in the store: told on `/readyz`, in the log, and where the store cannot be opened because of it.
//!
//! What: the words, and a watch that puts what is found into the log.
//! Why apart: damage is nothing that the server waits for, unlike the store's health.
//! Not here: finding it (poll-core), telling readers (poll-http), taking out what is whole (`salvage.rs`).

use std::time::Duration;

use poll_core::Store;
use poll_core::journal::disk::OpenError;

/// How often the log tells of more damage at the most.
const PACE: Duration = Duration::from_secs(10);

/// What `/readyz` says beside that the store can be used: this note, and a line for damage, if there is some.
pub(crate) fn beside(note: &str, store: &Store) -> String {
    match (note, store.damage().map_or(0, |damage| damage.borrow().rows)) {
        (note, 0) => note.to_owned(),
        ("", rows) => format!("damaged: {rows}"),
        (note, rows) => format!("{note}\ndamaged: {rows}"),
    }
}

/// Why the store cannot be opened, with what can be done about it.
pub(crate) fn advice(error: &OpenError) -> String {
    match error {
        OpenError::Damaged(line) => format!("{line} (poll-server salvage takes out what is whole)"),
        error => error.to_string(),
    }
}

/// Says in the log what was found damaged, for ever.
pub(crate) fn watch(store: &Store) -> impl Future<Output = ()> + Send + use<> {
    let damage = store.damage();
    async move {
        let Some(mut damage) = damage else { return };
        while damage.changed().await.is_ok() {
            let found = damage.borrow_and_update().clone();
            tracing::error!(
                "the store is damaged: {} rows so far, of {} (poll-server check looks through all of it)",
                found.rows,
                found.last
            );
            tokio::time::sleep(PACE).await;
        }
    }
}
