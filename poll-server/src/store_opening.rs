//! What the log says of a store on disk while it is opened, and once it is open.
//!
//! What: progress as it comes, and one line on what was recovered and how long that took.
//! Why apart: opening may take minutes after a crash, in which the server is up and this is the only sign of life.
//! Not here: opening (poll-core), and what the store does afterwards (`store.rs`).

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use poll_core::journal::disk::{Progress, Recovered};
use tokio::time::Instant;

use crate::counted::counted;

/// Follows one store as it is opened.
pub(crate) struct Opening {
    store: String,
    begun: Instant,
    state: Mutex<State>,
}

struct State {
    found: Found,
    /// What was recovered, and how long it took.
    opened: Option<(Recovered, Duration)>,
    announced: bool,
}

/// What the store was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Whole,
    New,
    Unclean,
}

impl Opening {
    pub(crate) fn new(path: &Path) -> Self {
        let state = State { found: Found::Whole, opened: None, announced: false };
        Self { store: format!("disk:{}", path.display()), begun: Instant::now(), state: Mutex::new(state) }
    }

    /// A step of opening it.
    pub(crate) fn step(&self, progress: Progress) {
        let mut state = self.state();
        match progress {
            Progress::Opening => tracing::debug!("the store is being opened"),
            Progress::Creating => state.found = Found::New,
            Progress::Repairing(done) => {
                state.found = Found::Unclean;
                log_repair(done);
            }
            Progress::Compacting => tracing::info!("the store is being compacted"),
            Progress::Ready(recovered) => {
                state.opened = Some((recovered, self.begun.elapsed()));
                if state.announced {
                    self.log(&state);
                }
            }
        }
    }

    /// Logs what the store holds, now or once it is open.
    pub(crate) fn announce(&self) {
        let mut state = self.state();
        state.announced = true;
        self.log(&state);
    }

    fn log(&self, state: &State) {
        let store = &*self.store;
        let Some((Recovered { channels, messages }, took)) = state.opened else {
            tracing::info!(store, "the store is {store}, which is still being opened");
            return;
        };
        let how = match state.found {
            Found::New => {
                tracing::info!(store, "the store is {store}, which is new");
                return;
            }
            Found::Whole => "opened",
            Found::Unclean => "repaired",
        };
        let (seconds, held) = (took.as_secs_f64(), counted(messages, "message"));
        tracing::info!(
            store,
            channels,
            messages,
            seconds,
            how,
            "the store is {store}: {} with {held}, {how} in {took:.1?}",
            counted(channels, "channel"),
        );
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Logs how far a repair has come.
pub(crate) fn log_repair(done: f64) {
    let percent = (done * 100.0).round();
    tracing::info!(percent, "the last shutdown was not clean: the store is being repaired, {percent} %");
}
