//! The access log: a line of the log for each request, once its answer has ended.
//!
//! What: an event of the target `access`, with fields only.
//! Why through the log: format, time and destination are those of every other line, and `RUST_LOG` can filter it.
//! Not here: what a record holds and when it is made (poll-http).

use std::num::NonZeroU128;

use poll_http::AccessRecord;

/// Writes one record, with the trace that it belongs to, if any.
pub(crate) fn write(record: &AccessRecord<'_>, trace: Option<NonZeroU128>) {
    let AccessRecord { id, client, method, path, pattern, channel, delivered, bytes, took, end, .. } =
        *record;
    let protocol = record.protocol.name();
    let trace = trace.map(|trace| format!("{trace:032x}"));
    // Only where there are several: then `channel` is the first of them.
    let channels = Some(record.channels).filter(|channels| *channels > 1);
    tracing::info!(
        target: "access",
        id = %id,
        trace,
        client = %client,
        method,
        path,
        protocol,
        status = record.status.map(|status| status.as_u16()),
        pattern,
        channel,
        channels,
        delivered,
        bytes,
        seconds = took.as_secs_f64(),
        end = end.name(),
    );
}
