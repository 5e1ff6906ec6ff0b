//! A table of counts: what happened to whom, and the columns that must be zero.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Result, ensure};
use xtask::columns::align;

/// Faults that are shown in full.
const SHOWN: usize = 10;

/// Columns and what to count under each.
pub type Counts<const N: usize> = [(&'static str, u64); N];

/// Rows by name, columns in a fixed order.
#[derive(Default)]
pub struct Tally {
    heading: &'static str,
    columns: &'static [&'static str],
    /// How many columns at the end must be zero in every row.
    faulty: usize,
    rows: BTreeMap<String, BTreeMap<&'static str, u64>>,
    /// What went wrong that no column counts.
    pub faults: Vec<String>,
}

impl Tally {
    /// An empty one. The last `faulty` columns must be zero.
    pub fn new(heading: &'static str, columns: &'static [&'static str], faulty: usize) -> Self {
        Self { heading, columns, faulty, rows: BTreeMap::new(), faults: Vec::new() }
    }

    /// Counts under each column.
    pub fn add<const N: usize>(&mut self, row: &str, counts: Counts<N>) {
        let row = self.rows.entry(row.to_owned()).or_default();
        for (column, count) in counts {
            *row.entry(column).or_default() += count;
        }
    }

    /// Takes over the rows of another with the same columns.
    pub fn join(&mut self, other: Self) {
        for (row, counts) in other.rows {
            counts.into_iter().for_each(|count| self.add(&row, [count]));
        }
        self.faults.extend(other.faults);
    }

    /// The sum of a column.
    pub fn sum(&self, column: &str) -> u64 {
        self.rows.values().filter_map(|row| row.get(column)).sum()
    }

    /// Fails if anything went wrong, or if nothing was counted under `proof`.
    ///
    /// # Errors
    /// What went wrong.
    pub fn verdict(&self, proof: &str) -> Result<()> {
        for column in &self.columns[self.columns.len() - self.faulty..] {
            ensure!(self.sum(column) == 0, "{} {column}:\n{self}", self.sum(column));
        }
        ensure!(self.faults.is_empty(), "{} faults, the first: {}", self.faults.len(), self.faults[0]);
        ensure!(self.sum(proof) > 0, "nothing {proof}");
        Ok(())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A course may count less than its columns, but what must be zero is always shown.
        let must_be_zero = &self.columns[self.columns.len() - self.faulty..];
        let is_counted = |column: &&&str| {
            must_be_zero.contains(column) || self.rows.values().any(|row| row.contains_key(*column))
        };
        let columns = self.columns.iter().filter(is_counted);
        let columns: Vec<&str> = columns.copied().collect();
        let mut rows =
            vec![std::iter::once(self.heading).chain(columns.clone()).map(str::to_owned).collect()];
        for (name, row) in &self.rows {
            let cell = |column: &&str| row.get(column).copied().unwrap_or_default().to_string();
            rows.push([name.clone()].into_iter().chain(columns.iter().map(cell)).collect::<Vec<_>>());
        }
        f.write_str(&align(&rows))?;
        self.faults.iter().take(SHOWN).try_for_each(|fault| write!(f, "\nfault: {fault}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_at_the_end_must_be_zero() {
        let mut tally = Tally::new("pattern", &["given", "lost"], 1);
        assert!(tally.verdict("given").is_err(), "nothing was counted");
        tally.add("long", [("given", 2)]);
        assert!(tally.verdict("given").is_ok());
        tally.add("long", [("given", 1), ("lost", 1)]);
        assert_eq!(tally.to_string(), "pattern  given  lost\nlong         3     1");
        assert!(tally.verdict("given").is_err());
    }
}
