//! The dashboard and the alert rules in `deploy/` ask for metrics that exist, and the alerts for refusals that are counted.

use std::collections::BTreeSet;

use crate::process::Server;

const DASHBOARD: &str = include_str!("../../../deploy/grafana.json");
const ALERTS: &str = include_str!("../../../deploy/alerts.yml");

/// The metrics that a text names.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("poll_") || word.starts_with("process_")).collect()
}

/// The names of every sample that a server with these arguments has.
fn exposed(arguments: &[&str]) -> BTreeSet<String> {
    let server = Server::start(arguments);
    let text = server.get("/metrics");
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let mut names: BTreeSet<String> =
        samples.filter_map(|line| Some(line.split(['{', ' ']).next()?.to_owned())).collect();
    // A family has no sample before its first event, but is announced.
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    names.extend(families.map(str::to_owned));
    names
}

fn assert_all_exist(exposed: &BTreeSet<String>) {
    for (file, text) in [("grafana.json", DASHBOARD), ("alerts.yml", ALERTS)] {
        let asked = named(text);
        assert!(asked.contains("poll_messages_missed_total"), "{file} asks for something");
        let unknown: Vec<_> = asked.iter().filter(|name| !exposed.contains(**name)).collect();
        assert!(unknown.is_empty(), "{file} asks for what no server has: {unknown:?}");
    }
}

#[test]
#[cfg(feature = "redis")]
fn the_dashboard_and_the_alerts_ask_for_metrics_that_exist() {
    let redis = crate::redis::Redis::start(&[]);
    let mut all = exposed(&["--store", "memory:"]);
    all.extend(exposed(&["--store", &redis.url()]));
    let directory = tempfile::tempdir().unwrap();
    all.extend(exposed(&["--store", &format!("disk:{}", directory.path().display())]));
    assert_all_exist(&all);
}

#[test]
fn the_alerts_name_reasons_that_are_counted() {
    let server = Server::start(&["--store", "memory:"]);
    let text = server.get("/metrics");
    let (_, rest) = ALERTS.split_once("reason=~\"").unwrap();
    let (reasons, _) = rest.split_once('"').unwrap();
    for reason in reasons.split('|') {
        assert!(text.contains(&format!("poll_refused_total{{reason=\"{reason}\"}}")), "{reason}");
    }
}

#[test]
fn the_dashboard_is_json_and_its_panels_do_not_overlap() {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    let places: Vec<_> =
        dashboard["panels"].as_array().unwrap().iter().map(|panel| &panel["gridPos"]).collect();
    let corner = |place: &serde_json::Value| (place["x"].as_u64().unwrap(), place["y"].as_u64().unwrap());
    assert_eq!(places.iter().map(|place| corner(place)).collect::<BTreeSet<_>>().len(), places.len());
    assert!(places.iter().all(|place| corner(place).0 + place["w"].as_u64().unwrap() <= 24));
}

#[test]
fn a_log_on_disk_says_how_it_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&["--store", &format!("disk:{}", directory.path().display())]);
    assert!(server.get("/metrics").contains("\npoll_journal_commits_total 0\n"));
    server.post("/api/message?channel=a&content=text");
    let text = server.get("/metrics");
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    assert_eq!(value("poll_journal_commits_total"), 1.0);
    assert_eq!(value("poll_journal_publishes_total"), 1.0);
    assert!(value("poll_journal_commit_seconds_total") > 0.0);
    assert_eq!(value("poll_journal_queued_bytes"), 0.0);
}
