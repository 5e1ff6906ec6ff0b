//! A run as a plot: for each scenario a bar per server, server CPU per operation. Bars are medians, and the thin line
//! is the range of the rounds.

use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::groups::{Group, groups, servers};
use crate::numbers::figure;
use crate::results::{Figure, Run};

const WIDTH: u32 = 900;
/// Where the bars begin.
const LEFT: i32 = 330;
/// Room to the right of the longest bar, for its value.
const RIGHT: f64 = 1.08;
const BAR: f64 = 1.0;
/// Between two scenarios, in bars.
const GAP: f64 = 0.8;
const PIXELS_PER_BAR: f64 = 12.0;
const ABOVE: u32 = 70;
const BELOW: u32 = 30;
const COLOURS: [RGBColor; 4] =
    [RGBColor(31, 111, 235), RGBColor(227, 154, 59), RGBColor(150, 160, 170), RGBColor(143, 108, 217)];
/// On a dark screen, the same picture on dark paper.
const DARK: &str =
    "<style>@media(prefers-color-scheme:dark){svg{filter:invert(0.92) hue-rotate(180deg)}}</style>";

/// The whole picture as SVG.
pub(super) fn draw(run: &Run) -> Result<String> {
    let (servers, groups) = (servers(run), groups(run));
    let shown = |group: &&Group<'_>| servers.iter().any(|server| cpu(group, server).is_some()) && !group.idle;
    let groups: Vec<&Group<'_>> = groups.iter().filter(shown).collect();
    let bars = groups.iter().fold(GAP, |sum, group| sum + height(group, &servers) + GAP);
    let mut svg = String::new();
    {
        let rounded = (bars * PIXELS_PER_BAR).ceil();
        let pixels = format!("{rounded:.0}").parse::<u32>()?;
        let area = SVGBackend::with_string(&mut svg, (WIDTH, ABOVE + pixels + BELOW)).into_drawing_area();
        area.fill(&WHITE)?;
        titles(&area, run, &servers)?;
        let most = groups.iter().flat_map(|group| servers.iter().filter_map(|server| cpu(group, server)));
        let most = most.map(|spread| spread.most).fold(1.0, f64::max) * RIGHT;
        let mut chart = ChartBuilder::on(&area)
            .margin_top(ABOVE)
            .margin_right(20)
            .margin_left(LEFT)
            .x_label_area_size(BELOW)
            .build_cartesian_2d(0.0..most, bars..0.0)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .x_labels(8)
            .light_line_style(TRANSPARENT)
            .draw()?;
        let mut top = GAP;
        for group in groups {
            let name = ("sans-serif", 15)
                .into_font()
                .into_text_style(&area)
                .pos(Pos::new(HPos::Right, VPos::Center));
            let middle = top + height(group, &servers) / 2.0;
            let at = EmptyElement::at((0.0, middle)) + Text::new(group.words.to_owned(), (-8, 0), name);
            chart.draw_series([at])?;
            for (index, server) in servers.iter().enumerate() {
                let Some(spread) = cpu(group, server) else { continue };
                let middle = top + BAR / 2.0;
                let colour = colour(index);
                let corners = [(0.0, top + 0.1), (spread.median, top + BAR - 0.1)];
                chart.draw_series([Rectangle::new(corners, colour.filled())])?;
                let range = [(spread.least, middle), (spread.most, middle)];
                chart.draw_series([PathElement::new(range, BLACK)])?;
                let value = Text::new(figure(spread.median), (4, 0), small(&area));
                chart.draw_series([EmptyElement::at((spread.most, middle)) + value])?;
                top += BAR;
            }
            top += GAP;
        }
        area.present()?;
    }
    Ok(svg.replacen('>', &format!(">{DARK}"), 1))
}

fn titles(area: &DrawingArea<SVGBackend<'_>, Shift>, run: &Run, servers: &[&str]) -> Result<()> {
    let title = ("sans-serif", 20).into_font().style(FontStyle::Bold).into_text_style(area);
    area.draw_text("Server CPU per operation, in µs; less is better", &title, (20, 12))?;
    let what = format!("{}, commit {}, {}", run.date, run.commit, run.machine);
    area.draw_text(&what, &("sans-serif", 14).into_font().into_text_style(area), (20, 36))?;
    let mut x = 20;
    for (index, server) in servers.iter().enumerate() {
        area.draw(&Rectangle::new([(x, 54), (x + 10, 64)], colour(index).filled()))?;
        area.draw_text(server, &small(area).pos(Pos::new(HPos::Left, VPos::Center)), (x + 16, 59))?;
        x += 90;
    }
    Ok(())
}

fn small<'a>(area: &DrawingArea<SVGBackend<'_>, Shift>) -> TextStyle<'a> {
    ("sans-serif", 13).into_font().into_text_style(area).pos(Pos::new(HPos::Left, VPos::Center))
}

fn colour(index: usize) -> RGBColor {
    COLOURS[index.min(COLOURS.len() - 1)]
}

fn cpu(group: &Group<'_>, server: &str) -> Option<crate::results::Spread> {
    Figure::Cpu.of(group.row(server)?)
}

/// In bars.
fn height(group: &Group<'_>, servers: &[&str]) -> f64 {
    servers.iter().filter(|server| cpu(group, server).is_some()).map(|_| BAR).sum()
}
