//! One span: what is kept of a request until it is sent, and its form for the libraries.
//!
//! Names are those of OpenTelemetry's semantic conventions for HTTP servers; what they have no name for begins with `poll.`.

use std::borrow::Cow;
use std::net::IpAddr;
use std::num::NonZeroU128;
use std::time::{Duration, UNIX_EPOCH};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use poll_core::{Charge, Timestamp};
use poll_http::{AccessRecord, AnswerEnd, Protocol};

/// A request that has ended.
pub(super) struct Span {
    trace_id: NonZeroU128,
    span_id: u64,
    parent_id: u64,
    began: Timestamp,
    took: Duration,
    id: String,
    client: IpAddr,
    method: Box<str>,
    path: Box<str>,
    protocol: Protocol,
    status: Option<u16>,
    pattern: Option<&'static str>,
    channel: Option<Box<str>>,
    channels: usize,
    delivered: u64,
    bytes: Option<u64>,
    end: AnswerEnd,
    _charge: Charge,
}

impl Span {
    /// What the span of a request takes.
    pub(super) fn bytes(record: &AccessRecord<'_>) -> u64 {
        let texts = record.path.len() + record.channel.map_or(0, str::len) + record.method.len();
        (size_of::<Self>() + texts) as u64
    }

    /// The span of a request that ended `now`.
    pub(super) fn new(
        record: &AccessRecord<'_>,
        trace_id: NonZeroU128,
        random: u64,
        now: Timestamp,
        charge: Charge,
    ) -> Self {
        let took = u64::try_from(record.took.as_micros()).unwrap_or(u64::MAX);
        Self {
            trace_id,
            span_id: random.max(1),
            parent_id: record.trace.map_or(0, |trace| trace.parent_id.get()),
            began: Timestamp::from_micros(now.as_micros().saturating_sub(took)),
            took: record.took,
            id: record.id.to_string(),
            client: record.client,
            method: record.method.into(),
            path: record.path.into(),
            protocol: record.protocol,
            status: record.status.map(|status| status.as_u16()),
            pattern: record.pattern,
            channel: record.channel.map(Box::from),
            channels: record.channels,
            delivered: record.delivered,
            bytes: record.bytes,
            end: record.end,
            _charge: charge,
        }
    }

    /// For the exporter.
    pub(super) fn into_data(self, scope: &InstrumentationScope) -> SpanData {
        let attributes = self.attributes();
        let Self { trace_id, span_id, parent_id, began, took, pattern, status, end, .. } = self;
        let method = known(&self.method).unwrap_or("HTTP");
        let start_time = UNIX_EPOCH + Duration::from_micros(began.as_micros());
        let failed = status.is_some_and(|status| status >= 500) || end == AnswerEnd::Broken;
        SpanData {
            span_context: SpanContext::new(
                TraceId::from(trace_id.get()),
                SpanId::from(span_id),
                TraceFlags::SAMPLED,
                false,
                TraceState::NONE,
            ),
            parent_span_id: SpanId::from(parent_id),
            parent_span_is_remote: true,
            span_kind: SpanKind::Server,
            name: match pattern {
                Some(pattern) => format!("{method} {pattern}").into(),
                None => Cow::Borrowed(method),
            },
            start_time,
            end_time: start_time + took,
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: if failed { Status::error("") } else { Status::Unset },
            instrumentation_scope: scope.clone(),
        }
    }

    fn attributes(&self) -> Vec<KeyValue> {
        let (protocol, number) =
            ("network.protocol.version", |number: u64| i64::try_from(number).unwrap_or(i64::MAX));
        let mut attributes = vec![
            KeyValue::new("http.request.method", known(&self.method).unwrap_or("_OTHER")),
            KeyValue::new("url.path", self.path.to_string()),
            KeyValue::new("client.address", self.client.to_string()),
            KeyValue::new(
                protocol,
                match self.protocol {
                    Protocol::Http10 => "1.0",
                    Protocol::Http11 => "1.1",
                    Protocol::Http2 => "2",
                },
            ),
            KeyValue::new("poll.request_id", self.id.clone()),
            KeyValue::new("poll.delivered", number(self.delivered)),
            KeyValue::new("poll.end", self.end.name()),
        ];
        let code = |status: u16| KeyValue::new("http.response.status_code", i64::from(status));
        attributes.extend(self.status.map(code));
        attributes.extend(self.bytes.map(|bytes| KeyValue::new("http.response.body.size", number(bytes))));
        attributes.extend(self.pattern.map(|pattern| KeyValue::new("poll.pattern", pattern)));
        attributes.extend(self.channel.as_deref().map(|name| KeyValue::new("poll.channel", name.to_owned())));
        if self.channels > 1 {
            attributes.push(KeyValue::new("poll.channels", number(self.channels as u64)));
        }
        let other = known(&self.method).is_none();
        attributes
            .extend(other.then(|| KeyValue::new("http.request.method_original", self.method.to_string())));
        attributes
    }
}

/// A method that the conventions know.
fn known(method: &str) -> Option<&'static str> {
    let known = ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE"];
    known.into_iter().find(|known| *known == method)
}
