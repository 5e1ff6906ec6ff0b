//! When to stop, and when to read files again: SIGTERM or SIGINT requests a drain, a second one an immediate end; SIGHUP
//! requests a reload.
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

/// Asks a server to stop, or to read its files again.
#[derive(Clone, Debug)]
pub struct Trigger {
    asked: watch::Sender<Asked>,
    reloads: watch::Sender<u64>,
}

impl Trigger {
    /// Requests a drain; called again, an immediate end.
    pub fn stop(&self) {
        self.asked.send_modify(|asked| {
            *asked = if *asked == Asked::No { Asked::Drain } else { Asked::AtOnce };
        });
    }

    /// Has the files read again that may change while the server runs.
    pub fn reload(&self) {
        self.reloads.send_modify(|count| *count += 1);
    }
}

/// The signals that `run` waits for.
#[derive(Clone, Debug)]
pub struct Shutdown {
    asked: watch::Receiver<Asked>,
    reloads: watch::Receiver<u64>,
}

impl Shutdown {
    /// A shutdown without signals.
    pub fn with_trigger() -> (Trigger, Self) {
        let ((asked, is_asked), (reloads, reloaded)) = (watch::channel(Asked::No), watch::channel(0));
        (Trigger { asked, reloads }, Self { asked: is_asked, reloads: reloaded })
    }

    /// Listens for SIGTERM, SIGINT and SIGHUP on the current tokio runtime, for as long as it runs.
    ///
    /// # Errors
    /// If the signals cannot be listened for.
    pub fn on_signals() -> io::Result<Self> {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut hang_up = signal(SignalKind::hangup())?;
        let (trigger, shutdown) = Self::with_trigger();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    _ = term.recv() => tracing::info!(signal = "SIGTERM", "SIGTERM"),
                    _ = int.recv() => tracing::info!(signal = "SIGINT", "SIGINT"),
                    _ = hang_up.recv() => {
                        tracing::info!(signal = "SIGHUP", "SIGHUP");
                        trigger.reload();
                        continue;
                    }
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

    /// Changes with each reload that is requested from here on.
    pub(crate) fn reloads(&self) -> watch::Receiver<u64> {
        self.reloads.clone()
    }

    /// If the trigger is dropped, nothing more can be requested, and this never returns.
    async fn until(&self, least: Asked) {
        let mut receiver = self.asked.clone();
        if receiver.wait_for(|asked| *asked >= least).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
