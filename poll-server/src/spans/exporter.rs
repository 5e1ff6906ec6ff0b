//! The task that sends spans, by OpenTelemetry's exporter over a client of ours.
//!
//! What: collects a batch, sends it, and says what became of it. The exporter encodes, and sends again what a collector asks for.
//! Why a client of ours: it is the one by which the server asks others in any case, and brings no other TLS.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::USER_AGENT;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanExporter as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::span::Span;
use crate::config::Otlp;
use crate::metrics::SpanCounts;
use crate::outbound::{self, Roots};

/// A batch is sent once it has so many spans…
const BATCH: usize = 512;
/// … or so long after its first.
const DELAY: Duration = Duration::from_secs(1);
/// How long a collector may take for one.
const ANSWER: Duration = Duration::from_secs(10);
/// A collector says how many spans it refused, and why.
const MOST_BYTES: usize = 64 * 1024;

/// Sends batches to one collector.
pub(super) struct Exporter {
    exporter: SpanExporter,
    scope: InstrumentationScope,
    endpoint: String,
    /// Why the last request failed, which the exporter leaves out.
    why: Reason,
    counts: SpanCounts,
    /// Whether the last batch was taken.
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Taken,
    Refused,
}

type Reason = Arc<Mutex<Option<String>>>;

impl Exporter {
    pub(super) fn new(otlp: &Otlp, counts: SpanCounts) -> Result<Self, String> {
        let (endpoint, why) = (otlp.endpoint.to_string(), Reason::default());
        let client = Client { roots: Arc::default(), why: why.clone() };
        let built = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&endpoint)
            .build();
        let mut exporter = built.map_err(|error| error.to_string())?;
        let version = env!("CARGO_PKG_VERSION");
        let resource = Resource::builder()
            .with_service_name(otlp.service.clone())
            .with_attribute(KeyValue::new("service.version", version));
        exporter.set_resource(&resource.build());
        let scope = InstrumentationScope::builder("poll-server").with_version(version).build();
        Ok(Self { exporter, scope, endpoint, why, counts, state: State::Taken })
    }

    /// Sends what arrives, until the end is said; then what still waits.
    pub(super) async fn run(mut self, mut waiting: mpsc::Receiver<Span>, mut end: oneshot::Receiver<()>) {
        let mut batch = Vec::new();
        let mut ends = false;
        while !ends {
            tokio::select! {
                biased;
                _said = &mut end => ends = true,
                () = collect(&mut waiting, &mut batch) => {}
            }
            while ends && let Ok(span) = waiting.try_recv() {
                batch.push(span);
            }
            if !batch.is_empty() {
                self.send(std::mem::take(&mut batch)).await;
            }
        }
    }

    async fn send(&mut self, batch: Vec<Span>) {
        let count = batch.len() as u64;
        let data = batch.into_iter().map(|span| span.into_data(&self.scope)).collect();
        let sent = self.exporter.export(data).await;
        let endpoint = &self.endpoint;
        let before = self.state;
        match sent {
            Ok(()) => {
                self.counts.sent.inc_by(count);
                self.state = State::Taken;
                if before == State::Refused {
                    tracing::info!("the collector at {endpoint} takes spans again");
                }
            }
            Err(error) => {
                self.counts.dropped.inc_by(count);
                self.state = State::Refused;
                if before == State::Taken {
                    let why = lock(&self.why).take().unwrap_or_else(|| error.to_string());
                    tracing::warn!(
                        "the collector at {endpoint} takes no spans, which are dropped (poll_spans_dropped_total): {why}"
                    );
                }
            }
        }
    }
}

/// Waits for a batch: ready once there is one. What was collected stays in `batch` if this is dropped before.
async fn collect(waiting: &mut mpsc::Receiver<Span>, batch: &mut Vec<Span>) {
    if batch.is_empty() && waiting.recv_many(batch, BATCH).await == 0 {
        // Nothing will come: only the end is waited for.
        std::future::pending::<()>().await;
    }
    let until = Instant::now() + DELAY;
    while batch.len() < BATCH {
        let most = BATCH - batch.len();
        match timeout_at(until, waiting.recv_many(batch, most)).await {
            Ok(count) if count > 0 => {}
            _ => break,
        }
    }
}

/// Sends one request.
struct Client {
    roots: Arc<Roots>,
    why: Reason,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl HttpClient for Client {
    fn send_bytes<'client, 'sent>(
        &'client self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'sent>>
    where
        'client: 'sent,
        Self: 'sent,
    {
        let (roots, why) = (self.roots.clone(), self.why.clone());
        Box::pin(async move {
            let mut request = request.map(Full::new);
            request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(outbound::USER_AGENT));
            let answer = outbound::exchange_with(request, MOST_BYTES, |_| true, &roots);
            let answer = timeout(ANSWER, answer).await;
            let answer = answer.unwrap_or_else(|_| Err(format!("no answer in {ANSWER:?}")));
            *lock(&why) = match &answer {
                Ok(response) if response.status().is_success() => None,
                Ok(response) => Some(format!("it answered {}", response.status())),
                Err(error) => Some(error.clone()),
            };
            answer.map_err(HttpError::from)
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
