//! The figures of a million waiters beside what is asked of them.

use anyhow::{Result, ensure};

/// What the figures must not exceed. Memory in all is told for other numbers of waiters too, but is bounded for a million
/// or more alone.
const RESIDENT: f64 = 1.6e9;
const RESIDENT_EACH: f64 = 1_500.0;
const PEAK: f64 = 1.5;
const MICROSECONDS: f64 = 4.0;
const MILLION: u64 = 1_000_000;

/// What was measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    pub(super) waiters: u64,
    /// Resident bytes of the server before anybody came, and with all waiting.
    pub(super) empty: u64,
    pub(super) idle: u64,
    pub(super) lost: u64,
    pub(super) doubled: u64,
    pub(super) ran_out: u64,
    /// Server CPU of one waiter's first question, in nanoseconds in all.
    pub(super) opening: u64,
    pub(super) deliveries: Vec<Delivery>,
    /// How long the load worked on all of the deliveries, in nanoseconds.
    pub(super) load: u64,
}

/// One publish to all.
#[derive(Clone, Debug, Default)]
pub(super) struct Delivery {
    /// Resident bytes before it, and at the most until all had it.
    pub(super) idle: u64,
    pub(super) peak: u64,
    /// Server CPU, in nanoseconds in all, and of it in user space.
    pub(super) cpu: u64,
    pub(super) user: u64,
    /// From the publish until the last waiter had it, in nanoseconds.
    pub(super) wall: u64,
}

/// One line of the table.
struct Figure {
    name: String,
    measured: String,
    target: String,
    verdict: Verdict,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Held,
    Missed,
    /// There is no target.
    Told,
}

impl Report {
    pub(super) fn table(&self) -> String {
        let figures = self.figures();
        let heading = Figure::told("", "measured".to_owned());
        let rows: Vec<&Figure> = std::iter::once(&heading).chain(&figures).collect();
        let width = |cell: fn(&Figure) -> &str| rows.iter().map(|row| cell(row).chars().count()).max();
        let (name, measured) = (width(|row| &row.name), width(|row| &row.measured));
        let (name, measured) = (name.unwrap_or_default(), measured.unwrap_or_default());
        let line = |row: &&Figure| {
            let verdict = match row.verdict {
                Verdict::Held => "held",
                Verdict::Missed => "MISSED",
                Verdict::Told => "",
            };
            format!("{:<name$}  {:>measured$}  {:<9}  {verdict}", row.name, row.measured, row.target)
        };
        rows.iter().map(line).map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
    }

    /// The same in Markdown, where numbers are read by people who did not run it.
    pub(super) fn markdown(&self) -> String {
        let rows = self.figures().into_iter().map(|figure| {
            let verdict = match figure.verdict {
                Verdict::Held => " holds",
                Verdict::Missed => " misses",
                Verdict::Told => "",
            };
            let bound = figure.target.replace("<=", "≤");
            format!("| {} | {} | {bound}{verdict} |\n", figure.name, figure.measured)
        });
        format!("| | measured | bound |\n| --- | --- | --- |\n{}", rows.collect::<String>())
    }

    /// Fails if a target was missed.
    pub(super) fn verdict(&self) -> Result<()> {
        let figures = self.figures();
        let missed = figures.iter().filter(|figure| figure.verdict == Verdict::Missed);
        let missed: Vec<&str> = missed.map(|figure| figure.name.as_str()).collect();
        ensure!(missed.is_empty(), "missed: {}", missed.join(", "));
        Ok(())
    }

    fn figures(&self) -> Vec<Figure> {
        let gigabytes = |bytes: f64| format!("{:.3} GB", bytes / 1e9);
        let resident = if self.waiters >= MILLION {
            Figure::at_most("resident in all, waiting", float(self.idle), RESIDENT, gigabytes)
        } else {
            Figure::told("resident in all, waiting", gigabytes(float(self.idle)))
        };
        let bytes = |bytes: f64| format!("{bytes:.0} B");
        let each = self.each(self.idle.saturating_sub(self.empty));
        let count = |count: f64| format!("{count:.0}");
        let mut figures = vec![
            Figure::told("waiters", self.waiters.to_string()),
            resident,
            Figure::at_most("resident a waiter", each, RESIDENT_EACH, bytes),
            Figure::told("server CPU of a first poll", micros(self.each(self.opening) / 1e3)),
            Figure::at_most("lost", float(self.lost), 0.0, count),
            Figure::at_most("doubled", float(self.doubled), 0.0, count),
            Figure::told("polls that ran out and were asked again", self.ran_out.to_string()),
        ];
        for (index, delivery) in self.deliveries.iter().enumerate() {
            let named = |what: &str| format!("publish {}: {what}", index + 1);
            let cpu = self.each(delivery.cpu) / 1e3;
            let peak = float(delivery.peak) / float(delivery.idle.max(1));
            figures.extend([
                Figure::at_most(named("server CPU a delivery"), cpu, MICROSECONDS, micros),
                Figure::told(named("of it in user space"), micros(self.each(delivery.user) / 1e3)),
                Figure::at_most(named("peak over idle"), peak, PEAK, |ratio| format!("{ratio:.2}")),
                Figure::told(named("peak"), gigabytes(float(delivery.peak))),
                Figure::told(named("until the last had it"), format!("{:.2} s", float(delivery.wall) / 1e9)),
            ]);
        }
        let load = self.each(self.load) / float(self.deliveries.len().max(1) as u64) / 1e3;
        figures.push(Figure::told("the load's own work a delivery", micros(load)));
        figures
    }

    /// A figure's share of one waiter.
    fn each(&self, of_all: u64) -> f64 {
        float(of_all) / float(self.waiters.max(1))
    }
}

impl Figure {
    fn told(name: impl Into<String>, measured: String) -> Self {
        Self { name: name.into(), measured, target: String::new(), verdict: Verdict::Told }
    }

    fn at_most(name: impl Into<String>, measured: f64, target: f64, write: fn(f64) -> String) -> Self {
        let verdict = if measured <= target { Verdict::Held } else { Verdict::Missed };
        Self {
            name: name.into(),
            measured: write(measured),
            target: format!("<= {}", write(target)),
            verdict,
        }
    }
}

fn micros(micros: f64) -> String {
    format!("{micros:.2} µs")
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Report {
        let delivery =
            Delivery { idle: 1_400_000_000, peak: 1_500_000_000, cpu: 3_500_000_000, ..Delivery::default() };
        Report {
            waiters: MILLION,
            empty: 10_000_000,
            idle: 1_400_000_000,
            deliveries: vec![delivery],
            ..Report::default()
        }
    }

    #[test]
    fn what_is_missed_is_named() {
        assert!(good().verdict().is_ok(), "{}", good().table());
        let worse = Report { doubled: 1, ..good() };
        assert_eq!(worse.verdict().unwrap_err().to_string(), "missed: doubled");
        assert!(worse.table().lines().any(|line| line.starts_with("doubled") && line.ends_with("MISSED")));
        let mut slower = good();
        slower.deliveries[0].cpu = 4_100_000_000;
        assert_eq!(slower.verdict().unwrap_err().to_string(), "missed: publish 1: server CPU a delivery");
    }

    #[test]
    fn the_table_in_markdown_has_a_row_a_figure() {
        let markdown = good().markdown();
        assert_eq!(markdown.lines().count(), 2 + good().figures().len());
        assert!(markdown.lines().all(|line| line.starts_with("| ") && line.matches('|').count() == 4));
        assert!(
            markdown.contains("| resident in all, waiting | 1.400 GB | ≤ 1.600 GB holds |\n"),
            "{markdown}"
        );
    }

    #[test]
    fn fewer_waiters_are_held_to_what_is_theirs() {
        let fewer = Report { waiters: MILLION / 2, ..good() };
        assert!(!fewer.verdict().unwrap_err().to_string().contains("in all"));
    }
}
