//! A run as a plot that stands in the README: a panel of bars a unit, a group a scenario, a bar a server.
//!
//! Written by hand as text, because bars and labels need no library. It draws its own paper, light or dark as the
//! reader's screen is, and names no font that would have to be fetched. Bars are medians; the line over a bar reaches
//! from the least to the most.

use super::numbers::{figure, spread, whole};
use super::targets::Figure;
use super::{POLL, Scenario, WAITER, scenarios, servers};
use crate::figures::{Row, Run};

const WIDTH: f64 = 920.0;
/// Where bars begin and where the longest may end; what is right of it is for its label.
const LEFT: f64 = 284.0;
const RIGHT: f64 = 774.0;
const MARGIN: f64 = 28.0;

const BAR: f64 = 11.0;
const STEP: f64 = 15.0;
/// A group has two lines of name, however few bars.
const GROUP_LEAST: f64 = 32.0;
const GROUP_GAP: f64 = 13.0;

/// How many gridlines are about right.
const GRIDLINES: f64 = 8.0;
/// Colours there are; a server more than that shares the last one.
const COLOURS: usize = 6;

const STYLE: &str = "\
text{font:12px ui-sans-serif,system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;fill:#1f2328}\
.title{font-size:19px;font-weight:600}.panel{font-size:14px;font-weight:600}.name{font-weight:600}\
.quiet{fill:#59636e}.small{font-size:11px}.ours{font-weight:600}.void{font-style:italic}\
.paper{fill:#fff;stroke:#d1d9e0}.grid{stroke:#e4e8ec}.axis{stroke:#818b98}\
.spread{stroke:#1f2328;stroke-width:1.2}\
.s0{fill:#1f6feb}.s1{fill:#e39a3b}.s2{fill:#aab4be}.s3{fill:#8f6cd9}.s4{fill:#2f9e7d}.s5{fill:#d0587e}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.quiet{fill:#9198a1}\
.paper{fill:#0d1117;stroke:#30363d}.grid{stroke:#22282f}.axis{stroke:#656c76}.spread{stroke:#f0f6fc}\
.s0{fill:#4493f8}.s1{fill:#c9832b}.s2{fill:#5b6570}.s3{fill:#8a63d2}.s4{fill:#2a9273}.s5{fill:#bf4b72}}";

/// What has been drawn so far, and how far down.
struct Drawing<'a> {
    elements: Vec<String>,
    y: f64,
    servers: Vec<&'a str>,
}

/// The whole picture.
pub(super) fn draw(run: &Run) -> String {
    let mut drawing = Drawing { elements: Vec::new(), y: 42.0, servers: servers(run) };
    let title = format!("What one operation costs the server, {}, commit {}", run.date, run.commit);
    drawing.text(MARGIN, "title", &title);
    drawing.y += 22.0;
    let legend = "medians; the thin line reaches from the least to the most of the rounds; less is better";
    drawing.text(MARGIN, "quiet", &format!("{}; {legend}", run.machine));
    drawing.y += 28.0;
    drawing.legend();
    let scenarios = scenarios(run);
    let (waiting, working): (Vec<_>, Vec<_>) =
        scenarios.iter().partition(|scenario| scenario.operation == WAITER);
    drawing.panel("CPU, µs per operation", Figure::Cpu, &working);
    drawing.panel("Memory, resident bytes a waiter", Figure::Resident, &waiting);
    drawing.finish(&title)
}

impl Drawing<'_> {
    /// A colour a server.
    fn legend(&mut self) {
        let mut x = MARGIN;
        for (index, server) in self.servers.clone().into_iter().enumerate() {
            let class = colour(index);
            self.elements.push(format!(
                "<rect class=\"{class}\" x=\"{x}\" y=\"{}\" width=\"11\" height=\"11\" rx=\"2\"/>",
                self.y - 10.0
            ));
            self.text(x + 17.0, weight(server), server);
            // Text is measured by nobody here; 8 a character is wider than any of it.
            x += server.chars().fold(44.0, |width, _| width + 8.0);
        }
        self.y += 14.0;
    }

    /// All groups of one unit on one axis; nothing if it was measured of none.
    fn panel(&mut self, heading: &str, unit: Figure, groups: &[&Scenario<'_>]) {
        let shown = |scenario: &&&Scenario<'_>| {
            scenario.rows.iter().any(|row| row.void.is_some() || unit.of(row).is_some())
        };
        let groups: Vec<&&Scenario<'_>> = groups.iter().filter(shown).collect();
        let rows = || groups.iter().flat_map(|group| &group.rows);
        let Some(most) = rows().filter_map(|row| unit.of(row)).map(|spread| spread.most).reduce(f64::max)
        else {
            return;
        };
        self.y += 26.0;
        self.text(MARGIN, "panel", heading);
        // The figures of the axis stand below the heading, which may be wider than the names.
        self.y += 24.0;
        let step = step_of(most);
        let scale = (RIGHT - LEFT) / most;
        let bottom: f64 = groups.iter().map(|group| height_of(group) + GROUP_GAP).sum::<f64>() + self.y;
        self.grid(step, scale, most, bottom);
        self.y += GROUP_GAP / 2.0;
        for group in groups {
            self.group(group, unit, scale);
        }
        self.y = bottom + 14.0;
    }

    fn grid(&mut self, step: f64, scale: f64, most: f64, bottom: f64) {
        let mut value = 0.0;
        while value <= most {
            let x = LEFT + value * scale;
            let class = if value == 0.0 { "axis" } else { "grid" };
            self.elements.push(format!(
                "<line class=\"{class}\" x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\"/>",
                self.y
            ));
            let label = if step < 1.0 { format!("{value:.1}") } else { whole(value) };
            self.elements.push(format!(
                "<text class=\"quiet small\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{:.1}\">{label}</text>",
                self.y - 6.0
            ));
            value += step;
        }
    }

    /// The name in two lines, what is done and how much of it, and a bar a server.
    fn group(&mut self, scenario: &Scenario<'_>, unit: Figure, scale: f64) {
        let height = height_of(scenario);
        let (name, rest) = scenario.name.split_once(", ").unwrap_or((scenario.name, ""));
        let middle = self.y + height / 2.0;
        let lines =
            if rest.is_empty() { vec![("name", name)] } else { vec![("name", name), ("quiet", rest)] };
        let first = if rest.is_empty() { middle + 4.0 } else { middle - 3.5 };
        for (index, (class, line)) in lines.into_iter().enumerate() {
            let y = if index == 0 { first } else { first + 15.0 };
            self.elements.push(format!(
                "<text class=\"{class}\" text-anchor=\"end\" x=\"{}\" y=\"{y:.1}\">{}</text>",
                LEFT - 12.0,
                escape(line)
            ));
        }
        let bars = scenario.rows.iter().fold(0.0, |height, _| height + STEP);
        let mut y = self.y + (height - bars) / 2.0 + (STEP - BAR) / 2.0;
        for row in &scenario.rows {
            self.bar(row, unit, scale, y);
            y += STEP;
        }
        self.y += height + GROUP_GAP;
    }

    fn bar(&mut self, row: &Row, unit: Figure, scale: f64, y: f64) {
        let class = colour(self.servers.iter().position(|server| *server == row.server).unwrap_or(COLOURS));
        let (middle, baseline) = (y + BAR / 2.0, y + BAR - 1.5);
        let Some(value) = unit.of(row) else {
            let word = if row.void.is_some() { "void" } else { "not measured" };
            self.elements.push(format!(
                "<text class=\"quiet small void\" x=\"{}\" y=\"{baseline:.1}\">{}: {word}</text>",
                LEFT + 6.0,
                escape(&row.server)
            ));
            return;
        };
        let [least, median, most] = [value.least, value.median, value.most].map(|value| value * scale);
        self.elements.push(format!(
            "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\" rx=\"1.5\"><title>{}: \
             {}</title></rect>",
            median.max(1.0),
            escape(&row.server),
            spread(value)
        ));
        // A line of no length would only be a speck.
        if most - least >= 1.0 {
            self.elements.push(format!(
                "<path class=\"spread\" d=\"M{:.1} {middle:.1}H{:.1}\"/>",
                LEFT + least,
                LEFT + most
            ));
        }
        let label = if unit == Figure::Resident { whole(value.median) } else { figure(value.median) };
        self.elements.push(format!(
            "<text class=\"{} small\" x=\"{:.1}\" y=\"{baseline:.1}\">{label}</text>",
            weight(&row.server),
            LEFT + most + 7.0
        ));
    }

    fn text(&mut self, x: f64, class: &str, text: &str) {
        let y = self.y;
        self.elements.push(format!("<text class=\"{class}\" x=\"{x}\" y=\"{y:.1}\">{}</text>", escape(text)));
    }

    fn finish(self, title: &str) -> String {
        let height = (self.y + 14.0).ceil();
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
             role=\"img\">\n<title>{}</title>\n<style>{STYLE}</style>\n<rect class=\"paper\" x=\".5\" y=\".5\" width=\"{}\" \
             height=\"{}\" rx=\"8\"/>\n{}\n</svg>\n",
            escape(title),
            WIDTH - 1.0,
            height - 1.0,
            self.elements.join("\n")
        )
    }
}

fn height_of(scenario: &Scenario<'_>) -> f64 {
    scenario.rows.iter().fold(0.0, |height, _| height + STEP).max(GROUP_LEAST)
}

fn colour(index: usize) -> String {
    format!("s{}", index.min(COLOURS - 1))
}

fn weight(server: &str) -> &'static str {
    if server == POLL { "ours" } else { "quiet" }
}

/// Between two gridlines: 1, 2 or 5 of some power of ten.
fn step_of(most: f64) -> f64 {
    let rough = most / GRIDLINES;
    let power = 10_f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    steps.into_iter().find(|step| *step >= rough).unwrap_or(steps[3])
}

/// Text as XML has it; characters that XML has not are left out.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\r' | '\t' => escaped.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_element() {
        assert_eq!(escape("a<b>&\"c\"\n\u{1b}d"), "a&lt;b&gt;&amp;&quot;c&quot; d");
    }

    #[test]
    fn gridlines_stand_at_round_figures() {
        assert_eq!([62.0, 16.7, 10_256.0, 0.7].map(step_of), [10.0, 5.0, 2_000.0, 0.1]);
    }
}
