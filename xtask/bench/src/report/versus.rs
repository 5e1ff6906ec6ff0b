//! Two builds of our server: the ratio of their CPU per operation, scenario by scenario.
//!
//! Given for the medians and round by round: what else the machine does changes over minutes, and rounds of the same
//! number ran close together.

use super::groups::{Group, groups};
use super::markdown::table;
use crate::numbers::{NONE, figure, ratio};
use crate::results::{Figure, Run};

const HEADINGS: [&str; 5] =
    ["server CPU µs per operation", "ratio of medians", "median of ratios", "least", "most"];

/// A line per scenario; `one` and `two` are the builds' names in the run.
pub(super) fn render(run: &Run, one: &str, two: &str) -> String {
    let line = |group: &Group<'_>| {
        let (one, two) = (group.row(one)?, group.row(two)?);
        let ratios = Figure::Cpu.ratios(one, two)?;
        let [one, two] = [Figure::Cpu.of(one)?.median, Figure::Cpu.of(two)?.median];
        let mut line = vec![format!("{}: {} to {}", group.words, figure(one), figure(two))];
        line.extend([one / two, ratios.median, ratios.least, ratios.most].map(ratio));
        Some(line)
    };
    let void = |group: &Group<'_>| [group.words, NONE, NONE, NONE, NONE].map(str::to_owned).to_vec();
    let lines = groups(run).iter().map(|group| line(group).unwrap_or_else(|| void(group))).collect();
    table(&HEADINGS, lines)
}
