//! Damage in the store: reported on `/readyz`, in the log, and where the store cannot be opened because of it.
//!
//! What: the log lines, and a task that writes them.
//! Why apart: the server goes on with a damaged store, so damage is not part of its health.
//! Not here: finding damage (poll-core), telling readers (poll-http), exporting what is intact (`store_command.rs`).

use std::time::Duration;

use poll_core::Store;
use poll_core::journal::{Fault, FaultKind};

/// The least time between two log lines.
const INTERVAL: Duration = Duration::from_secs(10);

/// What `/readyz` adds when the store can be used: a note, and a line for damage, if there is any.
pub(crate) fn with_damage(note: &str, store: &Store) -> String {
    match (note, store.damage().map_or(0, |damage| damage.borrow().rows)) {
        (note, 0) => note.to_owned(),
        ("", rows) => format!("damaged: {rows}"),
        (note, rows) => format!("{note}\ndamaged: {rows}"),
    }
}

/// Why the store cannot be opened, and what can be done about it.
pub(crate) fn advice(fault: &Fault) -> String {
    format!("{fault}{}", remedy(fault.kind))
}

/// What can be done about a fault of this kind, to be added to a line that tells of it.
pub(crate) fn remedy(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Damaged => " (poll-server salvage takes out what is whole)",
        _ => "",
    }
}

/// Logs damage, also what was found while the store was opened, and then as it is found, forever.
pub(crate) fn log(store: &Store) -> impl Future<Output = ()> + Send + use<> {
    let damage = store.damage();
    async move {
        let Some(mut damage) = damage else { return };
        let mut told = 0;
        while let Ok(found) = damage.wait_for(|found| found.rows > told).await.map(|found| found.clone()) {
            let (rows, last) = (found.rows, found.last);
            told = rows;
            tracing::error!(
                rows,
                last,
                "the store is damaged: {rows} rows so far, of {last} (poll-server check looks through all of it)"
            );
            tokio::time::sleep(INTERVAL).await;
        }
    }
}
