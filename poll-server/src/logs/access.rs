//! The access log: a line of the log for each request, once its answer has ended.
//!
//! What: a line with fields only, of the target `access`.
//! Why in the log: format, time and destination are those of every other line, and `RUST_LOG` can filter it.
//! Not here: what a record holds and when it is made (poll-http).

use std::num::NonZeroU128;

use poll_core::Timestamp;
use poll_http::AccessRecord;

use super::batched::{self, Line};
use crate::config::LogFormat;

/// Writes one record that ended at `now`, with the trace that it belongs to, if any.
pub(crate) fn write(record: &AccessRecord<'_>, trace: Option<NonZeroU128>, now: Timestamp) {
    if !tracing::enabled!(target: "access", tracing::Level::INFO) {
        return;
    }
    match batched::format() {
        Some(format) => batched::push(&line(format, record, trace, now)),
        None => event(record, trace),
    }
}

/// The bytes of the line.
fn line(format: LogFormat, record: &AccessRecord<'_>, trace: Option<NonZeroU128>, now: Timestamp) -> Vec<u8> {
    let mut line = Line::begin(format, now);
    line.display("id", record.id);
    if let Some(trace) = trace {
        line.display("trace", format_args!("{trace:032x}"));
    }
    line.display("client", record.client);
    line.str("method", record.method);
    line.str("path", record.path);
    line.str("protocol", record.protocol.name());
    if let Some(status) = record.status {
        line.number("status", status.as_u16().into());
    }
    for (name, value) in [("pattern", record.pattern), ("channel", record.channel)] {
        if let Some(value) = value {
            line.str(name, value);
        }
    }
    if let Some(channels) = several(record) {
        line.number("channels", channels as u64);
    }
    line.number("delivered", record.delivered);
    if let Some(bytes) = record.bytes {
        line.number("bytes", bytes);
    }
    line.float("seconds", record.took.as_secs_f64());
    line.str("end", record.end.name());
    line.end()
}

/// The same through the subscriber.
fn event(record: &AccessRecord<'_>, trace: Option<NonZeroU128>) {
    let AccessRecord { id, client, method, path, pattern, channel, delivered, bytes, took, end, .. } =
        *record;
    let trace = trace.map(|trace| format!("{trace:032x}"));
    tracing::info!(
        target: "access",
        id = %id,
        trace,
        client = %client,
        method,
        path,
        protocol = record.protocol.name(),
        status = record.status.map(|status| status.as_u16()),
        pattern,
        channel,
        channels = several(record),
        delivered,
        bytes,
        seconds = took.as_secs_f64(),
        end = end.name(),
    );
}

/// How many channels, if there are several, of which `channel` is the first.
fn several(record: &AccessRecord<'_>) -> Option<usize> {
    Some(record.channels).filter(|channels| *channels > 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;
    use poll_http::{AnswerEnd, Protocol};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::logs::tests::{Written, lines_of};

    fn records() -> Vec<AccessRecord<'static>> {
        let plain = AccessRecord {
            id: &"2a9c1f0de8f7a6b5",
            trace: None,
            client: [127, 0, 0, 1].into(),
            method: "GET",
            path: "/api/poll",
            protocol: Protocol::Http11,
            status: Some(StatusCode::OK),
            pattern: Some("long"),
            channel: Some("news"),
            channels: 1,
            delivered: 3,
            bytes: Some(512),
            took: Duration::from_nanos(1_234_567_891),
            end: AnswerEnd::Complete,
        };
        let odd = AccessRecord {
            path: "/a b=\"c\"/\u{1b}[2J\n\u{e9}\\",
            channel: Some("\u{7f}caf\u{e9} au lait"),
            channels: 7,
            client: std::net::Ipv6Addr::LOCALHOST.into(),
            took: Duration::from_secs(2),
            id: &"from-me=\"x\"",
            ..plain
        };
        let short = AccessRecord {
            status: None,
            pattern: None,
            channel: None,
            channels: 0,
            bytes: None,
            path: "",
            took: Duration::ZERO,
            end: AnswerEnd::Gone,
            ..plain
        };
        vec![plain, odd, short]
    }

    #[test]
    fn a_line_is_as_the_subscriber_writes_it() {
        let now = Timestamp::from_micros(1_795_214_978_120_000);
        for trace in [None, NonZeroU128::new(0xaf76)] {
            for record in records() {
                let ours = String::from_utf8(line(LogFormat::Text, &record, trace, now)).unwrap();
                let text = lines_of(|| event(&record, trace)).remove(0);
                assert_eq!(ours, format!("2026-11-20T22:49:38.120000Z {text}\n"));
                let written = Written::default();
                let json = tracing_subscriber::fmt::layer().with_writer(written.clone()).with_target(false);
                let json = tracing_subscriber::registry().with(json.json().flatten_event(true));
                tracing::subscriber::with_default(json, || event(&record, trace));
                let theirs = written.take().remove(0);
                let (_, theirs) = theirs.split_once(",\"level\"").unwrap();
                let ours = String::from_utf8(line(LogFormat::Json, &record, trace, now)).unwrap();
                let start = "{\"timestamp\":\"2026-11-20T22:49:38.120000Z\",\"level\"";
                assert_eq!(ours, format!("{start}{theirs}\n"));
            }
        }
    }
}
