//! What a log in Redis counts, for `/metrics`.
//!
//! Not here: counting (poll-core).

use std::sync::atomic::AtomicU64;

use poll_core::journal::redis::{Figures, RedisJournal};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// One counter: its name, its help and where its value stands.
type Row = (&'static str, &'static str, fn(&Figures) -> u64);

const COUNTERS: [Row; 5] = [
    ("poll_redis_publishes", "Publishes sent to Redis", |figures| figures.publishes),
    ("poll_redis_batches", "Batches in which they were sent", |figures| figures.batches),
    ("poll_redis_reconnects", "Connections to Redis opened again", |figures| figures.reconnects),
    (
        "poll_redis_generations",
        "New generations of a part of the log: it is new, or has lost something",
        |figures| figures.generations,
    ),
    ("poll_redis_resyncs", "Times that announcements were missing and were read from Redis", |figures| {
        figures.resyncs
    }),
];

const GAUGES: [Row; 2] = [
    ("poll_redis_commands_in_flight", "Commands without an answer yet", |figures| figures.in_flight),
    ("poll_redis_queued_bytes", "Bytes of publishes that wait to be sent or answered", |figures| {
        figures.queued_bytes
    }),
];

/// Registers them; the result sets them to what holds now.
pub(crate) fn register(journal: RedisJournal, registry: &mut Registry) -> Box<dyn Fn() + Send + Sync> {
    let counters = COUNTERS.map(|(name, help, value)| {
        let counter = Counter::<u64, AtomicU64>::default();
        registry.register(name, help, counter.clone());
        (counter, value)
    });
    let gauges = GAUGES.map(|(name, help, value)| {
        let gauge = Gauge::<u64, AtomicU64>::default();
        registry.register(name, help, gauge.clone());
        (gauge, value)
    });
    Box::new(move || {
        let figures = journal.figures();
        for (counter, value) in &counters {
            counter.inc_by(value(&figures).saturating_sub(counter.get()));
        }
        for (gauge, value) in &gauges {
            gauge.set(value(&figures));
        }
    })
}
