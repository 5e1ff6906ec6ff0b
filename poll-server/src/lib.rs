//! The server around poll: configuration, listeners, workers, drain, logs, metrics and the live page.
//!
//! What: [`run`] serves on bound listeners until a [`Shutdown`] is asked for, then drains. The binary adds
//! arguments, signals and exit codes; tests and embedding programs bring their own.
//! Why apart from the binary: so that it can be started on port 0 and stopped by hand.
//! Not here: HTTP (poll-http), messages (poll-core).

mod accept;
mod background;
pub mod config;
mod connection_io;
mod connection_limit;
mod damage;
mod drain;
mod first_byte;
pub mod listen;
pub mod logs;
mod metrics;
mod page;
mod service;
mod shutdown;
mod store;
mod store_command;
mod turn_histogram;
mod worker;

use std::net::SocketAddr;

use poll_core::environment::Environment;
use poll_http::{Clock, Drain, Metrics};

pub use self::shutdown::{Hand, Shutdown};
pub use self::store::StoreError;
pub use self::store_command::{Offline, Outcome};
use crate::accept::Acceptor;
use crate::config::Config;
use crate::connection_limit::{Bounds, Sockets};
use crate::listen::Listener;
use crate::metrics::Exposition;
use crate::turn_histogram::Turns;
use crate::worker::Workers;

/// How a run came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everyone was answered but for this many connections, which were cut.
    Drained {
        /// Connections that did not end within the drain time.
        cut: usize,
    },
    /// It was asked to end a second time.
    AtOnce,
}

/// Why a server could not run, as one line.
#[derive(Debug)]
pub enum RunError {
    /// The store cannot be used.
    Store(StoreError),
    /// The system gives no thread, runtime or event queue.
    System(std::io::Error),
    /// A worker thread ended by itself.
    Worker(usize),
}

impl std::fmt::Display for RunError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(error) => write!(f, "cannot use the store: {error}"),
            Self::System(error) => write!(f, "cannot start: {error}"),
            Self::Worker(index) => write!(f, "worker {index} ended by itself"),
        }
    }
}

impl std::error::Error for RunError {}

impl From<std::io::Error> for RunError {
    fn from(error: std::io::Error) -> Self {
        Self::System(error)
    }
}

/// Serves on `listeners` until `shutdown` is asked for, then drains. Call it on a tokio runtime with IO and
/// time; a single-threaded one is enough, connections are served on threads of their own.
///
/// # Errors
/// When the store or a thread cannot be had, or a worker fails.
pub async fn run(
    environment: Environment,
    config: Config,
    listeners: Vec<Listener>,
    shutdown: Shutdown,
) -> Result<Ended, RunError> {
    let kept = store::open_store(&environment, &config).map_err(RunError::Store)?;
    kept.settle().await.map_err(RunError::Store)?;
    let store = kept.store.clone();
    let metrics = Metrics::new();
    let sockets = Sockets::new(bounds(&config), metrics.clone());
    let (drain, clock) = (Drain::new(), Clock::system());
    let addresses: Vec<SocketAddr> = listeners.iter().map(Listener::address).collect();

    let turns = Turns::new();
    let exposition = Exposition::new(&metrics, &turns, sockets.clone(), store.clone());
    let service = service::build(&config, &addresses, &kept, metrics, exposition, &drain);
    let settings = service::connection_settings(&config);
    let mut workers = Workers::start(config.workers, &service, &settings, &turns)?;
    let mut beside = tokio::task::JoinSet::new();
    beside.spawn(kept.watch());
    beside.spawn(damage::watch(&store));
    beside.spawn(kept.look());
    beside.spawn(background::sweep(store.clone(), clock.clone()));
    beside.spawn(logs::flood::tell());
    if let Some(interval) = config.demo {
        beside.spawn(background::demonstrate(store.clone(), clock, interval));
    }
    announce(&config, &addresses);

    let mut acceptor = Acceptor::new(listeners, sockets.clone(), workers.hands())?;
    let orderly = async {
        tokio::select! {
            never = acceptor.run() => match never {},
            () = shutdown.asked() => {}
        }
        drain::run(&drain, acceptor, &sockets, store.notifier(), config.drain).await
    };
    let ended = tokio::select! {
        () = shutdown.insisted() => return Ok(Ended::AtOnce),
        index = workers.ended() => return Err(RunError::Worker(index)),
        error = kept.fails() => return Err(RunError::Store(error)),
        cut = orderly => Ended::Drained { cut },
    };
    workers.stop();
    // The watch over the store's health with them: that it is closed now is no fault to report.
    drop(beside);
    kept.close().await;
    logs::flood::tell_all();
    Ok(ended)
}

fn bounds(config: &Config) -> Bounds {
    let most = connection_limit::bound(config.limits.max_sockets, connection_limit::raise_open_files());
    let per_address = connection_limit::bound_per_address(config.limits.max_sockets_per_address, most);
    Bounds { most, per_address, proxies: config.trust.proxies.clone() }
}

/// One line an address in force, and a warning where strangers may publish or read.
fn announce(config: &Config, addresses: &[SocketAddr]) {
    for address in addresses {
        tracing::info!("listening on http://{address}");
    }
    if addresses.iter().all(|address| address.ip().is_loopback()) {
        return;
    }
    let (may, why) = match (config.trust.publish.is_empty(), config.trust.subscribe.is_empty()) {
        (true, true) => ("publish and read", "neither a publish-token nor a subscribe-token is set"),
        (true, false) => ("publish", "no publish-token is set"),
        (false, true) => ("read", "no subscribe-token is set"),
        (false, false) => return,
    };
    tracing::warn!("anyone who reaches this server may {may}: {why}");
}
