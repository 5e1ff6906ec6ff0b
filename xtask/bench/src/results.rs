//! The figures of one run: what was measured, of whom, and under which settings. Data only.

use serde::{Deserialize, Serialize};

/// One run of the whole command.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Day of the run, `YYYY-MM-DD`.
    pub(crate) date: String,
    /// The commit that was measured, with `+` behind it where the tree was changed.
    pub(crate) commit: String,
    /// Processor, cores and kernel, in words.
    pub(crate) machine: String,
    pub(crate) rows: Vec<Row>,
}

/// One scenario on one server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    /// The scenario's short name, which its targets and the plot go by: `fanout-10000`.
    pub(crate) id: String,
    /// What was done, in words: `long poll, fan-out to 10 000`. Rows of the same scenario are compared.
    pub(crate) scenario: String,
    /// What one operation is: `delivery`, `message`, `request`, `publish`, `waiter`.
    pub(crate) operation: String,
    /// Whom: `poll`, `nchan`, `golongpoll`, `floor`, or what the user calls it.
    pub(crate) server: String,
    /// What differs from the server's defaults, and its store: `--store memory: --max-per-channel 0`.
    pub(crate) settings: String,
    /// All rounds, in the order in which they were run; none is left out.
    pub(crate) rounds: Vec<Round>,
    /// Why the row does not count: something was lost, doubled or out of order.
    pub(crate) void: Option<String>,
}

/// What one round used.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Round {
    /// How many operations were done; for `waiter`, how many waited.
    pub(crate) operations: u64,
    /// The server's processor time, in nanoseconds.
    pub(crate) cpu: u64,
    /// Of it in user space.
    pub(crate) user: u64,
    /// The time the load worked on what came, in nanoseconds. It does not sleep between, so its processor time says less.
    pub(crate) load: u64,
    /// How long the round took, in nanoseconds. For orientation.
    pub(crate) wall: u64,
    /// Median and 99th percentile from the publish to the arrival at a client, in nanoseconds, where that is measured.
    pub(crate) latency: Option<Latency>,
    /// Resident bytes of the server that the waiters added, where that is measured.
    pub(crate) resident: Option<u64>,
}

/// Latency of the deliveries of one round, in nanoseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) median: u64,
    pub(crate) p99: u64,
}

/// Smallest, middle and largest of some figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
impl Round {
    /// Server CPU per operation in microseconds.
    pub(crate) fn cpu_each(&self) -> Option<f64> {
        per_operation(self.cpu, self)
    }

    /// 99th percentile of the latency in milliseconds.
    pub(crate) fn p99(&self) -> Option<f64> {
        Some(self.latency?.p99 as f64 / 1e6)
    }

    /// Resident bytes per operation (a waiter).
    pub(crate) fn resident_each(&self) -> Option<f64> {
        Some(self.resident? as f64 / self.operations.max(1) as f64)
    }
}

impl Row {
    /// Server CPU per operation in microseconds, over the rounds.
    pub(crate) fn cpu(&self) -> Option<Spread> {
        self.spread(Round::cpu_each)
    }

    /// Of it in user space.
    pub(crate) fn user(&self) -> Option<Spread> {
        self.spread(|round| per_operation(round.user, round))
    }

    /// The load's own CPU per operation in microseconds.
    pub(crate) fn load(&self) -> Option<Spread> {
        self.spread(|round| per_operation(round.load, round))
    }

    /// 99th percentile of the latency in milliseconds.
    pub(crate) fn p99(&self) -> Option<Spread> {
        self.spread(Round::p99)
    }

    /// Resident bytes per operation (a waiter).
    pub(crate) fn resident(&self) -> Option<Spread> {
        self.spread(Round::resident_each)
    }

    fn spread(&self, figure: impl Fn(&Round) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.rounds.iter().filter_map(figure).collect())
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn per_operation(nanos: u64, round: &Round) -> Option<f64> {
    (round.operations > 0 && nanos > 0).then(|| nanos as f64 / 1e3 / round.operations as f64)
}

impl Spread {
    /// Of figures in any order; `None` of none.
    pub(crate) fn of(mut figures: Vec<f64>) -> Option<Self> {
        figures.sort_unstable_by(f64::total_cmp);
        let (least, most) = (*figures.first()?, *figures.last()?);
        let (low, high) = (figures[(figures.len() - 1) / 2], figures[figures.len() / 2]);
        Some(Self { least, median: f64::midpoint(low, high), most })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_or_between_the_two() {
        let spread = |figures: &[f64]| Spread::of(figures.to_vec());
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some(Spread { least: 1.0, median: 2.0, most: 3.0 }));
        assert_eq!(spread(&[4.0, 1.0]), Some(Spread { least: 1.0, median: 2.5, most: 4.0 }));
        assert_eq!(spread(&[]), None);
    }
}
