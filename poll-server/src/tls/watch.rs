//! Looks at the files of the certificates again: when asked to, and every five seconds.
//!
//! Why their content, and not their time of change: a link that now leads elsewhere, or a file that was restored, has any
//! time. A few kilobytes are read sooner than explained.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::certificates::{Keeper, Looked};

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(5);

/// Keeps the certificates as the files are, until no one can ask for a reload any more. Reading may block, so it needs its
/// own thread.
pub(crate) async fn watch(mut keeper: Keeper, mut reloads: watch::Receiver<u64>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let asked = tokio::select! {
            biased;
            asked = reloads.changed() => match asked {
                Ok(()) => Asked::Yes,
                Err(_gone) => return,
            },
            _ = ticks.tick() => Asked::No,
        };
        if asked == Asked::Yes {
            keeper.tell_again();
        }
        tell(&keeper.look(), asked);
    }
}

/// Whether an operator asked for the reload, and so is told even if nothing changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Yes,
    No,
}

fn tell(Looked { replaced, faults }: &Looked, asked: Asked) {
    replaced.iter().for_each(|line| tracing::info!("certificate replaced: {line}"));
    faults.iter().for_each(|fault| tracing::warn!("certificate not replaced: {fault}"));
    if asked == Asked::Yes && replaced.is_empty() && faults.is_empty() {
        tracing::info!("certificates are as they were");
    }
}
