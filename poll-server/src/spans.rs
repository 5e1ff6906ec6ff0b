//! Spans: one for each request, sent to an OpenTelemetry collector by OTLP over HTTP.
//!
//! What: from the end of a request to a bounded queue, and from there in batches to the collector, by `spans/exporter.rs`.
//! Why a queue of our own, and the libraries for everything behind it: theirs has threads and clocks of its own, and counts
//! nothing. A request never waits for it: what finds it full is dropped, counted, and told once.
//! Not here: when a request has ended, and what is known of it (poll-http).

mod exporter;
mod span;

use std::num::NonZeroU128;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::trace::{SpanKind, TraceId};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, ShouldSample as _};
use poll_core::environment::Environment;
use poll_core::{Kind, Memory};
use poll_http::{AccessRecord, Sampled};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::exporter::Exporter;
use self::span::Span;
use crate::config::Otlp;
use crate::metrics::SpanCounts;

/// Spans that wait, as many as in OpenTelemetry's own queues. With the longest path, 3 MB.
const MOST_WAITING: usize = 2_048;
/// How long the last ones may take at the end.
const FLUSH: Duration = Duration::from_secs(1);

/// Takes spans. Clones fill the same queue.
#[derive(Clone)]
pub(crate) struct Spans {
    queue: mpsc::Sender<Span>,
    memory: Memory,
    environment: Environment,
    counts: SpanCounts,
    /// For traces that begin here.
    sampler: Sampler,
    /// Whether it was told that some were dropped.
    told: Arc<AtomicBool>,
}

/// The task that sends them. If it is dropped, they stay unsent.
pub(crate) struct Exporting {
    task: JoinSet<()>,
    end: oneshot::Sender<()>,
}

impl Spans {
    /// Begins to send spans, on this runtime.
    ///
    /// # Errors
    /// If the collector's variables say what cannot be done, in a few words.
    pub(crate) fn start(
        otlp: &Otlp,
        memory: &Memory,
        environment: &Environment,
        counts: &SpanCounts,
    ) -> Result<(Self, Exporting), String> {
        let exporter = Exporter::new(otlp, counts.clone())?;
        let (queue, waiting) = mpsc::channel(MOST_WAITING);
        let (end, ended) = oneshot::channel();
        let mut task = JoinSet::new();
        task.spawn(exporter.run(waiting, ended));
        let (memory, environment, told) = (memory.clone(), environment.clone(), Arc::default());
        let counts = counts.clone();
        let sampler = Sampler::TraceIdRatioBased(otlp.sample_ratio);
        Ok((Self { queue, memory, environment, counts, sampler, told }, Exporting { task, end }))
    }

    /// The trace of a request: its caller's, or a new one.
    pub(crate) fn trace_of(&self, record: &AccessRecord<'_>) -> NonZeroU128 {
        let random = || u128::from(self.environment.random());
        let given = record.trace.map(|trace| trace.trace_id);
        given.or_else(|| NonZeroU128::new(random() << 64 | random())).unwrap_or(NonZeroU128::MIN)
    }

    /// Leaves the span of a request in the queue, if its trace is sampled. Never waits.
    pub(crate) fn record(&self, record: &AccessRecord<'_>, trace_id: NonZeroU128) {
        if !self.is_sampled(record, trace_id) {
            return;
        }
        let Ok(place) = self.queue.try_reserve() else {
            return self.drop_one("the collector takes them slower");
        };
        let Ok(charge) = self.memory.charge(Kind::Names, Span::bytes(record)) else {
            return self.drop_one("there is no memory for them (memory-bytes)");
        };
        place.send(Span::new(record, trace_id, self.environment.random(), self.environment.now(), charge));
    }

    /// The caller decides; of a trace that begins here the sampler, by its id, so that services with the same ratio agree.
    fn is_sampled(&self, record: &AccessRecord<'_>, trace_id: NonZeroU128) -> bool {
        if let Some(trace) = record.trace {
            return trace.sampled == Sampled::Yes;
        }
        let trace_id = TraceId::from(trace_id.get());
        let result = self.sampler.should_sample(None, trace_id, "", &SpanKind::Server, &[], &[]);
        result.decision == SamplingDecision::RecordAndSample
    }

    #[cold]
    fn drop_one(&self, why: &str) {
        self.counts.dropped.inc();
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!("spans are dropped, as poll_spans_dropped_total counts from here on: {why}");
        }
    }
}

impl Exporting {
    /// Sends what still waits, for a second at most.
    pub(crate) async fn flush(mut self) {
        // It has ended already only after a panic.
        let _ = self.end.send(());
        if timeout(FLUSH, self.task.join_next()).await.is_err() {
            tracing::warn!("the last spans were not sent within {} s", FLUSH.as_secs());
        }
    }
}
