//! A panic that would end the process ends only its seed.
//!
//! A destructor of the database may panic while another panic is unwinding, and nothing can catch two at once. A server aborts
//! then, and refuses the file at its next start. Here all seeds share one process. So the thread of the seed is stopped in the panic
//! hook, before the second one unwinds, and the seed counts as one whose store was refused.

use std::cell::RefCell;
use std::sync::mpsc::Sender;

use anyhow::Result;
use poll_core::journal::disk::{Panicked, on_panic};

use crate::disk::Disk;
use crate::outcome::{Counts, Outcome, refuse};
use crate::trace;

thread_local! {
    static SEED: RefCell<Option<Seed>> = const { RefCell::new(None) };
}

/// The seed of a thread.
struct Seed {
    outcome: Sender<Result<Outcome>>,
    disk: Disk,
}

/// Begins with the seed of this thread.
pub(crate) fn begin(outcome: Sender<Result<Outcome>>, disk: Disk) {
    SEED.set(Some(Seed { outcome, disk }));
}

/// Watches the panics of all threads.
pub(crate) fn watch() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // Only a journal's threads have such a stack; what else runs meanwhile is none of the journal's.
        match generator::is_generator().then(|| on_panic(panic)) {
            None | Some(Panicked::Elsewhere) => tell(panic),
            Some(Panicked::Caught) => {}
            Some(Panicked::EndsProcess(first)) => stop(&first),
        }
    }));
}

fn stop(why: &str) {
    let Some(Seed { outcome, disk }) = SEED.take() else { return };
    trace::log(|| format!("the process ends: {why}"));
    let (hash, transcript) = trace::end();
    let result = refuse(&disk, why, Counts::default());
    // The receiver may have given up.
    drop(outcome.send(Ok(Outcome { hash, transcript, result })));
    loop {
        std::thread::park();
    }
}
