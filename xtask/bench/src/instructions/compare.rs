//! Compares the counts of two trees.

use anyhow::{Result, ensure};
use xtask::columns;

use super::count::Cost;

/// One path in both trees.
pub(super) struct Row {
    pub(super) path: String,
    pub(super) here: Cost,
    /// `None` if the base has no such path.
    pub(super) base: Option<Cost>,
}

/// More allocations per operation that are a regression. Below one, because what grows only now and then lowers the mean.
const ONE: f64 = 0.9;

const HEADINGS: [&str; 7] = ["path", "instructions", "base", "change", "allocations", "base", "bytes"];

pub(super) fn table(rows: &[Row]) -> String {
    let mut lines = vec![HEADINGS.map(str::to_owned)];
    lines.extend(rows.iter().map(|Row { path, here, base }| {
        let of = |value: f64, digits: usize| format!("{value:.digits$}");
        let new = ("-".to_owned(), "new".to_owned(), "-".to_owned());
        let (instructions, change, allocations) = base.map_or(new, |base| {
            let change = percent(here.instructions, base.instructions);
            (of(base.instructions, 0), format!("{change:+.1} %"), of(base.allocations, 2))
        });
        let (own, blocks, bytes) = (of(here.instructions, 0), of(here.allocations, 2), of(here.bytes, 0));
        [path.clone(), own, instructions, change, blocks, allocations, bytes]
    }));
    columns::align(&lines)
}

/// Fails if a path regressed; `tolerance` is how many percent more instructions are no regression.
pub(super) fn verdict(rows: &[Row], tolerance: f64) -> Result<()> {
    let worse: Vec<String> = rows.iter().filter_map(|row| regression(row, tolerance)).collect();
    ensure!(worse.is_empty(), "worse than the base:\n  {}", worse.join("\n  "));
    Ok(())
}

/// How a path regressed, if it did.
fn regression(Row { path, here, base }: &Row, tolerance: f64) -> Option<String> {
    let base = base.as_ref()?;
    let percent = percent(here.instructions, base.instructions);
    let more = here.allocations - base.allocations;
    let mut faults = Vec::new();
    if percent > tolerance {
        faults.push(format!("{percent:.1} % more instructions"));
    }
    if more >= ONE {
        faults.push(format!("{more:.2} more allocations per operation"));
    }
    (!faults.is_empty()).then(|| format!("{path}: {}", faults.join(", ")))
}

/// By how many percent `here` is more than `base`.
fn percent(here: f64, base: f64) -> f64 {
    if base > 0.0 { (here - base) / base * 100.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(instructions: f64, allocations: f64, base: Option<(f64, f64)>) -> Row {
        let cost = |(instructions, allocations)| Cost { instructions, allocations, bytes: 100.0 };
        Row { path: "a/b".to_owned(), here: cost((instructions, allocations)), base: base.map(cost) }
    }

    #[test]
    fn more_instructions_or_allocations_than_the_tolerance_are_a_regression() {
        let of = |instructions, allocations, base| regression(&row(instructions, allocations, base), 5.0);
        let base = Some((1_000.0, 2.0));
        assert_eq!(of(1_050.0, 2.0, base), None);
        assert_eq!(of(1_051.0, 2.0, base).as_deref(), Some("a/b: 5.1 % more instructions"));
        assert_eq!(of(900.0, 2.99, base).as_deref(), Some("a/b: 0.99 more allocations per operation"));
        assert_eq!(of(900.0, 2.5, base), None);
        assert_eq!(of(1.0, 0.0, Some((0.0, 0.0))), None);
        assert_eq!(of(1.0, 9.0, None), None);
    }

    #[test]
    fn the_table_shows_both_trees() {
        let table = table(&[row(1_000.0, 2.0, None), row(1_100.0, 2.0, Some((1_000.0, 2.5)))]);
        let words = |line: usize| table.lines().nth(line).unwrap().split_whitespace().collect::<Vec<_>>();
        assert_eq!(words(1), ["a/b", "1000", "-", "new", "2.00", "-", "100"]);
        assert_eq!(words(2), ["a/b", "1100", "1000", "+10.0", "%", "2.00", "2.50", "100"]);
    }
}
