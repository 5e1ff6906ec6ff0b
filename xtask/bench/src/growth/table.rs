//! A family's figures, each relative to its smallest size.

use super::step::Family;
use crate::figures::{Row, Spread};
use xtask::columns::align;

/// How much dearer a size may be than the smallest and still count as flat: the project's target.
const FLAT: f64 = 1.15;

const HEADINGS: [&str; 7] =
    ["server CPU µs", "median", "least", "most", "user", "to the smallest", "within 15 %"];

/// What is measured, and a line a size.
pub(super) fn render(family: Family, rows: &[Row]) -> String {
    let smallest = rows.first().and_then(cpu);
    let mut lines = vec![HEADINGS.map(str::to_owned)];
    lines.extend(rows.iter().map(|row| line(row, smallest)));
    let settings: Option<&str> = rows.last().map(|row| &*row.settings);
    format!("{}\n{}\nsettings: {}\n", family.words(), align(&lines), settings.unwrap_or_default())
}

fn line(row: &Row, smallest: Option<Spread>) -> [String; 7] {
    let Some(spread) = cpu(row) else {
        return [&row.scenario, "void", "", "", "", "", ""].map(str::to_owned);
    };
    let ratio = smallest.map(|smallest| spread.median / smallest.median);
    let verdict = ratio.map_or("", |ratio| if ratio <= FLAT { "holds" } else { "misses" });
    let figure = |figure: f64| format!("{figure:.2}");
    [
        row.scenario.clone(),
        figure(spread.median),
        figure(spread.least),
        figure(spread.most),
        row.user().map_or_else(String::new, |user| figure(user.median)),
        ratio.map_or_else(String::new, figure),
        verdict.to_owned(),
    ]
}

fn cpu(row: &Row) -> Option<Spread> {
    if row.void.is_some() { None } else { row.cpu() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Round;
    use crate::scenario::Size;

    #[test]
    fn each_size_stands_beside_the_smallest() {
        let rows: Vec<Row> = Family::Waiters.steps(Size::Full).iter().map(|step| step.row("poll")).collect();
        let filled = |(index, row): (usize, Row)| {
            let cpu = [2_000, 2_200, 2_400][index];
            Row { rounds: vec![Round { operations: 1, cpu, ..Round::default() }], ..row }
        };
        let mut rows: Vec<Row> = rows.into_iter().enumerate().map(filled).collect();
        let table = render(Family::Waiters, &rows);
        let ends = |table: &str, start: &str, end: &str| {
            table.lines().any(|line| line.starts_with(start) && line.ends_with(end))
        };
        assert!(ends(&table, "long poll, fan-out to 5 000", "1.10        holds"), "{table}");
        assert!(ends(&table, "long poll, fan-out to 15 000", "1.20       misses"), "{table}");
        rows[0].void = Some("lost".to_owned());
        assert!(render(Family::Waiters, &rows).lines().nth(2).unwrap().contains("void"));
    }
}
