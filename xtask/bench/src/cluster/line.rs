//! The lines of a table of figures that stand for themselves.

use crate::numbers::figure;
use crate::report::markdown_table;

/// A line of a table: name, value and bound.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) bound: Option<(f64, f64)>,
}

impl Line {
    /// A figure without a bound.
    pub(super) fn told(name: &str, value: String) -> Self {
        Self { name: name.to_owned(), value, bound: None }
    }

    pub(super) fn holds(&self) -> bool {
        self.bound.is_none_or(|(value, most)| value <= most)
    }
}

pub(super) fn table(lines: &[Line]) -> String {
    let row = |line: &Line| {
        let verdict = if line.holds() { "holds" } else { "MISSED" };
        let bound = line.bound.map_or_else(String::new, |(_, most)| format!("≤ {} {verdict}", figure(most)));
        vec![line.name.clone(), line.value.clone(), bound]
    };
    markdown_table(&["", "measured", "bound"], lines.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exceeds_its_bound_is_missed() {
        let line =
            |value, most| Line { name: "x".to_owned(), value: "v".to_owned(), bound: Some((value, most)) };
        assert!(line(1.25, 1.25).holds() && !line(1.26, 1.25).holds());
        assert!(table(&[line(1.26, 1.25)]).contains("≤ 1.25 MISSED"));
        assert!(Line::told("x", "v".to_owned()).holds());
    }
}
