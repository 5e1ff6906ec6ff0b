//! [`Worker`]: what all requests of one worker share.
//!
//! Dialects and patterns get one. It knows neither, nor any path.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::Extensions;
use poll_core::environment::Environment;
use poll_core::{ChannelName, Lane, Pinned, Published, Store, Timestamp, Wait};

use crate::access::administration::Administration;
use crate::access::admission::Admission;
use crate::access::authority::Authorities;
use crate::access::client::Proxies;
use crate::message::access_log::AccessLog;
use crate::message::connection_record::Connections;
use crate::message::request_id::RequestId;
use crate::presence::Presence;
use crate::worker::drain::{Drain, Phase};
use crate::worker::intake::IntakeWatch;
use crate::worker::lists::Lists;
use crate::worker::metrics::Metrics;
use crate::worker::settings::ServiceSettings;
use crate::worker::timer_wheel::Timers;
use crate::worker::wake_to_write::WakeToWrite;

/// Streams woken before sockets are polled: few enough that publishes get in between, many enough that polling the
/// sockets costs nothing.
const STREAMS_AT_ONCE: usize = 128;

/// A worker, as seen by its requests. A clone is the same worker.
#[derive(Clone)]
pub(crate) struct Worker(Arc<Inner>);

struct Inner {
    server: Arc<Server>,
    /// Wakes polls, which are answered once and return: in large slices, because the last of a crowd should be answered
    /// before the first return.
    polls: Lane,
    /// Wakes streams: in small slices, because messages published meanwhile then reach those still to be woken in the same
    /// write.
    streams: Lane,
    /// Measures the wakes of both.
    wakes: Option<Arc<WakeToWrite>>,
    timers: Timers,
    intake: IntakeWatch,
    lists: Lists,
    /// The number of the next request id that is made.
    next_id: AtomicU64,
    /// State that higher modules keep for each worker.
    extensions: Extensions,
}

/// Called with each publish once every reader can see it.
pub(crate) type Hook = Arc<dyn Fn(&ChannelName, &Published) + Send + Sync>;

/// What all workers have in common.
pub(crate) struct Server {
    pub(crate) store: Store,
    pub(crate) settings: ServiceSettings,
    pub(crate) environment: Environment,
    pub(crate) drain: Drain,
    pub(crate) metrics: Metrics,
    pub(crate) admission: Admission,
    pub(crate) authorities: Authorities,
    pub(crate) administration: ArcSwap<Administration>,
    pub(crate) proxies: Proxies,
    /// What operators see of them.
    pub(crate) connections: Arc<Connections>,
    /// `None` if it is not kept.
    pub(crate) presence: Option<Presence>,
    pub(crate) hooks: Vec<Hook>,
    pub(crate) access_log: Option<AccessLog>,
    /// How many demonstration jobs are running.
    pub(crate) demo_jobs: Arc<AtomicUsize>,
    /// How many workers were made from the first.
    pub(crate) workers: AtomicUsize,
}

impl Worker {
    /// One whose wakes are measured as those of `number`, if it has one.
    pub(crate) fn new(server: Arc<Server>, number: Option<usize>, extensions: Extensions) -> Self {
        let (mut polls, mut streams) = (server.store.lane(), Lane::in_slices(STREAMS_AT_ONCE));
        let wakes = number.map(|number| Arc::new(WakeToWrite::new(server.metrics.wake_to_write(number))));
        if let Some(wakes) = &wakes {
            (polls, streams) = (polls.watched(wakes.clone()), streams.watched(wakes.clone()));
        }
        let (timers, intake) = (Timers::new(), IntakeWatch::default());
        let lists = Lists::new(server.store.clone(), polls.clone());
        // Far apart from other workers' and servers'.
        let next_id = AtomicU64::new(server.environment.random());
        Self(Arc::new(Inner { server, polls, streams, wakes, timers, intake, lists, next_id, extensions }))
    }

    /// Another worker of the same server.
    pub(crate) fn sibling(&self, extensions: Extensions) -> Self {
        let number = self.server().workers.fetch_add(1, Ordering::Relaxed);
        Self::new(self.0.server.clone(), Some(number), extensions)
    }

    pub(crate) fn server(&self) -> &Server {
        &self.0.server
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.server.store
    }

    pub(crate) fn settings(&self) -> &ServiceSettings {
        &self.0.server.settings
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.server.metrics
    }

    pub(crate) fn admission(&self) -> &Admission {
        &self.0.server.admission
    }

    /// Who may reach what is for operators.
    pub(crate) fn administration(&self) -> &ArcSwap<Administration> {
        &self.0.server.administration
    }

    /// Who judges tokens.
    pub(crate) fn authorities(&self) -> &Authorities {
        &self.0.server.authorities
    }

    pub(crate) fn drain(&self) -> &Drain {
        &self.0.server.drain
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.environment().now()
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.0.server.environment
    }

    /// The bits of a random id.
    pub(crate) fn random_id(&self) -> u128 {
        let environment = self.environment();
        u128::from(environment.random()) << 64 | u128::from(environment.random())
    }

    /// An id for a request that brought none.
    pub(crate) fn request_id(&self) -> RequestId {
        RequestId::made(self.0.next_id.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn timers(&self) -> &Timers {
        &self.0.timers
    }

    /// Whether the store accepts messages. Follows it while the worker is [driven](Self::drive).
    pub(crate) fn intake(&self) -> &IntakeWatch {
        &self.0.intake
    }

    /// The lists of channels that its requests read.
    pub(crate) fn lists(&self) -> &Lists {
        &self.0.lists
    }

    /// A higher module's state for this worker, if it has any.
    pub(crate) fn extension<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.0.extensions.get()
    }

    /// The lane of waiters that are answered once.
    pub(crate) fn polls(&self) -> &Lane {
        &self.0.polls
    }

    /// The lane of answers that stay open.
    pub(crate) fn streams(&self) -> &Lane {
        &self.0.streams
    }

    /// A message that `readers` have waited for was handed over to them, `lag` after its timestamp.
    pub(crate) fn handed_over(&self, lag: Duration, readers: u64) {
        self.metrics().lag(lag, readers);
        if let Some(wakes) = &self.0.wakes {
            wakes.handed_over();
        }
    }

    /// Waits for a channel on the lane of answers that stay open.
    pub(crate) fn wait_on(&self, channel: &ChannelName, pinned: &Pinned) -> Wait {
        self.store().wait(channel, pinned, &self.0.streams)
    }

    /// Wakes the waiters of both lanes in slices, every waiter once when the server drains, and streams when the store
    /// stops accepting messages or accepts them again. Never ends.
    pub(crate) fn drive(&self) -> impl Future<Output = ()> + Send + use<> {
        let (polls, streams) = (self.0.polls.drive(), self.0.streams.drive());
        let (drain, store) = (self.drain().clone(), self.store().clone());
        let intake = follow_health(store.clone(), self.0.intake.clone(), self.0.streams.clone());
        async move {
            let draining = async {
                drain.wait_draining().await;
                store.notifier().notify_all();
                std::future::pending::<()>().await;
            };
            futures_util::future::join4(polls, streams, draining, intake).await;
        }
    }

    /// Once the server drains: how long a waiter may still wait, drawn anew by each call, so responses are spread out. A
    /// waiter calls it once and keeps the result.
    pub(crate) fn random_drain_delay(&self) -> Option<Duration> {
        match self.drain().phase() {
            Phase::Draining { spread } => {
                Some(spread.mul_f64(self.environment().random() as f64 / u64::MAX as f64))
            }
            Phase::Serving | Phase::Unready => None,
        }
    }
}

/// Wakes the streams whenever the store stops accepting messages or accepts them again. Never ends.
async fn follow_health(store: Store, intake: IntakeWatch, streams: Lane) {
    if let Some(mut health) = store.watch_health() {
        loop {
            let changed = intake.set(&health.borrow_and_update());
            if changed {
                store.notifier().nudge(&streams);
            }
            if health.changed().await.is_err() {
                break;
            }
        }
    }
    std::future::pending::<()>().await;
}
