//! The sum of all lanes, a row a pattern, and the verdict.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Result, ensure};

use super::lane::Outcome;
use super::reader::Pattern;
use xtask::history::Verdict;

/// What came of every lane so far.
#[derive(Default)]
pub(super) struct Report {
    rows: BTreeMap<Pattern, Row>,
}

#[derive(Default)]
struct Row {
    published: u64,
    in_window: u64,
    caught: u64,
    questions: u64,
    empty: u64,
    verdict: Verdict,
}

impl Report {
    pub(super) fn add(&mut self, outcome: &Outcome) {
        let row = self.rows.entry(outcome.pattern).or_default();
        row.published += outcome.published;
        row.in_window += outcome.in_window;
        row.caught += outcome.caught;
        row.questions += outcome.questions;
        row.empty += outcome.empty;
        row.verdict.lost += outcome.verdict.lost;
        row.verdict.doubled += outcome.verdict.doubled;
        row.verdict.disordered += outcome.verdict.disordered;
    }

    /// Takes over what another has.
    pub(super) fn join(&mut self, other: Self) {
        self.rows.extend(other.rows);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.values().all(|row| row.published == 0)
    }

    /// Fails if any message was lost, doubled or out of order.
    pub(super) fn verdict(&self) -> Result<()> {
        let broken: Vec<String> = self
            .rows
            .iter()
            .filter(|(_, row)| !row.verdict.is_clean())
            .map(|(pattern, _)| pattern.to_string())
            .collect();
        ensure!(broken.is_empty(), "messages were lost, doubled or out of order: {}", broken.join(", "));
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<20}{:>10}{:>10}{:>10}{:>10}{:>11}{:>8}{:>8}{:>8}{:>10}",
            "pattern",
            "published",
            "at edge",
            "caught",
            "later",
            "questions",
            "empty",
            "lost",
            "doubled",
            "disorder"
        )?;
        for (pattern, row) in &self.rows {
            writeln!(
                f,
                "{pattern:<20}{:>10}{:>10}{:>10}{:>10}{:>11}{:>8}{:>8}{:>8}{:>10}",
                row.published,
                row.in_window,
                row.caught,
                row.published.saturating_sub(row.caught + row.verdict.lost),
                row.questions,
                row.empty,
                row.verdict.lost,
                row.verdict.doubled,
                row.verdict.disordered
            )?;
        }
        write!(
            f,
            "at edge: left within −2…+3 ms of the end of the wait aimed at; caught: given by that very wait; later: by a \
             later one"
        )
    }
}
