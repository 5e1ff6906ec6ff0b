//! [`Presence`]: what waits tell of, and what is asked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use poll_core::environment::Environment;
use poll_core::{ChannelName, Memory, Store};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::attendance::Attendance;
use super::ledger::Ledger;
use super::present::{MOST_LISTED, Present};
use super::record::Node;

/// Who is present. A clone is the same.
#[derive(Clone)]
pub(crate) struct Presence(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) node: Node,
    pub(super) store: Store,
    pub(super) environment: Environment,
    /// Held for a few look-ups, and for as long as it takes to apply a record.
    known: Mutex<Known>,
    /// The keeper has something to do.
    pub(super) changed: Notify,
    pub(super) gauges: Gauges,
}

pub(super) struct Known {
    pub(super) attendance: Attendance,
    pub(super) ledger: Ledger,
}

/// What presence counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gauges {
    /// Clients of this server, once for each channel.
    pub(crate) clients: Gauge,
    /// Clients that are not counted, and joins and leaves that were not told.
    pub(crate) refused: Counter,
}

impl Presence {
    pub(crate) fn new(store: Store, environment: Environment, gauges: Gauges) -> Self {
        let node = Node::from(u128::from(environment.random()) << 64 | u128::from(environment.random()));
        let memory: &Memory = store.memory();
        let known =
            Known { attendance: Attendance::new(memory.clone()), ledger: Ledger::new(memory.clone()) };
        let (known, changed) = (Mutex::new(known), Notify::new());
        Self(Arc::new(Inner { node, store, environment, known, changed, gauges }))
    }

    /// A client begins to wait on channels.
    pub(crate) fn begin(&self, channels: &[ChannelName], client: &Arc<str>) {
        let now = self.0.environment.now();
        let (mut refused, mut changed) = (0, false);
        {
            let attendance = &mut self.known().attendance;
            for channel in channels {
                match attendance.begin(channel, client, now) {
                    Ok(news) => changed |= news.is_some(),
                    Err(_) => refused += 1,
                }
            }
            self.count(attendance);
        }
        self.0.gauges.refused.inc_by(refused);
        if changed {
            self.0.changed.notify_one();
        }
    }

    /// A wait that [began](Self::begin) is over.
    pub(crate) fn end(&self, channels: &[ChannelName], client: &Arc<str>) {
        let (now, mut sooner) = (Instant::now(), false);
        {
            let attendance = &mut self.known().attendance;
            for channel in channels {
                sooner |= attendance.end(channel, client, now).is_some();
            }
        }
        if sooner {
            self.0.changed.notify_one();
        }
    }

    /// Who is present on a channel.
    pub(crate) fn list(&self, channel: &ChannelName) -> Present {
        let known = self.known();
        let mut present = known.ledger.present(channel);
        // Those of this server that the log does not know yet.
        for (client, since) in known.attendance.present(channel) {
            present.entry(client.clone()).or_insert(since);
        }
        let count = present.len();
        Present { count, clients: present.into_iter().take(MOST_LISTED).collect() }
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self, attendance: &Attendance) {
        self.0.gauges.clients.set(i64::try_from(attendance.len()).unwrap_or(i64::MAX));
    }
}
