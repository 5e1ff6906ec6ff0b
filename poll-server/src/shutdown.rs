//! When to stop: SIGTERM or SIGINT asks for a drain, a second one for an end at once.
//!
//! What: a [`Shutdown`] that follows signals, or the [`Trigger`] of an embedding program or test.
//! Why: `run` takes it as an argument, so that only the binary touches process-wide signals.
//! Not here: what draining does (`drain.rs`).

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// What was asked for.
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
    /// Asks for a drain; asked again, for an end at once.
    pub fn stop(&self) {
        self.0.send_modify(|asked| {
            *asked = if *asked == Asked::No { Asked::Drain } else { Asked::AtOnce };
        });
    }
}

/// What `run` waits for.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<Asked>);

impl Shutdown {
    /// A shutdown without signals.
    pub fn with_trigger() -> (Trigger, Self) {
        let (sender, receiver) = watch::channel(Asked::No);
        (Trigger(sender), Self(receiver))
    }

    /// Listens to SIGTERM and SIGINT, on the current tokio runtime, from now to its end.
    ///
    /// # Errors
    /// When the signals cannot be listened to.
    pub fn on_signals() -> io::Result<Self> {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (trigger, shutdown) = Self::with_trigger();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    _ = term.recv() => tracing::info!("SIGTERM"),
                    _ = int.recv() => tracing::info!("SIGINT"),
                }
                trigger.stop();
            }
        });
        Ok(shutdown)
    }

    /// Returns once a drain (or more) was asked for.
    pub(crate) async fn asked(&self) {
        self.until(Asked::Drain).await;
    }

    /// Returns once an end at once was asked for.
    pub(crate) async fn forced(&self) {
        self.until(Asked::AtOnce).await;
    }

    /// Once the trigger is dropped, nothing more will be asked for, and this never returns.
    async fn until(&self, least: Asked) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|asked| *asked >= least).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
