//! When to stop: SIGTERM or SIGINT asks for a drain, a second one for an end at once.
//!
//! What: a [`Shutdown`] that hears signals, or a [`Hand`] that an embedding program or test moves.
//! Why: `run` takes it as an argument, so nothing but the binary touches process-wide signals.
//! Not here: what draining does (`drain.rs`).

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How often the end was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    No,
    Drain,
    AtOnce,
}

/// The asking side.
#[derive(Clone, Debug)]
pub struct Hand(watch::Sender<Asked>);

impl Hand {
    /// Asks for a drain; asked again, for an end at once.
    pub fn stop(&self) {
        self.0.send_modify(|asked| {
            *asked = if *asked == Asked::No { Asked::Drain } else { Asked::AtOnce };
        });
    }
}

/// The side that `run` listens to.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<Asked>);

impl Shutdown {
    /// A shutdown moved by hand.
    pub fn by_hand() -> (Hand, Self) {
        let (sender, receiver) = watch::channel(Asked::No);
        (Hand(sender), Self(receiver))
    }

    /// Listens to SIGTERM and SIGINT, on the current tokio runtime, from now to its end.
    ///
    /// # Errors
    /// When the signals cannot be listened to.
    pub fn on_signals() -> io::Result<Self> {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (hand, shutdown) = Self::by_hand();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = term.recv() => tracing::info!("SIGTERM"),
                    _ = int.recv() => tracing::info!("SIGINT"),
                }
                hand.stop();
            }
        });
        Ok(shutdown)
    }

    /// Returns once a drain (or more) was asked for.
    pub(crate) async fn asked(&self) {
        self.until(Asked::Drain).await;
    }

    /// Returns once an end at once was asked for.
    pub(crate) async fn insisted(&self) {
        self.until(Asked::AtOnce).await;
    }

    /// A dropped hand can ask for nothing more: then this never returns.
    async fn until(&self, least: Asked) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|asked| *asked >= least).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
