//! What the server does with spans in a build without the feature `otlp`: nothing. Its configuration names no collector.

use std::num::NonZeroU128;

use poll_core::Memory;
use poll_core::environment::Environment;
use poll_http::AccessRecord;

use crate::config::Otlp;
use crate::metrics::SpanCounts;

/// There are none.
#[derive(Clone)]
pub(crate) enum Spans {}

/// Nor is there anything that sends them.
pub(crate) enum Exporting {}

impl Spans {
    pub(crate) fn start(
        _: &Otlp,
        _: &Memory,
        _: &Environment,
        _: &SpanCounts,
    ) -> Result<(Self, Exporting), String> {
        Err("this build of poll-server was made without the feature otlp".to_owned())
    }

    pub(crate) fn trace_of(&self, _: &AccessRecord<'_>) -> NonZeroU128 {
        match *self {}
    }

    pub(crate) fn record(&self, _: &AccessRecord<'_>, _: NonZeroU128) {
        match *self {}
    }
}

impl Exporting {
    #[expect(clippy::unused_async, reason = "as in a build with it")]
    pub(crate) async fn flush(self) {
        match self {}
    }
}
