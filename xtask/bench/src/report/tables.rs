//! The README's performance section: tables in Markdown between two marks, which are the command's alone to write.
//!
//! Everything around the marks is left as it is.

use anyhow::{Result, bail};

use super::numbers::{self, NONE, spread};
use super::targets::{self, Figure, TARGETS, Target};
use super::{FIGURES, FLOOR, NCHAN, PICTURE, POLL, Scenario, WAITER, scenarios, servers};
use crate::figures::Run;

/// Names the marks of the comparison.
const MARK: &str = "bench";

/// The README with the run between its marks, whatever stood there before.
pub(super) fn replace(readme: &str, run: &Run) -> Result<String> {
    between(readme, MARK, &section(run))
}

/// The README with `section` between the marks of that name.
pub(super) fn between(readme: &str, mark: &str, section: &str) -> Result<String> {
    let (opening, closing) = (format!("<!-- {mark} -->"), format!("<!-- /{mark} -->"));
    let lines: Vec<&str> = readme.lines().collect();
    let places = |mark: &str| -> Vec<usize> {
        lines.iter().enumerate().filter(|(_, line)| line.trim() == mark).map(|(index, _)| index).collect()
    };
    let (&[begin], &[end]) = (places(&opening).as_slice(), places(&closing).as_slice()) else {
        bail!("the README does not hold `{opening}` and `{closing}` once each, on lines of their own");
    };
    if end < begin {
        bail!("in the README `{closing}` stands before `{opening}`");
    }
    let mut new = lines[..=begin].join("\n");
    new += &format!("\n\n{section}\n");
    new += &lines[end..].join("\n");
    new.push('\n');
    Ok(new)
}

/// What stands between the marks.
fn section(run: &Run) -> String {
    let mut text = format!(
        "Measured on {}, commit `{}`, on {}. Medians, with the least and the most of the rounds in brackets; a ratio is the \
         median of the rounds' own ratios, as servers and scenarios take turns and the machine's pace changes; every round is in \
         [{FIGURES}]({FIGURES}).\n\n![{}]({PICTURE})\n",
        plain(&run.date),
        code(&run.commit),
        plain(&run.machine),
        "Server CPU per operation of each server in each scenario",
    );
    for (figure, heading) in [
        (Figure::Cpu, "Server CPU per operation, in µs:"),
        (Figure::P99, "From the publish to its arrival, 99th percentile, in ms:"),
        (Figure::Resident, "Resident memory a waiter, in bytes:"),
    ] {
        if let Some(table) = table(run, figure) {
            text += &format!("\n{heading}\n\n{table}");
        }
    }
    let voids = run.rows.iter().filter_map(|row| Some((row, row.void.as_ref()?)));
    let voids: Vec<String> = voids
        .map(|(row, why)| format!("- {}, {}: {}\n", plain(&row.scenario), plain(&row.server), plain(why)))
        .collect();
    if !voids.is_empty() {
        text += &format!("\nVoid, because the run was not clean:\n\n{}", voids.concat());
    }
    if run.rows.iter().any(|row| row.server == POLL) {
        text += "\nBounds beyond the ratios, and how all of them came out:\n\n";
        for target in TARGETS.iter().filter(|target| !target.is_beside()) {
            text += &format!("- {}\n", plain(&target.line(run)));
        }
        text += &format!(
            "- {}\n",
            targets::tally(run, "against Nchan and by themselves", |target| !target.is_aim())
        );
        text += &format!("- {}\n", targets::tally(run, "aims against the floor", Target::is_aim));
    }
    text
}

/// A row a scenario in which the figure was measured of anybody.
fn table(run: &Run, figure: Figure) -> Option<String> {
    let servers = servers(run);
    let peers: Vec<&str> = [NCHAN, FLOOR].into_iter().filter(|peer| servers.contains(peer)).collect();
    let peers = if servers.contains(&POLL) { peers } else { Vec::new() };
    // Latencies are of the rows above, which name theirs.
    let settings = servers.contains(&POLL) && figure != Figure::P99;
    let rows: Vec<String> = scenarios(run)
        .iter()
        .filter(|scenario| belongs(scenario, figure))
        .map(|scenario| {
            let mut cells = vec![plain(scenario.name)];
            cells.extend(servers.iter().map(|server| measured(scenario, figure, server)));
            cells.extend(peers.iter().map(|peer| compared(run, scenario, figure, peer)));
            if settings {
                let ours = scenario.row(POLL).map(|row| code(&row.settings)).filter(|text| !text.is_empty());
                cells.push(ours.map_or_else(String::new, |ours| format!("`{ours}`")));
            }
            format!("| {} |\n", cells.join(" | "))
        })
        .collect();
    let any = run.rows.iter().any(|row| figure.of(row).is_some());
    let mut headings = vec!["scenario".to_owned()];
    headings.extend(servers.iter().map(|server| plain(server)));
    headings.extend(peers.iter().map(|peer| format!("{POLL}/{peer}")));
    if settings {
        headings.push(format!("settings of {POLL}"));
    }
    any.then(|| {
        let rule = vec!["---"; headings.len()].join(" | ");
        format!("| {} |\n| {rule} |\n{}", headings.join(" | "), rows.concat())
    })
}

/// Whether a scenario stands in a figure's table: its figure was measured, and is one that counts there. A scenario
/// that is void as a whole stands where it would count most.
fn belongs(scenario: &Scenario<'_>, figure: Figure) -> bool {
    let main = if scenario.operation == WAITER { Figure::Resident } else { Figure::Cpu };
    if figure == main {
        return scenario.rows.iter().any(|row| figure.of(row).is_some() || row.void.is_some());
    }
    figure != Figure::Cpu && scenario.rows.iter().any(|row| figure.of(row).is_some())
}

fn measured(scenario: &Scenario<'_>, figure: Figure, server: &str) -> String {
    let Some(row) = scenario.row(server) else { return NONE.to_owned() };
    if row.void.is_some() {
        return "void".to_owned();
    }
    figure.of(row).map_or_else(|| NONE.to_owned(), spread)
}

/// The ratio to a peer, with its bound and the verdict where there is one.
fn compared(run: &Run, scenario: &Scenario<'_>, figure: Figure, peer: &str) -> String {
    let Some(ratio) = targets::ratio(run, scenario.id, figure, peer).map(numbers::ratio) else {
        return NONE.to_owned();
    };
    match targets::bound_on(scenario.id, figure, peer) {
        Some(target) => format!("**{}** {}", ratio, target.judge(run)),
        None => ratio,
    }
}

/// Text that Markdown reads as nothing but text, in one line.
fn plain(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.split_whitespace().collect::<Vec<_>>().join(" ").chars() {
        if matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '~') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// The inside of a code span in a table: a backtick would end it, a bar would end the cell.
fn code(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.replace('`', "'").replace('|', "\\|")
}
