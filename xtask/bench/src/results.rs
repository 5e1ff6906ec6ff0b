//! The results of a run: what was measured, of which server, under which settings. Data and its statistics only.
//!
//! Serialized as the JSON that `--json` writes and `bench report` reads.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::numbers::figure;

/// One run of the whole command.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    /// `YYYY-MM-DD`.
    pub(crate) date: String,
    /// The commit that was measured, with a trailing `+` if the tree had changes.
    pub(crate) commit: String,
    /// Processor, cores, kernel and congestion control.
    pub(crate) machine: String,
    #[serde(default)]
    pub(crate) subject: Subject,
    pub(crate) rows: Vec<Row>,
}

/// What a run is about, and with it which figures are shown where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Subject {
    /// What a delivery costs.
    #[default]
    Deliveries,
    /// Publishing to disk, and reading what was published.
    Durable,
}

/// One scenario on one server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    /// The scenario's short name: `fanout-10000`.
    pub(crate) id: String,
    /// The scenario in words: `long poll, fan-out to 10 000`.
    pub(crate) scenario: String,
    /// What one operation is: `delivery`, `message`, `request`, `publish`, `waiter`.
    pub(crate) operation: String,
    /// `poll`, `nchan` or `electric`.
    pub(crate) server: String,
    /// Where the server's settings differ from its defaults.
    pub(crate) settings: String,
    /// All rounds in the order in which they ran.
    pub(crate) rounds: Vec<Round>,
    /// Why the row does not count, such as a lost or repeated message.
    pub(crate) void: Option<String>,
}

/// What one round used.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Round {
    /// Operations done; for idle waiters, how many waited.
    pub(crate) operations: u64,
    /// The server's CPU time in nanoseconds.
    pub(crate) cpu: u64,
    /// Duration of the round in nanoseconds.
    pub(crate) wall: u64,
    /// From a publish to its arrival at a client.
    pub(crate) latency: Option<Latency>,
    /// From a publish to its acknowledgement.
    pub(crate) publishing: Option<Latency>,
    /// Bytes of resident memory that the waiters added, if measured.
    pub(crate) resident: Option<u64>,
    /// Bytes of resident memory in all at the end.
    pub(crate) memory: Option<u64>,
}

/// Nanoseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) median: u64,
    pub(crate) p99: u64,
}

const MEBIBYTE: f64 = 1_048_576.0;

/// A quantity that rounds are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Server CPU per operation, in microseconds.
    Cpu,
    /// 99th percentile of the latency, in milliseconds.
    P99,
    /// Resident bytes per waiter.
    Resident,
    /// Operations a second; more is better.
    Rate,
    /// Median of the latency, in milliseconds.
    Arrival,
    /// Median from a publish to its acknowledgement, in milliseconds.
    Publishing,
    /// The one divided by the other.
    Lag,
    /// Resident mebibytes in all.
    Memory,
}

/// Minimum, median and maximum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
}

impl Figure {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "CPU µs",
            Self::P99 => "p99 ms",
            Self::Resident => "bytes per waiter",
            Self::Rate => "a second",
            Self::Arrival => "arrival ms",
            Self::Publishing => "publish ms",
            Self::Lag => "arrival/publish",
            Self::Memory => "MiB",
        }
    }

    /// `None` if the round has no such figure; a measured zero counts as none.
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    pub(crate) fn of_round(self, round: &Round) -> Option<f64> {
        let per_operation = |value: u64| value as f64 / round.operations.max(1) as f64;
        let value = match self {
            Self::Cpu => per_operation(round.cpu) / 1e3,
            Self::P99 => round.latency?.p99 as f64 / 1e6,
            Self::Resident => per_operation(round.resident?),
            Self::Rate => round.operations as f64 * 1e9 / round.wall.max(1) as f64,
            Self::Arrival => round.latency?.median as f64 / 1e6,
            Self::Publishing => round.publishing?.median as f64 / 1e6,
            Self::Lag => round.latency?.median as f64 / round.publishing?.median.max(1) as f64,
            Self::Memory => round.memory? as f64 / MEBIBYTE,
        };
        (value > 0.0).then_some(value)
    }

    /// Over all rounds of a row; `None` if the row is void.
    pub(crate) fn of(self, row: &Row) -> Option<Spread> {
        let rounds = row.rounds.iter().filter_map(|round| self.of_round(round));
        if row.void.is_some() { None } else { Spread::of(rounds.collect()) }
    }

    /// The ratios of two rows, round by round: rounds of the same number ran close together, and the machine's speed
    /// changes over minutes.
    pub(crate) fn ratios(self, row: &Row, other: &Row) -> Option<Spread> {
        if row.void.is_some() || other.void.is_some() {
            return None;
        }
        let pairs = row.rounds.iter().zip(&other.rounds);
        Spread::of(pairs.filter_map(|(one, two)| Some(self.of_round(one)? / self.of_round(two)?)).collect())
    }
}

impl Spread {
    /// `None` for no values.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_unstable_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let median = f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Self { least, median, most })
    }
}

/// The median, followed by the range if there is one.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [least, median, most] = [self.least, self.median, self.most].map(figure);
        if least == most { f.write_str(&median) } else { write!(f, "{median} ({least}–{most})") }
    }
}

/// The row on one line.
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<20} {:<10}", self.id, self.server)?;
        if let Some(reason) = &self.void {
            return write!(f, "  VOID: {reason}");
        }
        for one in
            [Figure::Cpu, Figure::P99, Figure::Publishing, Figure::Resident, Figure::Rate, Figure::Memory]
        {
            if let Some(spread) = one.of(self) {
                write!(f, "  {} {spread}", one.name())?;
            }
        }
        let wall = self.rounds.iter().map(|round| round.wall).max().unwrap_or_default();
        write!(f, "  in {} ms", wall / 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value_or_between_the_two() {
        let spread = |values: &[f64]| Spread::of(values.to_vec());
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some(Spread { least: 1.0, median: 2.0, most: 3.0 }));
        assert_eq!(spread(&[4.0, 1.0]), Some(Spread { least: 1.0, median: 2.5, most: 4.0 }));
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[30.0, 1.0, 2.0]).unwrap().to_string(), "2.00 (1.00–30.0)");
        assert_eq!(spread(&[2.0]).unwrap().to_string(), "2.00");
    }
}
