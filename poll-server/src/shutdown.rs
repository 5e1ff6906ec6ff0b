//! When to stop, and when to read files again: SIGTERM or SIGINT requests a drain, a second one an immediate end; SIGHUP
//! requests a reload.
//!
//! What: a [`Shutdown`] that follows signals, or the [`Trigger`] of an embedding program or test. systemd is told when the
//! server is ready and when it stops (`sd_notify(3)`).
//! Why: `run` takes it as an argument, so that only the binary touches process-wide signals.
//! Not here: what draining does (`drain.rs`).

use std::io;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// What was requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    No,
    Drain,
    AtOnce,
}

/// How far a server has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its store is being opened.
    Starting,
    /// It accepts connections.
    Serving,
    /// It was asked to stop.
    Stopping,
}

/// Asks a server to stop, or to read its files again.
#[derive(Clone, Debug)]
pub struct Trigger {
    asked: watch::Sender<Asked>,
    reloads: watch::Sender<u64>,
    phase: watch::Receiver<Phase>,
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

    /// Changes as the server starts and stops.
    #[must_use]
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.clone()
    }
}

/// The signals that `run` waits for.
#[derive(Clone, Debug)]
pub struct Shutdown {
    asked: watch::Receiver<Asked>,
    reloads: watch::Receiver<u64>,
    phase: watch::Sender<Phase>,
}

impl Shutdown {
    /// A shutdown without signals.
    pub fn with_trigger() -> (Trigger, Self) {
        let ((asked, is_asked), (reloads, reloaded)) = (watch::channel(Asked::No), watch::channel(0));
        let (phase, is_in_phase) = watch::channel(Phase::Starting);
        (Trigger { asked, reloads, phase: is_in_phase }, Self { asked: is_asked, reloads: reloaded, phase })
    }

    /// Listens for SIGTERM, SIGINT and SIGHUP on the current tokio runtime, for as long as it runs.
    ///
    /// # Errors
    /// If the signals cannot be listened for.
    pub fn on_signals() -> io::Result<Self> {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut hang_up = signal(SignalKind::hangup())?;
        let (trigger, shutdown) = Self::with_trigger();
        let mut phase = trigger.phase();
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
                    Ok(()) = phase.changed() => {
                        notify_supervisor(*phase.borrow_and_update());
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

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.send_replace(phase);
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

/// Does nothing where no supervisor asked for it (`NOTIFY_SOCKET`).
fn notify_supervisor(phase: Phase) {
    let state = match phase {
        Phase::Starting => return,
        Phase::Serving => NotifyState::Ready,
        Phase::Stopping => NotifyState::Stopping,
    };
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the supervisor cannot be told that the server is {phase:?}: {error}");
    }
}
