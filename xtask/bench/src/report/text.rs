//! A run for the terminal: a line a scenario and server, then the ratios beside their targets.

use super::numbers::{self, NONE, median, spread};
use super::targets::{self, Figure, TARGETS, Target};
use super::{FLOOR, NCHAN, POLL, Scenario, scenarios};
use crate::figures::{Row, Run};

/// Headings, and on which side their columns line up.
const FIGURES: &[(&str, Side)] = &[
    ("scenario", Side::Left),
    ("server", Side::Left),
    ("CPU µs (least–most)", Side::Right),
    ("user µs", Side::Right),
    ("load µs", Side::Right),
    ("p99 ms", Side::Right),
    ("bytes a waiter", Side::Right),
    ("rounds", Side::Right),
    ("settings", Side::Left),
];
const RATIOS: &[(&str, Side)] = &[
    ("scenario", Side::Left),
    ("figure", Side::Left),
    ("poll/nchan", Side::Right),
    ("must be", Side::Left),
    ("poll/floor", Side::Right),
    ("aim", Side::Left),
];

#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
}

/// The whole text.
pub(super) fn render(run: &Run) -> String {
    let scenarios = scenarios(run);
    let figures = scenarios.iter().flat_map(figures).collect();
    let ratios: Vec<Vec<String>> = scenarios.iter().flat_map(|scenario| ratios(run, scenario)).collect();
    let mut text = format!(
        "{}, commit {}, {}\nCPU of the server, its user part and the load's own CPU in µs per operation; medians\n\n{}",
        run.date,
        run.commit,
        run.machine,
        align(FIGURES, figures)
    );
    for row in &run.rows {
        if let Some(why) = &row.void {
            text += &format!("void: {}, {}: {}\n", row.scenario, row.server, one_line(why));
        }
    }
    if ratios.is_empty() {
        return text;
    }
    text += &format!("\n{}\n", align(RATIOS, ratios));
    for target in TARGETS.iter().filter(|target| !target.is_beside()) {
        text += &format!("{}\n", target.line(run));
    }
    text += &format!("\n{}\n", targets::tally(run, "binding targets", |target| !target.is_aim()));
    text += &format!("{}\n", targets::tally(run, "aims", Target::is_aim));
    text
}

/// A line a server; the scenario is named once.
fn figures(scenario: &Scenario<'_>) -> Vec<Vec<String>> {
    let line = |(index, row): (usize, &&Row)| {
        let name = if index == 0 { scenario.name } else { "" };
        let mut cells = vec![name.to_owned(), row.server.clone()];
        cells.extend(measured(row));
        cells.push(row.rounds.len().to_string());
        cells.push(one_line(&row.settings));
        cells
    };
    scenario.rows.iter().enumerate().map(line).collect()
}

fn measured(row: &Row) -> [String; 5] {
    if row.void.is_some() {
        return ["void", NONE, NONE, NONE, NONE].map(str::to_owned);
    }
    [
        row.cpu().map_or_else(|| NONE.to_owned(), spread),
        median(row.user()),
        median(row.load()),
        median(row.p99()),
        median(row.resident()),
    ]
}

/// A line a figure that we and somebody else have.
fn ratios(run: &Run, scenario: &Scenario<'_>) -> Vec<Vec<String>> {
    let line = |figure: Figure| {
        scenario.row(POLL).and_then(|row| figure.of(row))?;
        let mut cells = vec![scenario.name.to_owned(), figure.name().to_owned()];
        let mut compared = false;
        for server in [NCHAN, FLOOR] {
            let ratio = targets::ratio(run, scenario.id, figure, server);
            let target = targets::bound_on(scenario.id, figure, server);
            compared |= ratio.is_some() || target.is_some();
            cells.push(ratio.map_or_else(|| NONE.to_owned(), numbers::ratio));
            cells.push(target.map_or_else(String::new, |target| target.judge(run)));
        }
        compared.then_some(cells)
    };
    [Figure::Cpu, Figure::P99, Figure::Resident].into_iter().filter_map(line).collect()
}

/// Columns as wide as their widest cell, without blanks at the ends of lines.
fn align(columns: &[(&str, Side)], rows: Vec<Vec<String>>) -> String {
    let headings = columns.iter().map(|(heading, _)| (*heading).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(headings).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).zip(columns).map(|((cell, width), (_, side))| match side {
            Side::Left => format!("{cell:<width$}"),
            Side::Right => format!("{cell:>width$}"),
        });
        let cells: Vec<String> = cells.collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// Line breaks of a program's message would break the table.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
