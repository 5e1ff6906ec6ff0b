//! What a journal counts, for `/metrics`.
//!
//! Not here: counting (poll-core).

use std::sync::atomic::AtomicU64;

use poll_core::journal::disk::{self, DiskJournal};
#[cfg(feature = "redis")]
use poll_core::journal::redis::{self, RedisJournal};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// One of them: its name, its help and where its value stands.
type Row<F> = (&'static str, &'static str, fn(&F) -> u64);

/// Sets what was registered to what holds now.
pub(crate) type Refresh = Box<dyn Fn() + Send + Sync>;

/// Registers what a log on disk counts.
pub(crate) fn of_disk(journal: DiskJournal, registry: &mut Registry) -> Refresh {
    const COUNTERS: [Row<disk::Figures>; 2] = [
        ("poll_journal_commits", "Writes to the log, each with a sync if it is durable", |figures| {
            figures.commits
        }),
        ("poll_journal_publishes", "Publishes in these writes", |figures| figures.publishes),
    ];
    const GAUGES: [Row<disk::Figures>; 1] =
        [("poll_journal_queued_bytes", "Bytes of publishes that wait to be written", |figures| {
            figures.queued_bytes
        })];
    let time = Counter::<f64, AtomicU64>::default();
    registry.register("poll_journal_commit_seconds", "Time that these writes have taken", time.clone());
    let figures = journal.clone();
    let rest = register(move || figures.figures(), COUNTERS, GAUGES, registry);
    Box::new(move || {
        time.inc_by((journal.figures().commit_time.as_secs_f64() - time.get()).max(0.0));
        rest();
    })
}

/// Registers what a log in Redis counts.
#[cfg(feature = "redis")]
pub(crate) fn of_redis(journal: RedisJournal, registry: &mut Registry) -> Refresh {
    const COUNTERS: [Row<redis::Figures>; 5] = [
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

    const GAUGES: [Row<redis::Figures>; 2] = [
        ("poll_redis_commands_in_flight", "Commands without an answer yet", |figures| figures.in_flight),
        ("poll_redis_queued_bytes", "Bytes of publishes that wait to be sent or answered", |figures| {
            figures.queued_bytes
        }),
    ];

    register(move || journal.figures(), COUNTERS, GAUGES, registry)
}

fn register<F: 'static, const C: usize, const G: usize>(
    figures: impl Fn() -> F + Send + Sync + 'static,
    counters: [Row<F>; C],
    gauges: [Row<F>; G],
    registry: &mut Registry,
) -> Refresh {
    let counters = counters.map(|(name, help, value)| {
        let counter = Counter::<u64, AtomicU64>::default();
        registry.register(name, help, counter.clone());
        (counter, value)
    });
    let gauges = gauges.map(|(name, help, value)| {
        let gauge = Gauge::<u64, AtomicU64>::default();
        registry.register(name, help, gauge.clone());
        (gauge, value)
    });
    Box::new(move || {
        let figures = figures();
        for (counter, value) in &counters {
            counter.inc_by(value(&figures).saturating_sub(counter.get()));
        }
        for (gauge, value) in &gauges {
            gauge.set(value(&figures));
        }
    })
}
