//! A run in Markdown: all figures with their bounds, and a summary of a line per scenario.

use super::bounds;
use super::groups::{Group, NCHAN, POLL, groups, rival, servers};
use super::markdown::{plain, table};
use crate::numbers::{self, NONE};
use crate::results::{Figure, Run, Subject};

/// A figure and what stands above its table.
type Heading = (Figure, &'static str);

const DELIVERIES: &[Heading] = &[
    (Figure::Cpu, "Server CPU per operation, in µs:"),
    (Figure::P99, "From the publish to its arrival, 99th percentile, in ms:"),
    (Figure::Resident, "Resident memory per waiter, in bytes:"),
];

const DURABLE: &[Heading] = &[
    (Figure::Rate, "Operations a second:"),
    (Figure::Cpu, "Server CPU per operation, in µs:"),
    (Figure::Publishing, "From a publish to its response, median, in ms:"),
    (Figure::Arrival, "From a publish to its arrival at a reader, median, in ms:"),
    (Figure::Memory, "Resident memory at the end, in MiB:"),
];

/// All figures. `results` is where every round is kept.
pub(super) fn section(run: &Run, results: &str) -> String {
    let mut text = format!(
        "Measured on {}, commit `{}`, on {}. Medians, with the range of the rounds in brackets; a ratio is the median of \
         the rounds' ratios. All rounds and settings are in [{results}](../{results}).\n",
        run.date,
        run.commit,
        plain(&run.machine),
    );
    let headings = match run.subject {
        Subject::Deliveries => DELIVERIES,
        Subject::Durable => DURABLE,
    };
    for &(figure, heading) in headings {
        if let Some(table) = figures(run, figure) {
            text += &format!("\n{heading}\n\n{table}");
        }
    }
    for row in &run.rows {
        if let Some(why) = &row.void {
            text += &format!("\nVoid: {}, {}: {}\n", plain(&row.scenario), plain(&row.server), plain(why));
        }
    }
    if servers(run).contains(&POLL) {
        text += "\nOther bounds, and all together:\n\n";
        for line in bounds::others(run) {
            text += &format!("- {}\n", plain(&line));
        }
    }
    text
}

/// The medians of ours and of Nchan where there is a bound against it, and for idle waiters; and the plot.
pub(super) fn summary(run: &Run, plot: &str) -> String {
    let chosen = |group: &&Group<'_>| group.idle || bounds::against(NCHAN, group.id, Figure::Cpu).is_some();
    let line = |group: &Group<'_>| {
        let figure = main_figure(group);
        let unit = if group.idle { "B" } else { "µs" };
        let median = |server| Some(figure.of(group.row(server)?)?.median);
        let shown = |value| format!("{} {unit}", numbers::figure(value));
        let ratio = bounds::ratio(run, NCHAN, group.id, figure)?;
        Some(vec![plain(group.words), shown(median(POLL)?), shown(median(NCHAN)?), format!("{ratio:.2}")])
    };
    let groups = groups(run);
    let rows = groups.iter().filter(chosen).filter_map(line).collect();
    let table = table(&["operation", "poll", "Nchan", "ratio"], rows);
    format!("{table}\n![Server CPU per operation, by scenario and server]({plot})\n")
}

/// A row per scenario in which a figure was measured for any server.
fn figures(run: &Run, figure: Figure) -> Option<String> {
    let servers = servers(run);
    let rival = rival(run);
    let rows: Vec<Vec<String>> = groups(run)
        .iter()
        .filter(|group| belongs(group, figure, &servers))
        .map(|group| {
            let mut cells = vec![plain(group.words)];
            cells.extend(servers.iter().map(|server| measured(group, figure, server)));
            cells.extend(rival.map(|rival| compared(run, rival, group, figure)));
            cells
        })
        .collect();
    let mut headings = vec!["scenario".to_owned()];
    headings.extend(servers.iter().map(|server| plain(server)));
    headings.extend(rival.map(|rival| format!("{POLL}/{rival}")));
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    (!rows.is_empty()).then(|| table(&headings, rows))
}

fn main_figure(group: &Group<'_>) -> Figure {
    if group.idle { Figure::Resident } else { Figure::Cpu }
}

/// Whether a scenario is in a figure's table. A void row is in the table of its main figure.
fn belongs(group: &Group<'_>, figure: Figure, servers: &[&str]) -> bool {
    let mut rows = servers.iter().filter_map(|server| group.row(server));
    if figure == main_figure(group) {
        return rows.any(|row| figure.of(row).is_some() || row.void.is_some());
    }
    !matches!(figure, Figure::Cpu | Figure::Resident) && rows.any(|row| figure.of(row).is_some())
}

fn measured(group: &Group<'_>, figure: Figure, server: &str) -> String {
    match group.row(server) {
        None => NONE.to_owned(),
        Some(row) if row.void.is_some() => "void".to_owned(),
        Some(row) => figure.of(row).map_or_else(|| NONE.to_owned(), |spread| spread.to_string()),
    }
}

/// The ratio to the other server, with its bound if there is one.
fn compared(run: &Run, rival: &str, group: &Group<'_>, figure: Figure) -> String {
    let Some(ratio) = bounds::ratio(run, rival, group.id, figure).map(numbers::ratio) else {
        return NONE.to_owned();
    };
    match bounds::against(rival, group.id, figure) {
        Some(bound) => format!("**{ratio}** {}", bound.verdict(run)),
        None => ratio,
    }
}
