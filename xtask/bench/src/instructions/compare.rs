//! What the counts of two trees say of each other. Pure.

use anyhow::{Result, ensure};

use super::count::Cost;
use xtask::columns;

/// One path in both trees.
pub(super) struct Row {
    pub(super) path: String,
    pub(super) here: Cost,
    /// `None` where the base has no such path.
    pub(super) base: Option<Cost>,
}

/// How much worse is still no worse.
#[derive(Clone, Copy)]
pub(super) struct Tolerance {
    /// Of instructions.
    pub(super) percent: f64,
}

/// So much of an allocation is one more an operation: below one, because what grows only now and then takes a little
/// off it.
const ONE: f64 = 0.9;

const HEADINGS: [&str; 9] =
    ["path", "instructions", "base", "change", "allocations", "base", "change", "bytes", "base"];

/// One line a path.
pub(super) fn table(rows: &[Row]) -> String {
    let mut lines = vec![HEADINGS.map(str::to_owned)];
    lines.extend(rows.iter().map(|Row { path, here, base }| {
        let at_base = |show: fn(&Cost) -> String| base.as_ref().map_or_else(|| "-".to_owned(), show);
        let instructions = |cost: &Cost| format!("{:.0}", cost.instructions);
        let allocations = |cost: &Cost| format!("{:.2}", cost.allocations);
        let bytes = |cost: &Cost| format!("{:.0}", cost.bytes);
        let (percent, more) = match base {
            Some(base) => (
                format!("{:+.1} %", percent(here.instructions, base.instructions)),
                format!("{:+.2}", here.allocations - base.allocations),
            ),
            None => ("new".to_owned(), "new".to_owned()),
        };
        [
            path.clone(),
            instructions(here),
            at_base(instructions),
            percent,
            allocations(here),
            at_base(allocations),
            more,
            bytes(here),
            at_base(bytes),
        ]
    }));
    columns::align(&lines)
}

/// Fails if a path got worse by more than is tolerated, and names each.
pub(super) fn verdict(rows: &[Row], tolerance: Tolerance) -> Result<()> {
    let worse: Vec<String> = rows.iter().filter_map(|row| regression(row, tolerance)).collect();
    ensure!(worse.is_empty(), "worse than the base:\n  {}", worse.join("\n  "));
    Ok(())
}

/// What got worse in a path.
fn regression(Row { path, here, base }: &Row, tolerance: Tolerance) -> Option<String> {
    let base = base.as_ref()?;
    let percent = percent(here.instructions, base.instructions);
    let more = here.allocations - base.allocations;
    let mut faults = Vec::new();
    if percent > tolerance.percent {
        faults.push(format!("{percent:.1} % more instructions"));
    }
    if more >= ONE {
        faults.push(format!("{more:.2} more allocations an operation"));
    }
    (!faults.is_empty()).then(|| format!("{path}: {}", faults.join(", ")))
}

/// By how many per cent `here` is more than `base`.
fn percent(here: f64, base: f64) -> f64 {
    if base > 0.0 { (here - base) / base * 100.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIVE: Tolerance = Tolerance { percent: 5.0 };

    fn cost(instructions: f64, allocations: f64) -> Cost {
        Cost { instructions, allocations, bytes: 100.0 }
    }

    fn row(here: Cost, base: Option<Cost>) -> Row {
        Row { path: "a/b".to_owned(), here, base }
    }

    #[test]
    fn a_regression_of_more_than_the_tolerance_shows() {
        let before = Some(cost(1_000.0, 2.0));
        assert_eq!(regression(&row(cost(1_050.0, 2.0), before), FIVE), None);
        let fault = regression(&row(cost(1_051.0, 2.0), before), FIVE);
        assert_eq!(fault.as_deref(), Some("a/b: 5.1 % more instructions"));
        assert_eq!(regression(&row(cost(10.0, 1.0), before), FIVE), None);
    }

    #[test]
    fn one_more_allocation_shows_however_few_instructions_it_takes() {
        let before = Some(cost(1_000.0, 2.0));
        let fault = regression(&row(cost(900.0, 2.99), before), FIVE);
        assert_eq!(fault.as_deref(), Some("a/b: 0.99 more allocations an operation"));
        assert_eq!(regression(&row(cost(900.0, 2.5), before), FIVE), None);
    }

    #[test]
    fn a_new_path_is_shown_and_cannot_be_worse() {
        let rows = [row(cost(1_000.0, 2.0), None), row(cost(1_100.0, 2.0), Some(cost(1_000.0, 2.5)))];
        let table = table(&rows);
        let words = |line: usize| table.lines().nth(line).unwrap().split_whitespace().collect::<Vec<_>>();
        assert_eq!(words(1), ["a/b", "1000", "-", "new", "2.00", "-", "new", "100", "-"]);
        assert_eq!(words(2), ["a/b", "1100", "1000", "+10.0", "%", "2.00", "2.50", "-0.50", "100", "100"]);
        assert!(verdict(&rows[..1], FIVE).is_ok());
        assert!(verdict(&rows, FIVE).is_err());
    }

    #[test]
    fn a_path_that_cost_nothing_has_no_per_cent() {
        assert_eq!(regression(&row(cost(1.0, 0.0), Some(cost(0.0, 0.0))), FIVE), None);
    }
}
