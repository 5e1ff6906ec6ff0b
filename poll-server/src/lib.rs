//! The server around poll: configuration, listeners, workers, drain, logs, metrics and the live page.
//!
//! What: [`run`] serves on bound listeners until a [`Shutdown`] is asked for, then drains. The binary adds arguments, signals
//! and exit codes; tests and embedding programs bring their own.
//! Why apart from the binary: so that a test can start it on port 0, or without sockets, and stop it.
//! Not here: HTTP (poll-http), messages (poll-core).

mod accept;
#[cfg(feature = "tls")]
mod acme;
#[cfg(not(feature = "tls"))]
#[path = "acme/absent.rs"]
mod acme;
mod announce;
mod arguments;
mod background;
pub mod config;
mod connection_io;
mod connection_limit;
mod counted;
mod damage;
mod doctor;
mod drain;
mod first_byte;
mod in_process;
mod io;
mod journal_metrics;
pub mod listen;
pub mod logs;
mod manual;
mod metrics;
mod outbound;
mod page;
mod service;
mod shutdown;
#[cfg(feature = "otlp")]
mod spans;
#[cfg(not(feature = "otlp"))]
#[path = "spans/absent.rs"]
mod spans;
mod store;
mod store_command;
mod store_opening;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "tls/absent.rs"]
mod tls;
mod tokens;
mod turn_histogram;
mod webhooks;
mod worker;

use std::net::SocketAddr;

use poll_core::Store;
use poll_core::environment::{Environment, Thread};
use poll_http::{Drain, Metrics, Service};
use tokio::task::JoinSet;

pub use self::doctor::{Doctor, Finding, Verdict};
pub use self::in_process::Dialer;
pub use self::manual::ManualCommand;
pub use self::shutdown::{Phase, Shutdown, Trigger};
pub use self::store::StoreError;
pub use self::store_command::{Moved, Outcome, StoreCommand};
pub use self::tokens::TokenCommand;
use crate::accept::Acceptor;
use crate::config::{Config, Fault};
use crate::connection_limit::{Bounds, ConnectionLimit};
use crate::listen::{Listener, Role};
use crate::metrics::{Exposition, SpanCounts};
use crate::service::Watched;
use crate::spans::{Exporting, Spans};
use crate::store::OpenStore;
use crate::tokens::Keeper;
use crate::turn_histogram::TurnHistogram;
use crate::worker::{Loads, Serving, Workers};

/// How a run came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everyone was answered, except on this many connections, which were cut.
    Drained {
        /// Connections that did not end within the drain time.
        cut: usize,
    },
    /// A second signal asked it to end at once.
    AtOnce,
}

/// Why a server could not run, as one line.
#[derive(Debug)]
pub enum RunError {
    /// The store cannot be used.
    Store(StoreError),
    /// Spans cannot be sent: why.
    Spans(String),
    /// The certificates cannot be used: what is wrong with them.
    Certificates(Vec<Fault>),
    /// The system cannot create a thread, runtime or event queue.
    System(std::io::Error),
    /// A worker thread ended by itself.
    Worker(usize),
}

impl std::fmt::Display for RunError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Certificates(faults) => {
                let faults: Vec<String> = faults.iter().map(Fault::to_string).collect();
                write!(f, "cannot use the certificates: {}", faults.join("; "))
            }
            Self::Spans(why) => write!(f, "cannot send spans: {why}"),
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

/// Serves on `listeners` until `shutdown` is asked for, then drains. Call it on a tokio runtime with IO and time; a
/// single-threaded one is enough, because connections are served on threads of their own.
///
/// All input from outside the program passes through the environment and the listeners. On a paused runtime, in a
/// [seeded](Environment::seeded) environment and with [listeners within the process](Listener::in_process), a run gives the
/// same every time, but for the `Date` of what hyper answers, which is the system's.
///
/// # Errors
/// When the store or a thread cannot be had, or a worker fails.
pub async fn run(
    environment: Environment,
    config: Config,
    listeners: Vec<Listener>,
    shutdown: Shutdown,
) -> Result<Ended, RunError> {
    let _lines = logs::batched::FlushAtEnd;
    let certificates = match &config.tls {
        Some(tls) => Some(tls::Keeper::load(tls, &environment).map_err(RunError::Certificates)?),
        None => None,
    };
    let open = store::open_store(&environment, &config).await.map_err(RunError::Store)?;
    open.wait_briefly().await.map_err(RunError::Store)?;
    // By the system's clock: a shared log has one of its own from here on.
    let acme = load_acme(&config, certificates.as_ref(), &environment)?;
    let store = open.store.clone();
    let environment = store.environment().clone();
    let metrics = Metrics::new();
    let limit = ConnectionLimit::new(bounds(&config), metrics.clone());
    let drain = Drain::new();
    let (addresses, others) = addresses(&listeners);

    let turns = TurnHistogram::new();
    let loads = Loads::of(config.workers);
    let counts = SpanCounts::default();
    let exposition = Exposition::new(&metrics, &turns, limit.clone(), loads.clone(), &counts, &open);
    let (spans, exporting) = start_spans(&config, &store, &counts)?;
    let standing = acme.as_ref().map(acme::Keeper::standing);
    let watched = Watched { metrics, exposition, spans };
    let service = service::build(&config, &addresses, &open, standing, watched, &drain);
    let tokens = Keeper::start(service.clone(), config.clone()).await;
    let serving = Serving {
        service,
        settings: service::connection_settings(&config),
        certificates: certificates.as_ref().map(tls::Keeper::certificates),
        port: addresses.first().map_or(443, SocketAddr::port),
    };
    let mut workers = Workers::start(&environment, &loads, &serving, &turns)?;
    let background = start_background(&config, &open, &serving.service);
    announce::start(&config, limit.max(), &open);
    announce::addresses(&config, &addresses, &others);
    follow_files(&environment, certificates, tokens, &shutdown)?;
    if let Some(keeper) = acme {
        let _exit = environment.spawn(Thread::new("acme", keeper.run(shutdown.reloads())))?;
    }

    let mut acceptor = Acceptor::new(listeners, limit.clone(), workers.dispatcher())?;
    shutdown.set_phase(Phase::Serving);
    let orderly = async {
        tokio::select! {
            biased;
            () = shutdown.asked() => {}
            never = acceptor.run() => match never {},
        }
        shutdown.set_phase(Phase::Stopping);
        drain::run(&drain, acceptor, &limit, store.notifier(), config.drain).await
    };
    let ended = tokio::select! {
        biased;
        () = shutdown.forced() => return Ok(Ended::AtOnce),
        index = workers.ended() => return Err(RunError::Worker(index)),
        error = open.failed() => return Err(RunError::Store(error)),
        cut = orderly => Ended::Drained { cut },
    };
    workers.stop().await;
    // Including the one that logs the store's health: that it is closed now is no fault.
    drop(background);
    tokio::join!(open.close(), flush(exporting));
    logs::flood::log_all_counts();
    Ok(ended)
}

/// What obtains certificates, where something does.
fn load_acme(
    config: &Config,
    certificates: Option<&tls::Keeper>,
    environment: &Environment,
) -> Result<Option<acme::Keeper>, RunError> {
    let (Some(tls), Some(keeper)) = (&config.tls, certificates) else { return Ok(None) };
    acme::Keeper::load(tls, keeper.obtained(), environment).map_err(RunError::Certificates)
}

/// What takes spans and what sends them, where there is a collector.
fn start_spans(
    config: &Config,
    store: &Store,
    counts: &SpanCounts,
) -> Result<(Option<Spans>, Option<Exporting>), RunError> {
    let start = |otlp| Spans::start(otlp, store.memory(), store.environment(), counts);
    Ok(config.otlp.as_ref().map(start).transpose().map_err(RunError::Spans)?.unzip())
}

async fn flush(exporting: Option<Exporting>) {
    if let Some(exporting) = exporting {
        exporting.flush().await;
    }
}

/// Starts what runs beside the connections, on this thread; dropping the set ends it.
fn start_background(config: &Config, open: &OpenStore, service: &Service) -> JoinSet<()> {
    let (store, environment) = (&open.store, open.store.environment());
    let mut background = JoinSet::new();
    background.spawn(open.log_health());
    background.spawn(damage::log(store));
    background.spawn(open.verify());
    background.spawn(background::sweep(store.clone(), environment.clone()));
    background.spawn(logs::flood::log_counts());
    background.spawn(background::keep(service.clone()));
    if let Some(interval) = config.demo {
        background.spawn(background::demonstrate(store.clone(), environment.clone(), interval));
    }
    background
}

/// Reads again what may change while the server runs, on threads of their own, because files may be slow. They end with the
/// requests for it.
fn follow_files(
    environment: &Environment,
    certificates: Option<tls::Keeper>,
    tokens: Keeper,
    shutdown: &Shutdown,
) -> std::io::Result<()> {
    if let Some(keeper) = certificates {
        keeper.describe().iter().for_each(|line| tracing::info!("certificate {line}"));
        let watching = tls::watch(keeper, shutdown.reloads());
        let _exit = environment.spawn(Thread::new("certificates", watching))?;
    }
    if tokens.has_work() {
        let keeping = tokens::keep(tokens, shutdown.reloads());
        let _exit = environment.spawn(Thread::new("tokens", keeping))?;
    }
    Ok(())
}

/// The addresses that are served, and those for something else.
fn addresses(listeners: &[Listener]) -> (Vec<SocketAddr>, Vec<(SocketAddr, Role)>) {
    let all = listeners.iter().map(|listener| (listener.address(), listener.role()));
    let (served, others): (Vec<_>, Vec<_>) = all.partition(|(_, role)| *role == Role::Serve);
    (served.into_iter().map(|(address, _)| address).collect(), others)
}

fn bounds(config: &Config) -> Bounds {
    let max = connection_limit::bound(config.limits.max_sockets, connection_limit::raise_open_files());
    let per_address = connection_limit::bound_per_address(config.limits.max_sockets_per_address, max);
    Bounds { max, per_address, proxies: config.trust.proxies.clone() }
}
