//! One request's way: host, route, site, phase, dialect, pattern, response. Used by both protocols.
//!
//! The only place where a refusal becomes a response, and where what every answer carries is added. Nothing is
//! parsed twice and nothing waits here.

pub(crate) mod archive_read;
mod builder;
mod check;
mod dispatch;
mod finish;
pub(crate) mod mount;
pub(crate) mod permit;
mod read;
pub(crate) mod read_body;
pub(crate) mod router;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll};
use std::time::Duration;

use poll_core::{ChannelName, Cursor, Lane, Message, Pinned, ReadState, Store, Timestamp, Wait};

pub(crate) use archive_read::{A_LOOK, Late};
pub use builder::Builder;
pub use check::Ask;

use check::{Check, Hook};
use dispatch::Later;

use crate::access::admission::Admission;
use crate::access::client::{Client, Proxies};
use crate::dialect::question::Answer;
use crate::message::refusal::{Refusal, Shape};
use crate::message::reply::{Reply, Sniffing};
use crate::stream::broadcast::FanOuts;
use crate::worker::clock::Clock;
use crate::worker::drain::{Drain, Phase};
use crate::worker::metrics::{Metrics, MetricsText};
use crate::worker::settings::{Receipts, ServiceSettings, Site};
use crate::worker::timer_wheel::Deadlines;

/// Streams woken before sockets are looked at: few enough that publishes come in between, many enough that the look
/// costs nothing.
const STREAMS_AT_ONCE: usize = 128;

/// What a poll server answers with. A clone is the same service on the same worker.
#[derive(Clone)]
pub struct Service(Arc<Worker>);

struct Worker {
    shared: Arc<Shared>,
    /// Of polls, which are answered once and ask again: in large slices, so that the last of a crowd is answered before
    /// the first have come back.
    polls: Lane,
    /// Of answers that stay open: in small slices, so that what is published during a fan-out reaches those still to be
    /// woken in the same write.
    streams: Lane,
    /// Of answers that stay open and are level.
    fan_outs: FanOuts,
    deadlines: Deadlines,
}

/// What all workers have in common.
struct Shared {
    store: Store,
    settings: ServiceSettings,
    clock: Clock,
    drain: Drain,
    metrics: Metrics,
    metrics_text: MetricsText,
    ready: Ready,
    site: Site,
    demo_jobs: Arc<AtomicUsize>,
    admission: Arc<Admission>,
    proxies: Proxies,
    check: Option<Check>,
    hooks: Vec<Hook>,
}

/// Whether the server can do its work: what there is to know about it, or the reason why not.
type Ready = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

impl Service {
    /// A service above `store`, to be set up.
    pub fn builder(store: Store) -> Builder {
        Builder::new(store)
    }

    /// The same service for a worker of its own: its waiters are woken on its thread and its timers run there.
    #[must_use]
    pub fn for_worker(&self) -> Self {
        Self::of(self.0.shared.clone())
    }

    fn of(shared: Arc<Shared>) -> Self {
        let (polls, streams) = (shared.store.lane(), Lane::in_slices(STREAMS_AT_ONCE));
        Self(Arc::new(Worker {
            polls,
            streams,
            fan_outs: FanOuts::default(),
            deadlines: Deadlines::new(),
            shared,
        }))
    }

    /// What a worker runs beside its connections: it wakes the worker's waiters in slices, and tells them when
    /// the server drains. Never ends. Without it waiters are woken by whoever publishes, before that is answered.
    pub fn drive(&self) -> impl Future<Output = ()> + Send + use<> {
        let (polls, streams) = (self.0.polls.drive(), self.0.streams.drive());
        let (drain, store) = (self.0.shared.drain.clone(), self.0.shared.store.clone());
        async move {
            let tell = async {
                drain.wait_draining().await;
                store.notifier().notify_all();
                std::future::pending::<()>().await;
            };
            futures_util::future::join3(polls, streams, tell).await;
        }
    }

    /// The store that the service answers from.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.shared.store
    }

    pub(crate) fn settings(&self) -> &ServiceSettings {
        &self.0.shared.settings
    }

    /// What it counts.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.0.shared.metrics
    }

    /// The timers of the worker that it runs on.
    #[must_use]
    pub fn deadlines(&self) -> &Deadlines {
        &self.0.deadlines
    }

    pub(crate) fn fan_outs(&self) -> &FanOuts {
        &self.0.fan_outs
    }

    pub(crate) fn demo_jobs(&self) -> &Arc<AtomicUsize> {
        &self.0.shared.demo_jobs
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.shared.clock.now()
    }

    /// The waiters that are answered once.
    pub(crate) fn polls(&self) -> &Lane {
        &self.0.polls
    }

    /// Waits with the intention to go on.
    pub(crate) fn wait_on(&self, channel: &ChannelName, pinned: &Pinned) -> Wait {
        self.store().wait(channel, pinned, &self.0.streams)
    }

    /// Once the server drains: how long this waiter may still wait, so that not all are answered at once.
    pub(crate) fn time_to_drain(&self) -> Option<Duration> {
        match self.0.shared.drain.phase() {
            Phase::Draining { spread } => Some(spread.mul_f64(rand::random())),
            Phase::Serving | Phase::Unready => None,
        }
    }

    /// What tells those who wait that the server goes down.
    #[must_use]
    pub fn drain(&self) -> &Drain {
        &self.0.shared.drain
    }

    /// Notes who was given what, and counts it.
    pub(crate) fn count_given(&self, channel: &ChannelName, answer: &Answer, client: &Client) {
        let messages = answer.messages();
        self.metrics().delivered.inc_by(messages.len() as u64);
        self.note_given(channel, &answer.view.read_state, messages, client);
        if let Some(missed) = answer.view.read_state.missed().filter(|missed| *missed > 0) {
            self.metrics().missed.inc_by(missed);
        }
    }

    /// Notes for receipts that a client was given messages, if it has a name and receipts are on.
    pub(crate) fn note_given(
        &self,
        channel: &ChannelName,
        read_state: &ReadState,
        messages: &[Arc<Message>],
        client: &Client,
    ) {
        let Some(name) = &client.name else { return };
        if self.settings().receipts == Receipts::On {
            // Beyond the account no more is noted; the account counts that.
            let _ = self.store().record_receipts(channel, read_state.epoch, messages, name);
        }
    }

    /// Who was given a message; `None` where receipts are off.
    pub(crate) fn given_to(&self, channel: &ChannelName, at: Cursor) -> Option<Vec<Arc<str>>> {
        (self.settings().receipts == Receipts::On).then(|| self.store().receipts(channel, at))
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("store", self.store()).finish_non_exhaustive()
    }
}

/// The answer of a [`Service`], now or later. What waits is one allocation.
pub struct Answering(State);

enum State {
    Ready(Option<Reply>),
    Waiting(Later),
}

impl Answering {
    fn ready(reply: Reply) -> Self {
        Self(State::Ready(Some(reply)))
    }

    /// 404 where no dialect's path is named.
    pub(crate) fn not_found() -> Self {
        let reply = Refusal::not_found().into_reply(Shape::Problem);
        Self::ready(Reply { sniffing: Sniffing::Forbidden, ..reply })
    }

    fn later(answer: Later) -> Self {
        Self(State::Waiting(answer))
    }
}

impl Future for Answering {
    type Output = Reply;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reply> {
        match &mut self.0 {
            State::Ready(reply) => reply.take().map_or(Poll::Pending, Poll::Ready),
            State::Waiting(answer) => answer.poll(cx),
        }
    }
}
