//! The worker threads: each a single-threaded runtime that serves the connections handed to it.
//!
//! What: starts them, hands each connection to the least busy one, stops them.
//! Why: waking ten thousand waiters on the thread they live on costs two to six times less than on a shared runtime.
//! Not here: accepting (`accept.rs`), HTTP (poll-http).

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use futures_util::FutureExt as _;
use poll_core::environment::{Environment, Exit, Thread};
use poll_http::{
    ConnectionContext, ConnectionError, ConnectionSettings, Cut, OpenRecord, Peer, Redirect, Service,
};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::connection_io::{Accepted, ConnectionIo};
use crate::connection_limit::{ConnectionLimit, OpenConnection};
use crate::io::Io;
use crate::listen::Role;
use crate::logs;
use crate::tls::{self, Certificates, Handshakes, Unfinished};
use crate::turn_histogram::TurnHistogram;

/// Tasks that run before the runtime looks at its sockets again. Three times the runtime's default, so that the responses
/// to a crowd are written one after another: see "Optimisations that pay" in ARCHITECTURE.md.
const EVENT_INTERVAL: u32 = 192;

/// All worker threads; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Workers {
    dispatcher: Dispatcher,
    exits: Vec<Exit>,
}

/// Gives connections to workers. Clones share the workers.
#[derive(Clone, Debug)]
pub(crate) struct Dispatcher {
    workers: Arc<[Worker]>,
    /// Where the search for the least busy one begins, so that equally busy ones take turns.
    next: Arc<AtomicUsize>,
}

/// How many connections each worker has open. Clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Loads(Arc<[Arc<AtomicUsize>]>);

impl Loads {
    /// Of so many workers.
    pub(crate) fn of(count: NonZeroUsize) -> Self {
        Self((0..count.get()).map(|_| Arc::default()).collect())
    }

    /// Those of each worker now.
    pub(crate) fn now(&self) -> impl Iterator<Item = usize> {
        self.0.iter().map(|load| load.load(Ordering::Relaxed))
    }
}

#[derive(Debug)]
struct Worker {
    /// Unbounded, yet bounded: the queue is never longer than the number of connections that may be open.
    queue: UnboundedSender<Dispatched>,
    /// Its open connections.
    load: Arc<AtomicUsize>,
}

/// A connection that was accepted.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) accepted: Accepted,
    pub(crate) peer: SocketAddr,
    /// What its listener is for.
    pub(crate) role: Role,
}

/// What all connections of a server are served with.
#[derive(Clone, Debug)]
pub(crate) struct Serving {
    pub(crate) service: Service,
    pub(crate) settings: ConnectionSettings,
    /// Where there are any, connections are encrypted.
    pub(crate) certificates: Option<Certificates>,
    /// Where listeners that only redirect lead to.
    pub(crate) port: u16,
}

/// A connection on its way to a worker.
#[derive(Debug)]
struct Dispatched {
    arrived: Arrived,
    limit: ConnectionLimit,
    open: OpenConnection,
}

impl Workers {
    /// Starts a thread for each load.
    ///
    /// # Errors
    /// If the system cannot create a thread or a runtime.
    pub(crate) fn start(
        environment: &Environment,
        loads: &Loads,
        serving: &Serving,
        turns: &TurnHistogram,
    ) -> io::Result<Self> {
        let (mut workers, mut exits) = (Vec::new(), Vec::new());
        let unfinished = Unfinished::default();
        for (index, load) in loads.0.iter().enumerate() {
            let (queue, dispatched) = mpsc::unbounded_channel();
            workers.push(Worker { queue, load: Arc::clone(load) });
            let worker_loop = WorkerLoop::new(serving, &unfinished, dispatched);
            let turns = turns.clone();
            exits.push(environment.spawn(Thread {
                event_interval: Some(EVENT_INTERVAL),
                on_park: Some(end_turn),
                ..Thread::new(format!("worker-{index}"), async move {
                    turns.observe_this_thread();
                    worker_loop.run().await;
                })
            })?);
        }
        Ok(Self { dispatcher: Dispatcher { workers: workers.into(), next: Arc::default() }, exits })
    }

    pub(crate) fn dispatcher(&self) -> Dispatcher {
        self.dispatcher.clone()
    }

    /// Returns once a worker ended by itself, which only a bug makes it do.
    pub(crate) async fn ended(&mut self) -> usize {
        std::future::poll_fn(|cx| {
            let ended = self.exits.iter_mut().position(|exit| Pin::new(exit).poll(cx).is_ready());
            ended.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Ends all workers; connections that are still open are cut.
    pub(crate) async fn stop(self) {
        drop(self.dispatcher);
        for exit in self.exits {
            exit.await;
        }
    }
}

/// Called when a worker has nothing else to do.
fn end_turn() {
    poll_http::end_turn();
    logs::batched::flush();
}

impl Dispatcher {
    /// Gives a connection to the worker with the fewest, or closes it if its address has too many.
    pub(crate) fn dispatch(&self, arrived: Arrived, limit: &ConnectionLimit) {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.workers.len();
        let candidates = (0..count).map(|step| &self.workers[first.wrapping_add(step) % count]);
        if let Some(worker) = candidates.min_by_key(|worker| worker.load.load(Ordering::Relaxed)) {
            let Some(open) = limit.open(arrived.peer.ip(), &worker.load) else {
                limit.cut(Cut::Sockets);
                tracing::debug!(peer = %arrived.peer, "its address has too many connections open (max-sockets-per-address)");
                return;
            };
            let limit = limit.clone();
            // If the worker has ended, dropping the connection closes it, and `ended` tells of the worker.
            let _gone = worker.queue.send(Dispatched { arrived, limit, open });
        }
    }
}

/// What one worker runs.
struct WorkerLoop {
    service: Service,
    /// The same for connections of administration.
    administration: Service,
    context: Arc<ConnectionContext>,
    handshakes: Option<Handshakes>,
    redirect: Redirect,
    dispatched: UnboundedReceiver<Dispatched>,
}

impl WorkerLoop {
    fn new(serving: &Serving, unfinished: &Unfinished, dispatched: UnboundedReceiver<Dispatched>) -> Self {
        let service = serving.service.for_worker();
        let context = Arc::new(service.connections(serving.settings.clone()));
        let certificates = serving.certificates.clone();
        let handshakes = certificates
            .map(|certificates| Handshakes::new(certificates, unfinished.clone(), Arc::clone(&context)));
        let administration = service.administration();
        let redirect = Redirect::to_https(service.clone(), serving.port);
        Self { service, administration, context, handshakes, redirect, dispatched }
    }

    /// Serves until the dispatcher is dropped. The runtime then drops what is still open.
    async fn run(mut self) {
        let mut waker = tokio::spawn(self.service.drive());
        loop {
            tokio::select! {
                biased;
                dispatched = self.dispatched.recv() => match dispatched {
                    Some(dispatched) => self.serve(dispatched),
                    None => return,
                },
                end = &mut waker => {
                    // Without this task no waiter here would ever be woken: better to end, and be noticed.
                    tracing::error!("the task that wakes waiters ended: {end:?}");
                    return;
                }
            }
        }
    }

    fn service(&self, role: Role) -> Service {
        if role == Role::Administer { self.administration.clone() } else { self.service.clone() }
    }

    fn serve(&self, Dispatched { arrived: Arrived { accepted, peer, role }, limit, open }: Dispatched) {
        let listed = self.service.list_connection(peer);
        let record = listed.as_ref().map(|listed| listed.record().clone());
        let io = match ConnectionIo::new(accepted, &limit, record.clone()) {
            Ok(io) => io,
            Err(error) => {
                tracing::warn!(%peer, %error, "a connection could not be taken up: {error}");
                return;
            }
        };
        let context = self.context.clone();
        let open = Open { listed, _counted: open };
        // Not `async` blocks, which would hold room for the connection twice.
        match (role, &self.handshakes) {
            (Role::Redirect, _) => {
                let from = Peer { record, ..Peer::from(peer) };
                spawn(poll_http::serve(Io::Plain(io), from, self.redirect.clone(), context), peer, open);
            }
            (Role::Serve | Role::Administer, None) => {
                let from = Peer { record, ..Peer::from(peer) };
                spawn(poll_http::serve(Io::Plain(io), from, self.service(role), context), peer, open);
            }
            (Role::Serve | Role::Administer, Some(handshakes)) => {
                let service = self.service(role);
                let begin =
                    |io, peer| poll_http::serve(Io::from(io), Peer { record, ..peer }, service, context);
                spawn(tls::serve(io, peer, handshakes, begin), peer, open);
            }
        }
    }
}

/// Held while a connection is open.
struct Open {
    /// Where operators see it.
    listed: Option<OpenRecord>,
    _counted: OpenConnection,
}

/// Serves a connection to its end, or until an operator cuts it.
fn spawn(
    connection: impl Future<Output = Result<(), ConnectionError>> + Send + 'static,
    peer: SocketAddr,
    open: Open,
) {
    let record = open.listed.as_ref().map(|listed| listed.record().clone());
    let task = tokio::spawn(connection.map(move |ended| {
        // Peers vanish and break the protocol all day long.
        if let Err(error) = ended {
            tracing::debug!(%peer, "{error}");
        }
        drop(open);
    }));
    if let Some(record) = record {
        record.served_by(task.abort_handle());
    }
}
