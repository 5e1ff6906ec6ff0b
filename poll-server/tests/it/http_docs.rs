//! `docs/http.md`, and the examples of `docs/durable-streams.md`, against a running server: a page that promises what the server does not do fails here.
//!
//! Every example is sent and its response compared, every path and row of the tables asked for; what the tables name
//! must have been seen in the examples, and what the examples have shown must be named. Waits for responses only.

mod compare;
mod described;
mod exchange;
mod page;
mod push;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};

use rustix::process::Signal;

use self::exchange::{Answer, exchange};
use self::page::{Example, Part, code, examples, names, rows};
use crate::process::{Server, ask, command, curl, output};

const PAGE: &str = include_str!("../../../docs/http.md");
const STREAMS_PAGE: &str = include_str!("../../../docs/durable-streams.md");

/// Statuses that no request causes by itself: something must be wrong with the store, or the server stop.
const NEED_A_FAULT: [&str; 3] = ["500", "503", "507"];

/// Everything that the examples have shown.
#[derive(Default)]
struct Shown {
    statuses: BTreeSet<String>,
    /// In small letters, of requests and of responses.
    asked_with: BTreeSet<String>,
    answered_with: BTreeSet<String>,
    parameters: BTreeSet<String>,
    line_types: BTreeSet<String>,
    fields: BTreeSet<String>,
}

/// One server for each set of flags.
#[derive(Default)]
struct Servers(BTreeMap<Vec<String>, Server>);

impl Servers {
    fn with(&mut self, flags: &[String]) -> &Server {
        let start = || Server::start(&flags.iter().map(String::as_str).collect::<Vec<_>>());
        self.0.entry(flags.to_vec()).or_insert_with(start)
    }
}

#[test]
fn every_example_is_answered_as_the_page_says_and_every_table_names_what_was_seen() {
    let (mut servers, mut shown) = (Servers::default(), Shown::default());
    try_all("docs/http.md", PAGE, |flags, request, lines| {
        let answer = exchange(servers.with(flags), request, lines);
        shown.note(request, &answer);
        answer
    });
    for row in rows(PAGE, &["request", "status", "because"]) {
        let request =
            Part { start: format!("{} HTTP/1.1", code(&row.cells[0]).next().unwrap()), ..Part::default() };
        let answer = exchange(servers.with(&[]), &request, 0);
        assert!(answer.status.contains(&row.cells[1]), "docs/http.md:{}: {answer:#?}", row.line);
        shown.note(&request, &answer);
    }
    shown.check();
}

#[test]
fn every_example_of_the_page_on_streams_is_answered_as_it_says() {
    let server = Server::start(&["--max-poll-seconds", "0.2"]);
    try_all("docs/durable-streams.md", STREAMS_PAGE, |_, request, lines| exchange(&server, request, lines));
}

/// Sends the examples of a page, and compares the responses.
fn try_all(name: &str, page: &str, mut exchange: impl FnMut(&[String], &Part, usize) -> Answer) {
    let mut last = BTreeMap::from([("20000 bytes", "x".repeat(20_000))]);
    for example in examples(page) {
        let Example { line, flags, request, response } = &example;
        let request = filled(request, &last);
        let lines = response.body.as_deref().map_or(0, |body| body.lines().count());
        let answer = exchange(flags, &request, lines);
        if let Err(difference) = compare::compare(response, &answer) {
            panic!("{name}:{line}: {difference}\n{request:#?}\n{answer:#?}");
        }
        remember(&mut last, &answer);
    }
}

/// The request with what the response before it said in place of `{cursor}` and its like.
fn filled(request: &Part, last: &BTreeMap<&str, String>) -> Part {
    let fill = |text: &String| {
        last.iter().fold(text.clone(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    };
    let headers = request.headers.iter().map(|(name, value)| (name.clone(), fill(value)));
    Part { start: fill(&request.start), headers: headers.collect(), body: request.body.as_ref().map(fill) }
}

fn remember(last: &mut BTreeMap<&str, String>, answer: &Answer) {
    if let Some(etag) = answer.header("etag") {
        last.insert("etag", etag.to_owned());
    }
    let cursor = answer.body.rsplit_once("\"cursor\":\"").and_then(|(_, rest)| rest.split('"').next());
    last.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
}

impl Shown {
    fn note(&mut self, request: &Part, answer: &Answer) {
        self.statuses.insert(answer.status.split(' ').nth(1).unwrap().to_owned());
        self.asked_with.extend(request.headers.iter().map(|(name, _)| name.to_lowercase()));
        self.answered_with.extend(answer.headers.iter().map(|(name, _)| name.clone()));
        let target = request.start.split(' ').nth(1).unwrap();
        let query = target.split_once('?').map_or("", |(_, query)| query);
        self.parameters.extend(query.split('&').map(|pair| pair.split('=').next().unwrap().to_owned()));
        for line in answer.body.lines() {
            let json = line.strip_prefix("data: ").unwrap_or(line);
            let Ok(serde_json::Value::Object(object)) = serde_json::from_str(json) else { continue };
            if answer.is_stream() {
                self.line_types.extend(object.get("type").and_then(|kind| kind.as_str()).map(str::to_owned));
            }
            self.fields.extend(object.keys().cloned());
        }
    }

    fn check(&self) {
        let expect = |what: &str, heading: &[&str], seen: &BTreeSet<String>, but: &[&str]| {
            let rows = rows(PAGE, heading);
            for name in names(&rows).filter(|name| !but.contains(name)) {
                let found = seen.contains(name) || seen.contains(&name.to_lowercase());
                assert!(found, "docs/http.md: no example shows the {what} `{name}`");
            }
        };
        expect("parameter", &["parameter"], &self.parameters, &[]);
        expect("parameter", &["parameter of `/events`"], &self.parameters, &[]);
        expect("parameter", &["parameter of `/api/poll/{channel}`"], &self.parameters, &[]);
        expect("parameter", &["parameter of `/admin/channels`"], &self.parameters, &[]);
        expect("field", &["field of a poll's response"], &self.fields, &[]);
        // Only HTTP/2 has pushes, and a store has to go away before a stream says so (`shared_store.rs`).
        expect("line", &["line type"], &self.line_types, &["push", "stalled", "resumed"]);
        let headers = rows(PAGE, &["header", "meaning"]);
        // Of proxies and of the operating system's doing.
        let elsewhere = ["X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP", "Connection"];
        for name in names(&headers).filter(|name| name.starts_with(char::is_uppercase)) {
            let name_seen = name.to_lowercase();
            let seen = self.asked_with.contains(&name_seen) || self.answered_with.contains(&name_seen);
            assert!(seen || elsewhere.contains(&name), "docs/http.md: no example shows the header `{name}`");
        }
        let named: BTreeSet<String> = names(&headers).map(str::to_lowercase).collect();
        let unnamed: Vec<_> = self.answered_with.difference(&named).collect();
        assert!(unnamed.is_empty(), "docs/http.md does not name the headers {unnamed:?}");
        let statuses: BTreeSet<String> =
            rows(PAGE, &["status", "meaning"]).into_iter().map(|row| row.cells[0].clone()).collect();
        let unseen: Vec<_> = statuses.difference(&self.statuses).map(String::as_str).collect();
        assert_eq!(unseen, NEED_A_FAULT, "docs/http.md: statuses without an example");
        let unnamed = self.statuses.difference(&statuses).find(|status| status.as_str() >= "400");
        assert_eq!(unnamed, None, "docs/http.md does not name the status");
    }
}

#[test]
fn every_path_has_the_methods_that_the_page_lists_and_no_others() {
    let server = Server::start(&["--presence"]);
    server.post("/api/message?channel=c&content=x");
    let ask = |method: &str, path: &str| {
        exchange(&server, &Part { start: format!("{method} {path} HTTP/1.1"), ..Part::default() }, 0)
    };
    check_methods(&["path", "methods"], &server, ask);
    for file in ["/style.css", "/app.js", "/poll.js"] {
        assert!(ask("HEAD", file).status.contains(" 200 "), "{file}");
    }
}

#[test]
fn every_path_of_administration_has_the_methods_that_the_page_lists() {
    let server = Server::start(&["--admin-token", "operator", "--presence"]);
    let bearer = ("Authorization".to_owned(), "Bearer operator".to_owned());
    // The first connection, which has to be there until it is cut.
    let mut first = server.connect();
    ask(&mut first, "/healthz");
    let listed = server.get("/admin/connections?access_token=operator&limit=1");
    let cut = format!("/connections/{}", first_id(&listed));
    check_methods(&["path of administration", "methods"], &server, |method, path| {
        let path = path.replace("/connections/i", &cut);
        let body = if method == "PUT" { Some("{}".to_owned()) } else { None };
        let part = Part { start: format!("{method} {path} HTTP/1.1"), headers: vec![bearer.clone()], body };
        exchange(&server, &part, 0)
    });
}

/// The number of the first connection of a list.
fn first_id(listed: &str) -> &str {
    let (_, rest) = listed.split_once("\"id\":").unwrap();
    rest.split_once(',').unwrap().0
}

/// Asks for each path of a table, by each of its methods.
fn check_methods(heading: &[&str], server: &Server, ask: impl Fn(&str, &str) -> Answer) {
    for row in rows(PAGE, heading) {
        let path = code(&row.cells[0]).next().unwrap();
        // What a method before this one deleted.
        server.post("/api/message?channel=c&content=x");
        let path = path.replace("{channel}", "c").replace("{cursor}", "1").replace("{job}", "j");
        let path = path.replace("{name}", "c").replace("{id}", "i");
        let methods: Vec<&str> = code(&row.cells[1]).collect();
        let mut allow = methods.join(", ").replace("GET", "GET, HEAD");
        allow += ", OPTIONS";
        assert_eq!(ask("OPTIONS", &path).header("allow"), Some(allow.as_str()), "{path}");
        for method in &methods {
            if path.contains("/subscriptions/") {
                // The row before may have deleted it.
                let body = r#"{"type":"pull-wake","pattern":"a","wake_stream":"w"}"#;
                let url = server.url("/v1/stream/__ds/subscriptions/i");
                output(curl(&["-X", "PUT", "-d", body, &url]));
            }
            // HEAD answers like GET and waits for nothing.
            let status = ask(if *method == "GET" { "HEAD" } else { method }, &path).status;
            assert!(!status.contains(" 404 ") && !status.contains(" 405 "), "{method} {path}: {status}");
        }
        let other = ask("PATCH", &path).status;
        assert!(other.contains(" 405 ") != (path == "/events"), "PATCH {path}: {other}");
    }
}

#[test]
fn a_connection_is_shown_as_the_page_says_until_it_is_cut() {
    // One worker, so that connections are numbered in their order.
    let server = Server::start(&["--admin-token", "operator", "--workers", "1"]);
    let mut waiting = server.connect();
    let request = "GET /api/longpoll?channel=orders HTTP/1.1\r\nHost: localhost\r\nX-Client-ID: ann\r\n\r\n";
    waiting.write_all(request.as_bytes()).unwrap();
    let token = "access_token=operator";
    let listed = server.get_until(&format!("/admin/connections?{token}&limit=1"), "\"waiting\":1");
    let (_, listed) = listed.split_once("\r\n\r\n").unwrap();
    let (shown, id) = (page::json_below(PAGE, "### Connections"), first_id(listed));
    // The one that asked is the second.
    let first = listed.replace(&format!("\"next\":{id}"), "\"next\":null").replace(id, first_id(shown));
    compare::json(shown, &first).unwrap();
    let bytes = format!("\"bytes_received\":{},\"bytes_sent\":0,", request.len());
    assert!(listed.contains(&bytes), "{listed}");
    let cut = Part { start: format!("DELETE /admin/connections/{id}?{token} HTTP/1.1"), ..Part::default() };
    assert!(exchange(&server, &cut, 0).status.contains(" 204 "));
    assert_eq!(waiting.read_to_end(&mut Vec::new()).unwrap(), 0);
    server.wait_for(1, &format!("an operator cut connection {id} of 127.0.0.1:"));
    assert!(exchange(&server, &cut, 0).status.contains(" 404 "));
    server.get_until(&format!("/metrics?{token}"), "poll_refused_total{reason=\"operator\"} 1");
}

#[test]
fn a_push_is_announced_as_the_page_says() {
    let server = Server::start(&[]);
    server.post("/api/message?channel=c&content=x");
    let (line, promised) = push::first(&server, "c");
    compare::json(page::json_below(PAGE, "### Push"), &line).unwrap();
    let cursor = line.split('"').rev().nth(1).unwrap();
    assert_eq!(promised, format!("/api/messages/c/{cursor}"));
}

#[test]
fn a_stream_of_a_server_that_stops_ends_as_the_page_says() {
    let server = Server::start(&[]);
    let stream = curl(&["--no-buffer", &server.url("/api/stream")]);
    server.get_until("/metrics", "poll_waiters{pattern=\"stream\"} 1");
    server.signal(Signal::TERM);
    let last: serde_json::Value = serde_json::from_str(output(stream).lines().last().unwrap()).unwrap();
    assert_eq!(last["type"], "closed");
    let lines = rows(PAGE, &["line type"]);
    let closed = lines.iter().find(|row| row.cells[0] == "`closed`").unwrap();
    assert!(code(&closed.cells[1]).any(|reason| last["reason"] == reason), "{last}");
}

#[test]
fn every_limit_has_the_flag_and_the_default_of_the_help() {
    let help = command().arg("--help").output().unwrap().stdout;
    let help = String::from_utf8(help).unwrap();
    for row in rows(PAGE, &["limit", "flag", "default"]) {
        let flag = code(&row.cells[1]).next().unwrap();
        let (_, about) = help.split_once(&format!("{flag} <")).unwrap_or_else(|| panic!("no {flag}"));
        let default = format!("[default: {}]", row.cells[2]);
        assert!(
            about.split("[env:").next().unwrap().contains(&default),
            "docs/http.md:{}: {default}",
            row.line
        );
    }
}

#[test]
fn every_metric_is_served() {
    let directory = tempfile::tempdir().unwrap();
    let store = format!("disk:{}", directory.path().display());
    let served = Server::start(&["--store", &store]).get("/metrics");
    for name in names(&rows(PAGE, &["metric", "meaning"])) {
        assert!(served.contains(&format!("# TYPE {name} ")), "no metric `{name}`");
    }
    let families = served.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let documented = rows(PAGE, &["metric", "meaning"]);
    let documented: Vec<&str> = names(&documented).collect();
    for family in families {
        assert!(documented.contains(&family), "docs/http.md does not name the metric `{family}`");
    }
}
