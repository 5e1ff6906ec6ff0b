//! `/metrics`: what the service counts, and what only the process knows.
//!
//! What: one registry, written as Prometheus text 0.0.4.
//! Why here: the process's own figures and the build are not poll-http's business.
//! Not here: counting messages and waiters (poll-http).

use std::sync::atomic::AtomicU64;

use poll_core::{Kind, Memory, Store};
use poll_http::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::connection_limit::ConnectionLimit;
use crate::store::OpenStore;
use crate::turn_histogram::TurnHistogram;
use crate::worker::Loads;

/// What became of spans. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct SpanCounts {
    /// The collector took them.
    pub(crate) sent: Counter,
    /// There was no room for them, or the collector did not take them.
    pub(crate) dropped: Counter,
}

impl SpanCounts {
    fn register(&self, registry: &mut Registry) {
        registry.register("poll_spans_sent", "Spans that the collector took", self.sent.clone());
        let help = "Spans that there was no room for, or that the collector did not take";
        registry.register("poll_spans_dropped", help, self.dropped.clone());
    }
}

/// Writes the text of `/metrics`.
pub(crate) struct Exposition {
    registry: Registry,
    limit: ConnectionLimit,
    open: Gauge<u64, AtomicU64>,
    loads: Loads,
    /// By worker.
    connections: Family<WorkerLabel, Gauge<u64, AtomicU64>>,
    resident: Gauge<u64, AtomicU64>,
    memory: Memory,
    used: Family<KindLabel, Gauge<u64, AtomicU64>>,
    refused: Family<KindLabel, Gauge<u64, AtomicU64>>,
    store: Store,
    damaged: Counter,
    /// Sets what only this kind of store counts.
    refresh: Box<dyn Fn() + Send + Sync>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WorkerLabel {
    worker: usize,
}

impl Exposition {
    pub(crate) fn new(
        metrics: &Metrics,
        turns: &TurnHistogram,
        limit: ConnectionLimit,
        loads: Loads,
        spans: &SpanCounts,
        open: &OpenStore,
    ) -> Self {
        let store = open.store.clone();
        let memory = store.memory().clone();
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        turns.register(&mut registry);
        spans.register(&mut registry);
        let refresh = open.register(&mut registry);
        let (sockets, most, resident) =
            (Gauge::default(), Gauge::<u64, AtomicU64>::default(), Gauge::default());
        most.set(limit.max() as u64);
        registry.register(
            "poll_build",
            "This program",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
        registry.register("poll_sockets_open", "Open connections", sockets.clone());
        let connections = Family::default();
        let help = "Open connections by the worker that serves them";
        registry.register("poll_worker_connections", help, Family::clone(&connections));
        registry.register(
            "poll_sockets_max",
            "Open connections at most, beyond which accepting pauses",
            most,
        );
        registry.register("process_resident_memory_bytes", "Resident memory", resident.clone());
        let (used, refused) = (Family::default(), Family::default());
        let bounds = Family::<KindLabel, Gauge<u64, AtomicU64>>::default();
        for kind in Kind::ALL {
            // No bound is told as the largest that a float holds exactly.
            bounds.get_or_create(&KindLabel { kind: kind.name() }).set(memory.bound(kind).min(1 << 53));
        }
        let help = "Memory for what peers make the server keep beside the messages";
        registry.register("poll_memory_bytes", help, Family::clone(&used));
        registry.register("poll_memory_bytes_max", "The share of --memory-bytes that a kind may use", bounds);
        let help = "How often a kind's share had no room, since the start";
        registry.register("poll_memory_refused", help, Family::clone(&refused));
        let damaged = Counter::default();
        let help = "Rows of the store that were found damaged; their messages count as missed";
        registry.register("poll_damaged", help, damaged.clone());
        Self {
            registry,
            limit,
            open: sockets,
            loads,
            connections,
            resident,
            memory,
            used,
            refused,
            store,
            damaged,
            refresh,
        }
    }

    /// The figures now.
    pub(crate) fn text(&self) -> String {
        (self.refresh)();
        self.open.set(self.limit.count() as u64);
        for (worker, load) in self.loads.now().enumerate() {
            self.connections.get_or_create(&WorkerLabel { worker }).set(load as u64);
        }
        self.resident.set(resident_bytes().unwrap_or_default());
        let damaged = self.store.damage().map_or(0, |damage| damage.borrow().rows);
        self.damaged.inc_by(damaged.saturating_sub(self.damaged.get()));
        for kind in Kind::ALL {
            let label = KindLabel { kind: kind.name() };
            self.used.get_or_create(&label).set(self.memory.used(kind));
            self.refused.get_or_create(&label).set(self.memory.refused(kind));
        }
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => plain(&text),
            Err(error) => {
                tracing::error!(%error, "metrics cannot be written: {error}");
                String::new()
            }
        }
    }
}

/// Resident memory, where the system has `/proc`.
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// OpenMetrics as Prometheus text 0.0.4: there a counter's and an info's family bears the sample's whole name,
/// and units and the end mark are unknown.
fn plain(text: &str) -> String {
    let mut suffixes = std::collections::BTreeMap::new();
    for line in text.lines() {
        let mut words = line.strip_prefix("# TYPE ").into_iter().flat_map(|rest| rest.split(' '));
        match (words.next(), words.next()) {
            (Some(name), Some("counter")) => suffixes.insert(name, ("_total", "counter")),
            (Some(name), Some("info")) => suffixes.insert(name, ("_info", "gauge")),
            (Some(name), Some("unknown")) => suffixes.insert(name, ("", "untyped")),
            _ => None,
        };
    }
    let mut plain = String::with_capacity(text.len() + 256);
    for line in text.lines() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        let header = ["# HELP ", "# TYPE "].into_iter().find_map(|mark| {
            let (name, rest) = line.strip_prefix(mark)?.split_once(' ')?;
            let (suffix, kind) = suffixes.get(name)?;
            Some(format!("{mark}{name}{suffix} {}", if mark == "# TYPE " { kind } else { rest }))
        });
        plain.push_str(header.as_deref().unwrap_or(line));
        plain.push('\n');
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_bear_their_samples_names() {
        let open_metrics = "# HELP a Things.\n# TYPE a counter\na_total 1\n# HELP b B.\n# TYPE b info\nb_info{v=\"1\"} 1\n\
                            # HELP c_seconds C.\n# TYPE c_seconds histogram\n# UNIT c_seconds seconds\nc_seconds_sum 0.0\n# EOF\n";
        let expected = "# HELP a_total Things.\n# TYPE a_total counter\na_total 1\n# HELP b_info B.\n\
                        # TYPE b_info gauge\nb_info{v=\"1\"} 1\n# HELP c_seconds C.\n# TYPE c_seconds histogram\nc_seconds_sum 0.0\n";
        assert_eq!(plain(open_metrics), expected);
    }
}
