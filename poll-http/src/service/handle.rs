//! [`Service`]: the handle that connections and programs hold.

use std::sync::Arc;

use http::Extensions;
use poll_core::{ChannelName, Publish, PublishError, Published, Store};

use crate::message::connection_info::ConnectionInfo;
use crate::message::request::Request;
use crate::service::answering::Answering;
use crate::service::dispatch::Dispatcher;
use crate::service::program::Program;
use crate::stream::broadcast::Broadcasts;
use crate::worker::Worker;
use crate::worker::drain::Drain;
use crate::worker::metrics::Metrics;
use crate::worker::shared::Server;
use crate::worker::timer_wheel::Timers;

/// What a poll server answers with. A clone is the same service on the same worker.
#[derive(Clone)]
pub struct Service(Arc<Dispatcher>);

impl Service {
    pub(super) fn new(server: Arc<Server>, program: Program) -> Self {
        let (worker, program) = (Worker::new(server, extensions()), Arc::new(program));
        Self(Arc::new(Dispatcher { worker, program }))
    }

    /// The same service for a worker of its own: its waiters are woken on its thread and its timers run there.
    #[must_use]
    pub fn for_worker(&self) -> Self {
        let Dispatcher { worker, program } = &*self.0;
        Self(Arc::new(Dispatcher { worker: worker.sibling(extensions()), program: program.clone() }))
    }

    /// What a worker runs beside its connections: it wakes the worker's waiters in slices, and all of them when the server
    /// drains. Never ends. Without it a publisher wakes the waiters itself, before it is answered.
    pub fn drive(&self) -> impl Future<Output = ()> + Send + use<> {
        self.0.worker.drive()
    }

    /// The store that the service answers from.
    #[must_use]
    pub fn store(&self) -> &Store {
        self.0.worker.store()
    }

    /// What it counts.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        self.0.worker.metrics()
    }

    /// The timers of the worker that it runs on.
    #[must_use]
    pub fn timers(&self) -> &Timers {
        self.0.worker.timers()
    }

    /// What tells waiters and connections that the server goes down.
    #[must_use]
    pub fn drain(&self) -> &Drain {
        self.0.worker.drain()
    }

    /// Answers one request. What needs no waiting is done in the call, and its answer is ready when it is first polled.
    pub(crate) fn dispatch(&self, request: Request<'_>, connection: &ConnectionInfo) -> Answering {
        self.0.dispatch(request, connection)
    }

    /// Publishes from within the program, by the service's clock; counted, and passed to the hooks. When this
    /// returns, all readers can see the messages. What is published to the [`Store`](poll_core::Store) itself is
    /// read like everything else, but neither counted nor passed to the hooks.
    ///
    /// # Errors
    /// See [`PublishError`].
    ///
    /// # Panics
    /// Where a hook does. With hooks it is to be called on a tokio runtime.
    pub async fn publish(&self, channel: &ChannelName, publish: Publish) -> Result<Published, PublishError> {
        self.0.worker.publish(channel, publish).await
    }
}

/// What the streams keep for each worker.
fn extensions() -> Extensions {
    let mut extensions = Extensions::new();
    extensions.insert(Broadcasts::default());
    extensions
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("store", self.store()).finish_non_exhaustive()
    }
}
