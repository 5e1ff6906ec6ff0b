//! Every form of one made-up run: what it shows, what it leaves out, and that nothing in it breaks the form.

use super::targets::{Figure, TARGETS, Verdict, ratio};
use super::*;
use crate::figures::{Latency, Round};

/// A row of three rounds whose CPU per operation is 0.9, 1 and 1.1 times so many nanoseconds.
fn row(id: &str, scenario: &str, server: &str, nanos: u64) -> Row {
    let round = |percent: u64| Round {
        operations: 100,
        cpu: nanos * percent,
        user: nanos * percent / 2,
        load: 300_000,
        wall: 2_000_000,
        latency: Some(Latency { median: 1_000_000, p99: 4_000_000 }),
        resident: None,
    };
    Row {
        id: id.to_owned(),
        scenario: scenario.to_owned(),
        operation: "delivery".to_owned(),
        server: server.to_owned(),
        settings: "--store memory:".to_owned(),
        rounds: [110, 90, 100].map(round).to_vec(),
        void: None,
    }
}

fn idle(server: &str, bytes: u64) -> Row {
    let mut row = row("idle", "idle long polls", server, 0);
    row.operation = WAITER.to_owned();
    for round in &mut row.rounds {
        (round.latency, round.resident) = (None, Some(bytes * round.operations));
    }
    row
}

/// Ours against Nchan, once with the floor, once with a peer that only the user knows, and one void row.
fn run() -> Run {
    let fan_out = "long poll, fan-out to 10 000";
    let strange = "short poll, <nothing> | new & \"strange\"";
    Run {
        date: "2001-02-03".to_owned(),
        commit: "abc1234+".to_owned(),
        machine: "A_chip <of> & two | cores".to_owned(),
        rows: vec![
            row("fanout-10000", fan_out, NCHAN, 10_000),
            row("fanout-10000", fan_out, POLL, 8_000),
            row("fanout-10000", fan_out, FLOOR, 4_000),
            row("short-304", strange, POLL, 5_000),
            row("short-304", strange, "m<y", 2_000),
            Row { void: Some("3 lost\nof | 100".to_owned()), ..row("channels", "channels", POLL, 1_000) },
            row("channels", "channels", NCHAN, 2_000),
            idle(POLL, 7_000),
            idle(NCHAN, 14_000),
        ],
    }
}

fn readme_of(run: &Run) -> String {
    readme::replace("# top\n<!-- bench -->\nstale\n<!-- /bench -->\nrest\n", run).unwrap()
}

#[test]
fn ratios_are_of_neighbouring_rounds_and_a_void_row_has_none() {
    let mut run = run();
    assert_eq!(ratio(&run, "fanout-10000", Figure::Cpu, NCHAN), Some(0.8));
    assert_eq!(ratio(&run, "fanout-10000", Figure::Cpu, FLOOR), Some(2.0));
    assert_eq!(ratio(&run, "channels", Figure::Cpu, NCHAN), None);
    assert_eq!(ratio(&run, "short-304", Figure::Cpu, NCHAN), None);
    // The machine was slow while the last two rounds of both were measured.
    let slow = |round: &mut Round| round.cpu *= 2;
    run.rows[1].rounds[1..].iter_mut().for_each(slow);
    slow(&mut run.rows[0].rounds[1]);
    slow(&mut run.rows[0].rounds[2]);
    assert_eq!(ratio(&run, "fanout-10000", Figure::Cpu, NCHAN), Some(0.8));
}

#[test]
fn targets_hold_miss_or_were_not_measured() {
    let verdicts = |run: &Run| TARGETS.iter().map(|target| target.verdict(run)).collect::<Vec<_>>();
    let count = |run: &Run, wanted| verdicts(run).into_iter().filter(|verdict| *verdict == wanted).count();
    // Fan-out against Nchan, and both of idle memory; the floor is missed.
    assert_eq!((count(&run(), Verdict::Holds), count(&run(), Verdict::Misses)), (3, 1));
    let mut grown = run();
    grown.rows.push(row("fanout-1000", "small", POLL, 5_000));
    grown.rows.push(row("fanout-15000", "large", POLL, 5_800));
    grown.rows.push(row("fanout-two-workers", "two", POLL, 9_000));
    assert_eq!((count(&grown, Verdict::Holds), count(&grown, Verdict::Misses)), (4, 2));
    let nobody = Run { rows: Vec::new(), ..run() };
    assert_eq!(count(&nobody, Verdict::NotMeasured), TARGETS.len());
}

#[test]
fn no_scenario_has_two_targets_for_the_same_thing() {
    let lines: Vec<String> =
        TARGETS.iter().map(|target| target.line(&Run { rows: Vec::new(), ..run() })).collect();
    let mut once = lines.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), lines.len());
}

#[test]
fn the_text_lines_up_and_shows_every_row() {
    let text = text::render(&run());
    let lines: Vec<&str> = text.lines().collect();
    let column = |line: &str, word: &str| line.find(word).map(|at| line[..at].chars().count());
    let heading = lines.iter().find(|line| line.starts_with("scenario")).unwrap();
    let servers = column(heading, "server").unwrap();
    let ours = lines.iter().find(|line| line.contains("8.00 (7.20–8.80)")).unwrap();
    assert_eq!(column(ours, "poll  "), Some(servers));
    assert!(ours.starts_with("long poll, fan-out to 10 000"));
    assert!(ours.ends_with("--store memory:"));
    let floor = lines.iter().find(|line| line.contains("4.00 (3.60–4.40)")).unwrap();
    assert_eq!(column(floor, "floor"), Some(servers));
    assert!(text.contains("0.800  ≤ 0.85 holds"), "{text}");
    assert!(text.contains("2.000  ≤ 1.6 misses"), "{text}");
    assert!(text.contains("\nvoid: channels, poll: 3 lost of | 100\n"), "{text}");
    assert!(text.contains("idle long polls, bytes a waiter: 7 000 ≤ 7 200 holds"), "{text}");
    assert!(text.contains("aims: 0 held, 1 missed, 5 not measured"), "{text}");
}

#[test]
fn without_ours_nothing_is_compared() {
    let mut run = run();
    run.rows.retain(|row| row.server != POLL);
    assert!(!text::render(&run).contains("poll/nchan"));
    assert!(!readme_of(&run).contains("poll/nchan"));
    let empty = Run { rows: Vec::new(), ..run };
    assert!(text::render(&empty).starts_with("2001-02-03, commit abc1234+"));
    assert!(svg::draw(&empty).ends_with("</svg>\n"));
}

#[test]
fn the_readme_is_replaced_between_its_marks_only() {
    let once = readme_of(&run());
    assert!(once.starts_with("# top\n<!-- bench -->\n\nMeasured on 2001-02-03, commit `abc1234+`"));
    assert!(once.ends_with("\n<!-- /bench -->\nrest\n"));
    assert!(!once.contains("stale"));
    assert_eq!(readme::replace(&once, &run()).unwrap(), once);
    assert!(once.contains("](xtask/bench.svg)"));
}

#[test]
fn the_readme_shows_figures_ratios_and_what_is_void() {
    let readme = readme_of(&run());
    let line = |start: &str| readme.lines().find(|line| line.starts_with(start)).unwrap();
    assert_eq!(
        line("| long poll, fan-out"),
        "| long poll, fan-out to 10 000 | 8.00 (7.20–8.80) | 10.0 (9.00–11.0) | 4.00 (3.60–4.40) | – | **0.800** ≤ 0.85 holds \
         | **2.000** ≤ 1.6 misses | `--store memory:` |"
    );
    assert_eq!(
        line("| channels"),
        "| channels | void | 2.00 (1.80–2.20) | – | – | – | – | `--store memory:` |"
    );
    assert_eq!(
        line("| idle"),
        "| idle long polls | 7 000 | 14 000 | – | – | **0.500** ≤ 0.7 holds | – | `--store memory:` |"
    );
    // In the tables of CPU and of latency: a void row says nothing of memory.
    assert_eq!(readme.lines().filter(|line| line.starts_with("| channels")).count(), 2);
    assert!(readme.contains("\n- channels, poll: 3 lost of \\| 100\n"));
    assert!(readme.contains("\n| short poll, \\<nothing\\> \\| new & \"strange\" | 5.00 (4.50–5.50) | – |"));
    assert!(readme.contains("on A\\_chip \\<of\\> & two \\| cores. "));
}

#[test]
fn a_readme_without_its_marks_is_an_error() {
    for readme in [
        "",
        "<!-- bench -->\n",
        "<!-- /bench -->\n",
        "<!-- /bench -->\n<!-- bench -->\n",
        "<!-- bench -->\n<!-- bench -->\n<!-- /bench -->\n",
        "in a `<!-- bench -->` line\n<!-- /bench -->\n",
    ] {
        assert!(readme::replace(readme, &run()).is_err(), "{readme:?}");
    }
}

#[test]
fn the_plot_is_well_formed_and_shows_every_row() {
    let svg = svg::draw(&run());
    // Of every element that is opened, one is closed, and no text brings its own.
    let opened = svg.matches('<').count() - svg.matches("</").count();
    assert_eq!(opened, svg.matches("</").count() + svg.matches("/>").count());
    assert!(!svg.contains("<nothing>") && svg.contains("&lt;nothing&gt; | new &amp; &quot;strange&quot;"));
    assert_eq!(svg.matches("<rect class=\"s0\" x=\"284\"").count(), 3);
    assert!(svg.contains(">poll: void</text>"));
    assert!(svg.contains(">m&lt;y</text>"));
    assert!(svg.contains("2001-02-03, commit abc1234+"));
}

#[test]
fn files_are_written_where_they_are_asked_for_and_read_back_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path();
    std::fs::create_dir(top.join("xtask")).unwrap();
    std::fs::write(top.join("README.md"), "no marks\n").unwrap();
    let outputs =
        Outputs { json: Some(top.join("kept.json")), svg: Some(top.join("kept.svg")), ..Outputs::default() };
    write_in(top, &run(), &outputs).unwrap();
    let kept = std::fs::read_to_string(top.join("kept.json")).unwrap();
    let read: Run = serde_json::from_str(&kept).unwrap();
    assert_eq!(svg::draw(&read), std::fs::read_to_string(top.join("kept.svg")).unwrap());
    assert_eq!(text::render(&read), text::render(&run()));

    let readme = Outputs { readme: true, ..Outputs::default() };
    assert!(write_in(top, &run(), &readme).is_err());
    assert!(!top.join(PICTURE).exists() && !top.join(FIGURES).exists());
    std::fs::write(top.join("README.md"), "<!-- bench -->\n<!-- /bench -->\n").unwrap();
    write_in(top, &run(), &readme).unwrap();
    assert!(top.join(PICTURE).exists());
    assert_eq!(std::fs::read_to_string(top.join(FIGURES)).unwrap(), kept);
}
