//! Every form of one made-up run: what it shows, and that nothing in it breaks the form.

use super::groups::{ELECTRIC, NCHAN, POLL};
use super::*;
use crate::results::{Figure, Latency, Round, Row};

/// A row of three rounds whose CPU per operation is 0.9, 1 and 1.1 times so many nanoseconds.
fn row(id: &str, scenario: &str, server: &str, nanos: u64) -> Row {
    let round = |percent: u64| Round {
        operations: 100,
        cpu: nanos * percent,
        wall: 2_000_000,
        latency: Some(Latency { median: 1_000_000, p99: 4_000_000 }),
        publishing: Some(Latency { median: 800_000, p99: 3_000_000 }),
        memory: Some(32 << 20),
        ..Round::default()
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
    row.operation = "waiter".to_owned();
    for round in &mut row.rounds {
        (round.latency, round.resident) = (None, Some(bytes * round.operations));
    }
    row
}

/// Ours against Nchan, once with an unknown server, and one void row.
fn run() -> Run {
    let fan_out = "long poll, fan-out to 10 000";
    let strange = "short poll, <nothing> | new & \"strange\"";
    Run {
        date: "2001-02-03".to_owned(),
        commit: "abc1234+".to_owned(),
        machine: "A_chip <of> & two | cores".to_owned(),
        subject: Subject::Deliveries,
        rows: vec![
            row("fanout-10000", fan_out, NCHAN, 10_000),
            row("fanout-10000", fan_out, POLL, 8_000),
            row("short-304", strange, POLL, 5_000),
            row("short-304", strange, "m<y", 2_000),
            Row { void: Some("3 lost\nof | 100".to_owned()), ..row("channels", "channels", POLL, 1_000) },
            row("channels", "channels", NCHAN, 2_000),
            idle(POLL, 1_700),
            idle(NCHAN, 14_000),
        ],
    }
}

#[test]
fn ratios_are_of_rounds_that_ran_close_together() {
    let mut run = run();
    let of = |run: &Run, id| bounds::ratio(run, NCHAN, id, Figure::Cpu);
    assert_eq!(of(&run, "fanout-10000"), Some(0.8));
    assert_eq!((of(&run, "channels"), of(&run, "short-304")), (None, None));
    // The machine was slow while the last two rounds of both ran.
    for row in &mut run.rows[..2] {
        row.rounds[1..].iter_mut().for_each(|round| round.cpu *= 2);
    }
    assert_eq!(of(&run, "fanout-10000"), Some(0.8));
    let versus = versus::render(&run, POLL, NCHAN);
    assert!(versus.contains("fan-out to 10 000: 14.4 to 18.0 | 0.800"), "{versus}");
}

#[test]
fn bounds_hold_or_are_missed() {
    let last = |run: &Run| bounds::others(run).pop().unwrap();
    assert_eq!(last(&run()), "2 bounds hold, 0 are missed");
    let mut grown = run();
    grown.rows.push(row("fanout-1000", "small", POLL, 5_000));
    grown.rows.push(row("fanout-15000", "large", POLL, 5_800));
    assert_eq!(last(&grown), "2 bounds hold, 1 are missed");
    assert_eq!(bounds::others(&grown)[1], "large, CPU µs, relative to small: 1.160 ≤ 1.15 MISSED");
}

#[test]
fn the_section_shows_figures_ratios_and_what_is_void() {
    let text = tables::section(&run(), RESULTS);
    let line = |start: &str| {
        let line = text.lines().find(|line| line.starts_with(start)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        line("| long poll, fan-out"),
        "| long poll, fan-out to 10 000 | 8.00 (7.20–8.80) | 10.0 (9.00–11.0) | – | **0.800** ≤ 0.85 holds |"
    );
    assert_eq!(line("| channels"), "| channels | void | 2.00 (1.80–2.20) | – | – |");
    assert_eq!(line("| idle"), "| idle long polls | 1 700 | 14 000 | – | 0.121 |");
    assert!(text.contains("\nVoid: channels, poll: 3 lost of \\| 100\n"));
    assert!(text.contains("\n| short poll, <nothing> \\| new & \"strange\" "));
    assert!(text.contains("on A_chip <of> & two \\| cores. "));
    assert!(text.contains("\n- idle long polls, bytes per waiter: 1 700 ≤ 2 000 holds\n"));
}

#[test]
fn publishing_to_disk_has_tables_of_its_own() {
    let appends = "16 connections to 1 channel";
    let mut faster = row("append-16-1", appends, POLL, 8_000);
    faster.rounds.iter_mut().for_each(|round| round.wall /= 2);
    let rows =
        vec![faster, row("append-16-1", appends, ELECTRIC, 8_000), row("arrival-sse", "events", POLL, 1_000)];
    let text = tables::section(&Run { subject: Subject::Durable, rows, ..run() }, DURABLE_RESULTS);
    let lines: Vec<String> =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in [
        "| scenario | poll | electric | poll/electric |",
        "| 16 connections to 1 channel | 100 000 | 50 000 | **2.000** ≥ 1.2 holds |",
        "| 16 connections to 1 channel | 8.00 (7.20–8.80) | 8.00 (7.20–8.80) | **1.000** ≤ 0.9 MISSED |",
        "| events | 0.80 | – | – |",
        "| events | 32.0 | – | – |",
        "- events, arrival/publish: 1.25 ≤ 1.2 MISSED",
        "- 16 connections to 1 channel, MiB: 32.0 ≤ 64 holds",
        "- 2 bounds hold, 2 are missed",
    ] {
        assert!(lines.iter().any(|found| found == line), "{line}\n{text}");
    }
}

#[test]
fn the_summary_compares_what_both_did() {
    let summary = tables::summary(&run(), PLOT);
    assert_eq!(summary.lines().filter(|line| line.starts_with('|')).count(), 4);
    assert!(summary.contains("| long poll, fan-out to 10 000 | 8.00 µs | 10.0 µs  | 0.80  |"), "{summary}");
    assert!(summary.ends_with("](docs/bench.svg)\n"));
}

#[test]
fn the_plot_shows_every_scenario_and_text_stays_text() {
    let empty = Run { rows: Vec::new(), ..run() };
    assert!(plot::draw(&empty).unwrap().contains("</svg>"));
    let svg = plot::draw(&run()).unwrap();
    assert!(!svg.contains("<nothing>") && svg.contains("&lt;nothing&gt;"));
    for text in ["long poll, fan-out to 10 000", "8.00", "abc1234+", "m&lt;y"] {
        assert!(svg.contains(text), "{text}");
    }
}

#[test]
fn files_are_written_where_they_are_asked_for_and_read_back_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path();
    std::fs::create_dir_all(top.join("xtask/bench")).unwrap();
    std::fs::create_dir(top.join("docs")).unwrap();
    let json = top.join("kept.json");
    let kept = Outputs { json: Some(json.clone()), ..Outputs::default() };
    write_below(top, &run(), &kept).unwrap();
    let read: Run = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!(tables::section(&read, RESULTS), tables::section(&run(), RESULTS));

    let docs = Outputs { docs: true, ..Outputs::default() };
    std::fs::write(top.join(BENCHMARKS), "<!-- bench -->\n<!-- /bench -->\n").unwrap();
    std::fs::write(top.join(README), "no marks\n").unwrap();
    assert!(write_below(top, &run(), &docs).is_err());
    assert!(!top.join(PLOT).exists() && !top.join(RESULTS).exists());
    std::fs::write(top.join(README), "<!-- bench:summary -->\n<!-- /bench:summary -->\n").unwrap();
    write_below(top, &run(), &docs).unwrap();
    assert!(top.join(PLOT).exists() && top.join(RESULTS).exists());

    let durable = Run { subject: Subject::Durable, ..run() };
    std::fs::write(top.join(BENCHMARKS), "<!-- bench:durable -->\n<!-- /bench:durable -->\n").unwrap();
    write_below(top, &durable, &docs).unwrap();
    assert!(top.join(DURABLE_RESULTS).exists());
}
