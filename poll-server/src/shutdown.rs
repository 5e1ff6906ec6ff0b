//! When to stop: SIGTERM or SIGINT requests a drain, a second one an immediate end.
//!
//! What: a [`Shutdown`] that follows signals, or the [`Trigger`] of an embedding program or test.
//! Why: `run` takes it as an argument, so that only the binary touches process-wide signals.
//! Not here: what draining does (`drain.rs`).

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// What was requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    No,
    Drain,
    AtOnce,
}

/// Asks a server to stop.
#[derive(Clone, Debug)]
pub struct Trigger(watch::Sender<Asked>);

impl Trigger {
    /// Requests a drain; called again, an immediate end.
    pub fn stop(&self) {
        self.0.send_modify(|asked| {
            *asked = if *asked == Asked::No { Asked::Drain } else { Asked::AtOnce };
        });
    }
}

/// The signal that `run` waits for.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<Asked>);

impl Shutdown {
    /// A shutdown without signals.
    pub fn with_trigger() -> (Trigger, Self) {
        let (sender, receiver) = watch::channel(Asked::No);
        (Trigger(sender), Self(receiver))
    }

    /// Listens for SIGTERM and SIGINT on the current tokio runtime, for as long as it runs.
    ///
    /// # Errors
    /// If the signals cannot be listened for.
    pub fn on_signals() -> io::Result<Self> {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (trigger, shutdown) = Self::with_trigger();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    _ = term.recv() => tracing::info!(signal = "SIGTERM", "SIGTERM"),
                    _ = int.recv() => tracing::info!(signal = "SIGINT", "SIGINT"),
                }
                trigger.stop();
            }
        });
        Ok(shutdown)
    }

    /// Returns once a drain or an immediate end was requested.
    pub(crate) async fn asked(&self) {
        self.until(Asked::Drain).await;
    }

    /// Returns once an immediate end was requested.
    pub(crate) async fn forced(&self) {
        self.until(Asked::AtOnce).await;
    }

    /// If the trigger is dropped, nothing more can be requested, and this never returns.
    async fn until(&self, least: Asked) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|asked| *asked >= least).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
