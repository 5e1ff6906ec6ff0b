//! Every example program is started as its readers start it, and does its one thing: here over plain sockets, and in
//! `examples/pages.test.mjs` in a browser.
//!
//! `cargo test` builds the examples beside the tests. Each takes a port of its own, and is ended by its id. Times here only bound how long a broken program may hang.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

const HANGS: Duration = Duration::from_secs(60);

/// A running example; ended when dropped.
struct Example {
    process: Child,
    output: BufReader<ChildStdout>,
    address: String,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Example {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let built = folder().join(name);
        let mut command = Command::new(&built);
        command.arg("0").args(arguments).stdout(Stdio::piped());
        let started = command.spawn();
        let mut process = started.unwrap_or_else(|error| {
            panic!("{}: {error}; `cargo build -p poll-http --examples` builds it", built.display())
        });
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let address = line.strip_prefix("open http://").and_then(|address| address.strip_suffix("/\n"));
        let address = address.unwrap_or_else(|| panic!("{line:?}")).to_owned();
        Self { address, process, output }
    }

    /// Sends a request and leaves its answer in the socket.
    fn send(&self, method: &str, target: &str, fields: &str, body: &str) -> BufReader<TcpStream> {
        let mut socket = TcpStream::connect(&self.address).unwrap();
        socket.set_read_timeout(Some(HANGS)).unwrap();
        let (host, length) = (&self.address, body.len());
        let head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{fields}");
        write!(socket, "{head}Content-Length: {length}\r\n\r\n{body}").unwrap();
        BufReader::new(socket)
    }

    fn ask(&self, method: &str, target: &str, fields: &str, body: &str) -> Answer {
        let mut bytes = Vec::new();
        self.send(method, target, fields, body).read_to_end(&mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let body = if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            unchunked(body)
        } else {
            body.to_owned()
        };
        Answer { status: head[9..12].parse().unwrap(), head: head.to_owned(), body }
    }

    fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, "", "")
    }

    fn post(&self, target: &str, body: &str) -> Answer {
        self.ask("POST", target, "", body)
    }
}

/// Where the examples are.
fn folder() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.parent().unwrap().parent().unwrap().join("examples")
}

impl Drop for Example {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{}\n{}", self.head, self.body))
    }

    fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.into_iter().find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
    }
}

fn unchunked(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        text += &rest[..size];
        body = &rest[size + 2..];
    }
    text
}

/// Reads a stream until a line holds `what`; gives that line.
fn line_with(stream: &mut BufReader<TcpStream>, what: &str) -> String {
    let mut line = String::new();
    while !line.contains(what) {
        line.clear();
        assert_ne!(stream.read_line(&mut line).unwrap(), 0, "the stream ended before {what:?}");
    }
    line
}

#[test]
fn basic_shows_events_as_a_task_makes_them() {
    let basic = Example::start("basic", &[]);
    assert!(basic.get("/").body.contains("On the farm"));
    let first = basic.get("/events?timeout=60&category=farm&since_time=1").json();
    let event = &first["events"][0];
    assert!(event["data"].as_str().unwrap().contains("went"), "{first}");
    let (time, id) = (&event["timestamp"], event["id"].as_str().unwrap());
    let next = format!("/events?timeout=60&category=farm&since_time={time}&last_id={id}");
    assert_ne!(basic.get(&next).json()["events"][0]["id"], event["id"]);
}

#[test]
fn advanced_keeps_private_events_private() {
    let advanced = Example::start("advanced", &[]);
    let token = |user: &str| {
        let page = advanced.get(&format!("/as/{user}")).body;
        let token = page.split_once("Bearer ").unwrap().1.split('\'').next().unwrap().to_owned();
        format!("Authorization: Bearer {token}\r\n")
    };
    let (alice, bob) = (token("alice"), token("bob"));
    for (is_public, action) in [(true, "waves"), (false, "sings")] {
        let act = json!({ "action": action, "public": is_public }).to_string();
        assert_eq!(advanced.ask("POST", "/act", &alice, &act).status, 204);
    }
    let events = |who: &str, category: &str, from: &str| {
        let target = format!("/news/events?timeout=60&category={category}&{from}");
        advanced.ask("GET", &target, who, "")
    };
    // As the page does it: an answer holds whole milliseconds, so one may be to come.
    let actions = |who: &str, category: &str, count: usize| {
        let (mut from, mut actions) = ("since_time=1".to_owned(), Vec::new());
        while actions.len() < count {
            for event in events(who, category, &from).json()["events"].as_array().unwrap() {
                actions.push(event["data"]["action"].as_str().unwrap().to_owned());
                from = format!("since_time={}&last_id={}", event["timestamp"], event["id"].as_str().unwrap());
            }
        }
        actions
    };
    assert_eq!(actions(&alice, "private%2Falice", 2), ["waves", "sings"]);
    assert_eq!(actions(&bob, "public", 1), ["waves"]);
    let refused = events(&bob, "private%2Falice", "");
    assert_eq!((refused.status, refused.body.as_str()), (403, r#"{"error": "not yours"}"#));
    let refused = events("", "public", "");
    assert_eq!((refused.status, refused.field("www-authenticate")), (401, Some("Bearer")));
    assert!(advanced.get("/").body.contains("/as/alice"));
    // Other paths to the same log are no way round, nor is publishing past the handler.
    let around = "/news/api/poll?channel=private%2Falice";
    assert_eq!(advanced.ask("GET", around, &bob, "").status, 403);
    let forged = r#"{"category":"public","data":"forged"}"#;
    assert_eq!(advanced.ask("POST", "/news/publish", &alice, forged).status, 403);
    assert_eq!(advanced.ask("POST", "/act", "", "{}").status, 401);
}

#[test]
fn chat_gives_a_waiting_reader_what_is_said() {
    let chat = Example::start("chat", &[]);
    assert!(chat.get("/").body.contains("<h1>Chat</h1>"));
    assert!(chat.get("/poll.js").body.contains("PollClient"));
    let mut waiting = chat.send("GET", "/messages", "", "");
    let said = chat.post("/messages", r#"{"body":"<b>hello</b>"}"#).json();
    assert_eq!(said["body"], "<b>hello</b>");
    let heard = line_with(&mut waiting, "hello");
    assert_eq!(serde_json::from_str::<Value>(&heard).unwrap(), json!([said]));
}

#[test]
fn progress_draws_a_bar_and_lets_others_watch() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let lines = std::fs::read_to_string(file).unwrap().matches('\n').count();
    let mut progress = Example::start("progress", &[file]);
    assert!(progress.get("/").body.contains("Counting lines"));
    let steps = progress.get("/api/progress/count-1").body;
    let last: Value = serde_json::from_str(steps.lines().last().unwrap()).unwrap();
    assert_eq!((&last["status"], &last["percentage"]), (&json!("done"), &json!(100)));
    assert_eq!(last["message"], format!("{lines} lines"));
    assert_eq!(steps.lines().count(), 21);
    let mut bar = String::new();
    progress.output.read_line(&mut bar).unwrap();
    assert!(bar.contains("[#-------------------]   5 %"), "{bar}");
    assert!(bar.contains(&format!("[####################] 100 % {lines} lines")), "{bar}");
    // Another run, asked for as the page does.
    assert_eq!(progress.post("/api/message?channel=runs&content=again", "").status, 201);
    let again = progress.get("/api/progress/count-2").body;
    assert!(again.lines().last().unwrap().contains(r#""status":"done""#));
    assert_eq!(progress.post("/api/progress/count-3", r#"{"step":1,"total":1}"#).status, 403);
}

#[test]
fn scoreboard_counts_goals_for_everyone() {
    let scoreboard = Example::start("scoreboard", &[]);
    assert!(scoreboard.get("/").body.contains("Scoreboard"));
    let mut stream = scoreboard.send("GET", "/api/stream?channel=scores&last_id=0", "", "");
    line_with(&mut stream, r#""Red":0"#);
    for (team, line) in [("Red", r#""Red":1"#), ("Gold", r#""Gold":1"#), ("Red", r#""Red":2"#)] {
        assert_eq!(scoreboard.post(&format!("/api/message?channel=goals&content={team}"), "").status, 201);
        line_with(&mut stream, line);
    }
    assert_eq!(scoreboard.post("/api/message?channel=scores&content=mine", "").status, 403);
}

#[test]
fn dashboard_measures_and_says_when_nothing_changed() {
    let dashboard = Example::start("dashboard", &[]);
    assert!(dashboard.get("/").body.contains("Dashboard"));
    let first = dashboard.get("/api/longpoll?channel=metrics&timeout=60").json();
    let content = &first["messages"][0]["content"];
    assert_eq!((&content["uptime_seconds"], &content["channels"]), (&json!(0), &json!(0)), "{first}");
    // A measurement may come in between; it does not every time.
    let unchanged = (0..1_000).any(|_| {
        let tag = dashboard.get("/api/poll?channel=metrics").field("etag").unwrap().to_owned();
        let fields = format!("If-None-Match: {tag}\r\n");
        dashboard.ask("GET", "/api/poll?channel=metrics", &fields, "").status == 304
    });
    assert!(unchanged);
    assert_eq!(dashboard.post("/api/message?channel=metrics&content=x", "").status, 403);
}

#[test]
fn notifications_wait_for_their_user_only() {
    let notifications = Example::start("notifications", &[]);
    let login = notifications.get("/login/ann");
    let cookie = login.field("set-cookie").unwrap().split(';').next().unwrap();
    let ann = format!("Cookie: {cookie}\r\n");
    assert!(notifications.get("/").body.contains("Notifications"));
    assert_eq!(notifications.post("/notify/ann", "tea").status, 202);
    let poll = "/poll/api/poll?channel=user%2Fann";
    let list = notifications.ask("GET", poll, &ann, "").json();
    assert_eq!((&list["count"], &list["messages"][0]["content"]), (&json!(1), &json!("tea")));
    for stranger in ["", "Cookie: user=bob\r\n"] {
        let refused = notifications.ask("GET", poll, stranger, "");
        assert_eq!((refused.status, &refused.json()["detail"]), (403, &json!("not for you")));
    }
}

#[test]
fn form_validation_tells_what_is_free_and_what_was_just_taken() {
    let form = Example::start("form_validation", &[]);
    assert!(form.get("/").body.contains("Sign up"));
    let is_free = |name: &str| form.get(&format!("/check/{name}")).json()["free"] == true;
    assert!(is_free("zoe") && !is_free("admin") && !is_free("zo") && !is_free("Zoe"));
    let mut other = form.send("GET", "/poll/api/stream?channel=taken", "Accept: text/event-stream\r\n", "");
    line_with(&mut other, "connected");
    assert_eq!(form.post("/take/zoe", "").status, 201);
    assert!(line_with(&mut other, r#""type":"update""#).contains("zoe"));
    assert_eq!(form.post("/take/zoe", "").status, 409);
    assert!(!is_free("zoe"));
    assert_eq!(form.get("/poll/api/poll?channel=other").status, 403);
    assert_eq!(form.post("/poll/api/message?channel=taken&content=admin", "").status, 403);
}

#[test]
fn report_job_reports_its_progress_and_then_the_report() {
    let jobs = Example::start("report_job", &[]);
    assert!(jobs.get("/").body.contains("Word report"));
    let accepted = jobs.post("/reports", &"the cat and the dog, the end. ".repeat(100));
    assert_eq!(accepted.status, 202);
    let report = accepted.field("location").unwrap();
    let id = report.strip_prefix("/reports/").unwrap();
    let steps = jobs.get(&format!("/jobs/api/progress/{id}")).body;
    let steps: Vec<Value> = steps.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(steps.len(), 10);
    assert_eq!((&steps[9]["status"], &steps[9]["percentage"]), (&json!("done"), &json!(100)));
    assert!(jobs.get(report).body.starts_with("    300 the\n    100 and\n"));
    assert_eq!(jobs.get("/reports/none").status, 404);
    assert_eq!(jobs.post(&format!("/jobs/api/progress/{id}"), r#"{"step":1,"total":1}"#).status, 403);
}

/// Reads an answer by a stream, from a cursor on, until it ends or `enough` pieces have come. Gives the cursor to go on
/// from, or none at the end.
fn read_answer(llm: &Example, cursor: &str, text: &mut String, enough: usize) -> Option<String> {
    let mut stream = llm.send("GET", &format!("/api/stream?channel=answer%2F1&cursor={cursor}"), "", "");
    let (mut line, mut pieces) = (String::new(), 0);
    while pieces < enough {
        line.clear();
        assert_ne!(stream.read_line(&mut line).unwrap(), 0, "the stream ended without a word");
        // The sizes of the chunks are lines, too.
        let Some(told) = serde_json::from_str::<Value>(&line).ok().filter(Value::is_object) else { continue };
        match told["type"].as_str() {
            Some("update") => {
                text.push_str(told["message"].as_str().unwrap());
                pieces += 1;
            }
            Some("closed") => return None,
            Some("connected" | "heartbeat") => {}
            _ => panic!("{line}"),
        }
    }
    Some(serde_json::from_str::<Value>(&line).unwrap()["cursor"].as_str().unwrap().to_owned())
}

#[test]
fn llm_stream_goes_on_where_it_was_killed() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [killed, calm] = folders.each_ref().map(|folder| folder.path().to_str().unwrap());
    let (mut llm, calm) = (Example::start("llm_stream", &[killed]), Example::start("llm_stream", &[calm]));
    assert!(llm.get("/").body.contains("Streamed answers"));
    assert_eq!(llm.post("/api/message?channel=answer%2F1&content=forged", "").status, 403);
    let mut start = String::new();
    for one in [&llm, &calm] {
        let asked = one.post("/api/message?channel=prompts&content=Is+it+whole%3F", "");
        assert_eq!(asked.status, 201);
        // The cursor before the first message.
        start = one.get("/api/poll?channel=unborn").json()["cursor"].as_str().unwrap().to_owned();
    }
    let (mut text, mut whole) = (String::new(), String::new());
    let mut cursor = read_answer(&llm, &start, &mut text, 10);
    while let Some(at) = cursor {
        // Dropping it kills it, and only one program at a time may have the log.
        drop(llm);
        llm = Example::start("llm_stream", &[killed]);
        cursor = read_answer(&llm, &at, &mut text, 40);
    }
    assert_eq!(read_answer(&calm, &start, &mut whole, usize::MAX), None);
    assert_eq!(text, whole);
}

#[test]
fn every_page_works_in_a_browser() {
    let browsers = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    let given = std::env::var("CHROMIUM").ok();
    let browser =
        given.or_else(|| browsers.into_iter().find(|path| Path::new(path).exists()).map(str::to_owned));
    let has_node = Command::new("node").arg("--version").stdout(Stdio::null()).status().is_ok();
    let (Some(browser), true) = (browser, has_node) else {
        println!("there is no Chromium or no Node here: no page was opened");
        return;
    };
    let pages = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/examples/pages.test.mjs");
    let mut node = Command::new("node");
    node.args(["--test", pages]).env("EXAMPLES", folder()).env("CHROMIUM", browser);
    let output = node.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
