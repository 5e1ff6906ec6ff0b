//! [`Service`]: the handle that connections and programs hold.

use std::net::SocketAddr;
use std::sync::Arc;

use http::Extensions;
use poll_core::{ChannelList, ChannelName, Publish, PublishError, Published, Store};

use crate::access::administration::{Administration, Face};
use crate::access::admission::Limits;
use crate::access::authority::Authority;
use crate::message::connection_info::ConnectionInfo;
use crate::message::connection_record::OpenRecord;
use crate::message::head::{Field, Head};
use crate::message::request::Request;
use crate::message::request_id::RequestId;
use crate::service::answering::Answering;
use crate::service::dispatch::Dispatcher;
use crate::service::program::Program;
use crate::stream::broadcast::Broadcasts;
use crate::worker::Worker;
use crate::worker::drain::Drain;
use crate::worker::metrics::Metrics;
use crate::worker::shared::Server;
use crate::worker::timer_wheel::Timers;

/// The service behind a poll server. A clone is the same service on the same worker.
#[derive(Clone)]
pub struct Service(Arc<Dispatcher>);

impl Service {
    pub(super) fn new(server: Arc<Server>, program: Program) -> Self {
        let (worker, program) = (Worker::new(server, None, extensions()), Arc::new(program));
        Self(Arc::new(Dispatcher { worker, program, face: Face::Public }))
    }

    /// The same service for another worker: its waiters are woken, and its timers run, on the thread that drives it. The
    /// first one is number 0 in the [metrics](Metrics).
    #[must_use]
    pub fn for_worker(&self) -> Self {
        let Dispatcher { worker, program, face } = &*self.0;
        let worker = worker.sibling(extensions());
        Self(Arc::new(Dispatcher { worker, program: program.clone(), face: *face }))
    }

    /// The same service on the same worker, for connections of administration: they reach that and health, and nothing else.
    #[must_use]
    pub fn administration(&self) -> Self {
        Self(Arc::new(Dispatcher { face: Face::Administration, ..(*self.0).clone() }))
    }

    /// Replaces who may reach what is for operators.
    pub fn replace_administration(&self, administration: Administration) {
        self.0.worker.administration().store(Arc::new(administration));
    }

    /// Lists a connection for operators, until what is returned is dropped. `None`, and no cost to its requests, if there is no
    /// [administration](crate::ServiceSettings::administration) when it comes.
    #[must_use]
    pub fn list_connection(&self, peer: SocketAddr) -> Option<OpenRecord> {
        let worker = &self.0.worker;
        worker.administration().load().is_on().then(|| worker.server().connections.open(peer))
    }

    /// A task that a worker runs beside its connections: it wakes the worker's waiters in slices, and all of them when the
    /// server drains. Never ends. Without it a publisher wakes the waiters itself, before it is answered.
    pub fn drive(&self) -> impl Future<Output = ()> + Send + use<> {
        self.0.worker.drive()
    }

    /// A task that keeps [presence](crate::KeepPresence) for all workers, on any thread, once in a server. Never ends,
    /// unless presence is off.
    pub fn keep_presence(&self) -> impl Future<Output = ()> + Send + use<> {
        let presence = self.0.worker.server().presence.clone();
        async move {
            if let Some(presence) = presence {
                presence.keep().await;
            }
        }
    }

    /// Keeps the [subscriptions](crate::Builder::subscriptions) at work, of all workers. Never ends where there are any; call it
    /// once, on a tokio runtime.
    pub fn run_subscriptions(&self) -> impl Future<Output = ()> + Send + use<> {
        let hub = self.0.program.subscriptions.clone();
        async move {
            if let Some(hub) = hub {
                hub.run().await;
            }
        }
    }

    /// The store that the service answers from.
    #[must_use]
    pub fn store(&self) -> &Store {
        self.0.worker.store()
    }

    /// Its counters.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        self.0.worker.metrics()
    }

    /// The timers of the worker that it runs on.
    #[must_use]
    pub fn timers(&self) -> &Timers {
        self.0.worker.timers()
    }

    /// The handle by which waiters and connections learn that the server shuts down.
    #[must_use]
    pub fn drain(&self) -> &Drain {
        self.0.worker.drain()
    }

    /// Replaces who judges tokens, for all workers. Requests that were admitted before keep what they were granted.
    pub fn replace_authority(&self, authority: impl Authority) {
        self.0.worker.authorities().replace(Arc::new(authority));
    }

    /// Sets other limits on waiting requests and rates, for all workers. What waits already goes on.
    pub fn replace_limits(&self, limits: Limits) {
        self.0.worker.admission().replace(limits);
    }

    /// Answers one request. Whatever needs no waiting is done in the call, and its response is ready at the first poll.
    pub(crate) fn dispatch(&self, request: Request<'_>, connection: &ConnectionInfo) -> Answering {
        self.0.dispatch(request, connection)
    }

    /// Answers a request for a path of no dialect.
    pub(crate) fn not_found(&self, head: Head<'_>) -> Answering {
        Answering::not_found(self.identify(head))
    }

    /// The id of a request that is answered at once: its own, or one that is made where it has none or the account is full.
    pub(super) fn identify(&self, head: Head<'_>) -> RequestId {
        let worker = &self.0.worker;
        let given = head.field(Field::XRequestId);
        let given = given.and_then(|id| RequestId::given(id, worker.store().memory()).ok().flatten());
        given.unwrap_or_else(|| worker.request_id())
    }

    /// Publishes from within the program, by the service's clock; counted, and passed to the hooks. When this returns, all
    /// readers can see the messages. A publish to the [`Store`](poll_core::Store) itself is read like any other, but neither
    /// counted nor passed to the hooks.
    ///
    /// # Errors
    /// See [`PublishError`].
    ///
    /// # Panics
    /// If a hook does. With hooks, call it on a tokio runtime.
    pub async fn publish(&self, channel: &ChannelName, publish: Publish) -> Result<Published, PublishError> {
        self.0.worker.publish(channel, publish).await
    }
}

/// The extensions that streams add to each worker.
fn extensions() -> Extensions {
    let mut extensions = Extensions::new();
    extensions.insert(Broadcasts::<ChannelName>::default());
    extensions.insert(Broadcasts::<Arc<ChannelList>>::default());
    extensions
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("store", self.store()).finish_non_exhaustive()
    }
}
