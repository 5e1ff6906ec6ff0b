//! What the readers did, as text: bars while they read, a histogram and a table at the end. 80 columns at most.
//!
//! Pure: figures in, text out. Knows neither terminals nor time.

use std::cell::RefCell;
use std::rc::Rc;

use hdrhistogram::Histogram;
use poll_client::Counts;

use super::meter::Traffic;
use super::pattern::Pattern;
use xtask::columns::{align, millis};
use xtask::history::Verdict;

/// Columns of a bar: eight for each power of ten on the axis of latencies.
const BAR: usize = 40;
const PER_DECADE: f64 = 8.0;
/// Where that axis begins: a tenth of a millisecond. It ends at ten seconds.
const AXIS_BEGIN: f64 = 100.0;
const AXIS: &str = "0.1     1       10      100     1000 ms";
/// Of the comparison at the end.
const HEADINGS: [&str; 8] =
    ["pattern", "messages", "p50 ms", "p99 ms", "requests", "empty", "lost", "doubled"];

/// What one reader did so far.
#[derive(Clone)]
pub(super) struct Figures {
    pub(super) pattern: Pattern,
    pub(super) counts: Counts,
    /// Microseconds from the server's timestamp to the reader's having it; both clocks are this machine's.
    pub(super) latency: Histogram<u64>,
    /// While messages were published.
    pub(super) busy: Traffic,
    /// Afterwards, while none was.
    pub(super) idle: Traffic,
    /// Once it has ended.
    pub(super) verdict: Verdict,
}

/// The figures of a reader that is still reading.
pub(super) type Shared = Rc<RefCell<Figures>>;

/// The bars: how late, at what cost, and what waiting costs.
pub(super) fn bars(all: &[Figures]) -> String {
    let latency = block(all, &format!("{:16}  {AXIS:BAR$}", "latency"), ["p50 ms", "p99 ms"], |of| {
        let column = |quantile| column(of.latency.value_at_quantile(quantile)) + 1;
        let (p50, p99) = if of.latency.is_empty() { (0, 0) } else { (column(0.5), column(0.99)) };
        let bar = "█".repeat(p50) + &"▒".repeat(p99 - p50);
        [bar, millis(&of.latency, 0.5), millis(&of.latency, 0.99)]
    });
    let most = all.iter().filter_map(Figures::bytes_a_message).max().unwrap_or(0);
    let cost = block(all, "cost: bytes a message, both ways, heads included", ["bytes", "requests"], |of| {
        let each = of.bytes_a_message();
        [linear(each, most), each.map_or_else(dash, bytes), of.counts.requests.to_string()]
    });
    let most = all.iter().filter_map(Figures::bytes_an_idle_hour).max().unwrap_or(0);
    let idle = block(all, "cost of an hour in which nothing is published", ["bytes", "requests"], |of| {
        let hour = of.bytes_an_idle_hour();
        let requests = hour.map(|_| of.pattern.idle_hour().requests);
        let requests = requests.map_or_else(dash, |requests| requests.to_string());
        [linear(hour, most), hour.map_or_else(dash, bytes), requests]
    });
    format!("{latency}\n\n{cost}\n\n{idle}")
}

/// All there is to say at the end: the bars, how many messages came how late, and the comparison.
pub(super) fn report(all: &[Figures]) -> String {
    let title = format!("{:16}  {AXIS:BAR$}", "histogram");
    let histogram = block(all, &title, ["first ms", "last ms"], |of| {
        [heights(&of.latency), millis(&of.latency, 0.0), millis(&of.latency, 1.0)]
    });
    format!("{}\n\n{histogram}\n\n{}", bars(all), table(all))
}

/// One row a pattern.
fn table(all: &[Figures]) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(all.iter().map(|Figures { pattern, counts, latency, verdict, .. }| {
        [
            pattern.to_string(),
            counts.messages.to_string(),
            millis(latency, 0.5),
            millis(latency, 0.99),
            counts.requests.to_string(),
            counts.empty_answers.to_string(),
            verdict.lost.to_string(),
            (verdict.doubled + verdict.disordered).to_string(),
        ]
    }));
    align(&rows)
}

/// A heading and a line a pattern, each with a bar and two figures.
fn block(all: &[Figures], title: &str, headings: [&str; 2], row: impl Fn(&Figures) -> [String; 3]) -> String {
    let heading = format!("{title:58}  {:>9} {:>9}", headings[0], headings[1]);
    let lines = all.iter().map(|of| {
        let [bar, first, second] = row(of);
        format!("{:16}  {bar:BAR$}  {first:>9} {second:>9}", of.pattern)
    });
    std::iter::once(heading).chain(lines).collect::<Vec<_>>().join("\n")
}

/// Where a latency in microseconds is on the axis.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a column is between 0 and 39"
)]
fn column(micros: u64) -> usize {
    let column = (micros as f64 / AXIS_BEGIN).log10() * PER_DECADE;
    column.clamp(0.0, (BAR - 1) as f64) as usize
}

/// How many messages were how late: a column of blocks for each step of the axis, the fullest of full height.
fn heights(latency: &Histogram<u64>) -> String {
    let mut counts = [0; BAR];
    for step in latency.iter_recorded() {
        counts[column(step.value_iterated_to())] += step.count_at_value();
    }
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let blocks = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    // Even one message is seen.
    counts.iter().map(|count| blocks[usize::try_from((count * 8).div_ceil(most)).unwrap_or(8)]).collect()
}

/// A bar as long as its part of the most.
fn linear(value: Option<u64>, most: u64) -> String {
    let part = value.unwrap_or(0) * BAR as u64;
    "█".repeat(part.div_ceil(most.max(1)).try_into().unwrap_or(BAR))
}

fn dash() -> String {
    "-".to_owned()
}

/// A number of bytes in at most seven characters, up to a thousand terabytes.
fn bytes(bytes: u64) -> String {
    let (mut whole, mut rest, mut units) = (bytes, 0, ["B", "kB", "MB", "GB", "TB"].into_iter());
    let mut unit = units.next().unwrap_or_default();
    while whole >= 1000
        && let Some(greater) = units.next()
    {
        (whole, rest, unit) = (whole / 1000, whole % 1000 / 100, greater);
    }
    if unit == "B" { format!("{whole} B") } else { format!("{whole}.{rest} {unit}") }
}

impl Figures {
    pub(super) fn bytes_a_message(&self) -> Option<u64> {
        self.busy.bytes.checked_div(self.counts.messages)
    }

    /// What was seen of waiting, for as often as a reader with the usual intervals hears from the server in an hour.
    pub(super) fn bytes_an_idle_hour(&self) -> Option<u64> {
        (self.idle.bytes * self.pattern.idle_hour().rounds).checked_div(self.idle.reads)
    }
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr;

    use super::*;

    fn figures(pattern: Pattern, latencies: &[u64], traffic: [u64; 3]) -> Figures {
        let mut latency = Histogram::new(3).unwrap();
        latencies.iter().for_each(|micros| latency.record(*micros).unwrap());
        let [busy, idle, reads] = traffic;
        let messages = latencies.len() as u64;
        Figures {
            pattern,
            counts: Counts { messages, requests: 12, empty_answers: 3, ..Counts::default() },
            latency,
            busy: Traffic { bytes: busy, reads: messages },
            idle: Traffic { bytes: idle, reads },
            verdict: Verdict::default(),
        }
    }

    #[test]
    fn the_report_shows_how_late_at_what_cost() {
        let all = [
            figures(Pattern::Short, &[50_000, 400_000, 500_000, 900_000], [800, 1_500, 3]),
            figures(Pattern::Long, &[300, 310, 320, 2_500], [2_400, 1_800, 3]),
            figures(Pattern::Stream, &[150, 160, 170, 180], [640, 180, 3]),
            figures(Pattern::Sse, &[], [0, 0, 0]),
        ];
        let expected = "\
latency           0.1     1       10      100     1000 ms      p50 ms    p99 ms
short poll (1 s)  █████████████████████████████▒▒▒             400.13    900.10
long poll         ████▒▒▒▒▒▒▒▒                                   0.31      2.50
chunked stream    ██▒                                            0.16      0.18
SSE                                                                 -         -

cost: bytes a message, both ways, heads included                bytes  requests
short poll (1 s)  ██████████████                                200 B        12
long poll         ████████████████████████████████████████      600 B        12
chunked stream    ███████████                                   160 B        12
SSE                                                                 -        12

cost of an hour in which nothing is published                   bytes  requests
short poll (1 s)  ████████████████████████████████████████     1.8 MB      3600
long poll         ██                                          74.4 kB       124
chunked stream    █                                           14.4 kB         0
SSE                                                                 -         -

histogram         0.1     1       10      100     1000 ms    first ms   last ms
short poll (1 s)                       █      ██ █              49.98    900.10
long poll            █▄      ▄                                   0.30      2.50
chunked stream     █▃                                            0.15      0.18
SSE                                                                 -         -

pattern           messages  p50 ms  p99 ms  requests  empty  lost  doubled
short poll (1 s)         4  400.13  900.10        12      3     0        0
long poll                4    0.31    2.50        12      3     0        0
chunked stream           4    0.16    0.18        12      3     0        0
SSE                      0       -       -        12      3     0        0";
        let trimmed: Vec<_> = report(&all).lines().map(|line| line.trim_end().to_owned()).collect();
        assert_eq!(trimmed.join("\n"), expected);
    }

    #[test]
    fn nothing_is_wider_than_80_columns() {
        let mut all = Pattern::ALL.map(|pattern| {
            figures(
                pattern,
                &[1, 99, 12_345_678, 3_599_999_999],
                [u64::MAX / 4_000_000, u64::MAX / 4_000_000, 1],
            )
        });
        for of in &mut all {
            of.counts = Counts { messages: 123_456, requests: 1_234_567, empty_answers: 12_345, ..of.counts };
            of.verdict = Verdict { lost: 12_345, doubled: 123_456, disordered: 0 };
        }
        let text = report(&all);
        let widest = text.lines().map(UnicodeWidthStr::width).max();
        assert!(widest <= Some(80), "{widest:?}\n{text}");
    }

    #[test]
    fn bytes_are_short() {
        let table = [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (1_999_999, "1.9 MB"),
            (u64::MAX, "18446744.0 TB"),
        ];
        for (number, text) in table {
            assert_eq!(bytes(number), text);
        }
    }
}
