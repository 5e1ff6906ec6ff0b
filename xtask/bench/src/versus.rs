//! Two builds of our server: the ratio of their CPU per operation, scenario by scenario.
//!
//! Given for the medians and round by round: what else the machine does changes over minutes, and rounds of the same
//! number ran close together.

use xtask::columns::align;

use crate::results::{Figure, Row, Run};

/// The two servers' names in a run.
pub(crate) const POLL: &str = "poll";
pub(crate) const AGAINST: &str = "against";

const HEADINGS: [&str; 6] = [
    "server CPU per operation",
    "poll µs",
    "against µs",
    "ratio of medians",
    "median of ratios",
    "least–most",
];

/// A line per scenario.
pub(crate) fn render(run: &Run) -> String {
    let mut lines = vec![HEADINGS.map(str::to_owned)];
    for ours in run.rows.iter().filter(|row| row.server == POLL) {
        let is_other = |row: &&Row| row.server == AGAINST && row.id == ours.id;
        if let Some(other) = run.rows.iter().find(is_other) {
            lines.push(line(ours, other).unwrap_or_else(|| void(ours)));
        }
    }
    align(&lines)
}

/// `None` if either has no figure.
fn line(ours: &Row, other: &Row) -> Option<[String; 6]> {
    let ratios = Figure::Cpu.ratios(ours, other)?;
    let (one, two) = (Figure::Cpu.of(ours)?, Figure::Cpu.of(other)?);
    Some([
        ours.scenario.clone(),
        format!("{:.2}", one.median),
        format!("{:.2}", two.median),
        format!("{:.3}", one.median / two.median),
        format!("{:.3}", ratios.median),
        format!("{:.3}–{:.3}", ratios.least, ratios.most),
    ])
}

fn void(row: &Row) -> [String; 6] {
    [&row.scenario, "void", "", "", "", ""].map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Round;

    fn row(server: &str, nanos: &[u64]) -> Row {
        Row {
            id: "short-304".to_owned(),
            scenario: "short poll".to_owned(),
            operation: "request".to_owned(),
            server: server.to_owned(),
            settings: String::new(),
            rounds: nanos.iter().map(|&cpu| Round { operations: 1, cpu, ..Round::default() }).collect(),
            void: None,
        }
    }

    #[test]
    fn rounds_of_the_same_number_are_compared() {
        let rows = vec![row(POLL, &[900, 1_800, 1_000]), row(AGAINST, &[1_000, 2_000, 1_000])];
        let run = Run { date: String::new(), commit: String::new(), machine: String::new(), rows };
        let table = render(&run);
        let words: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(words, ["short", "poll", "1.00", "1.00", "1.000", "0.900", "0.900–1.000"]);
    }
}
