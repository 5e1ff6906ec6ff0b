//! `cargo xtask lint`: each kind of resource under redbot, which knows the rules of HTTP and of caching.
//!
//! It asks each several times, with conditions and codings, and writes a line for each thing that it notes. Lines that say
//! nothing is wrong are listed here, and those that are meant so are answered in `docs/http.md` ("Caching"); any other fails.
//! Not here: what the responses should be, which the tests of the server know.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use clap::Args;
use xtask::python;
use xtask::server::{Binary, Keyboard, Server};
use xtask::tools::Install;
use xtask::workspace::{output, root};

/// What there is to read.
const CONTENT: &[&str] = &["POST /api/message?channel=news", "POST /messages", "PUT /v1/stream/notes"];

/// One resource of each kind.
const RESOURCES: &[&str] = &[
    "/",
    "/app.js",
    "/style.css",
    "/openapi.json",
    "/metrics",
    "/healthz",
    "/readyz",
    "/api/poll?channel=news",
    "/api/poll?channel=news&last_id=1",
    "/api/poll?channel=news&channel=more",
    "/api/longpoll?channel=news",
    "/api/messages/news/1",
    "/events?category=news&timeout=1&since_time=1",
    "/messages",
    "/api/poll/news?since=0",
    "/v1/stream/notes?offset=-1",
    "/v1/stream/notes?offset=now",
    "/nothing",
];

/// Beginnings of notes that say how a response is, and that it is so on purpose.
const SOUND: &[&str] = &[
    "Content negotiation for gzip compression is supported",
    "If-None-Match conditional requests are supported.",
    "In exceptional circumstances, caches can serve this response stale.",
    "The Content-Length header is correct.",
    "The resource could not be found.",
    "The response content is different when content negotiation happens.",
    "The server's clock is correct.",
    "This response allows ",
    "This response can be served stale from a cache while it is being revalidated.",
    "This response can't be stored by caches.",
    "This response cannot be served from cache without validation.",
    "This response instructs browsers not to 'sniff' its media type.",
    "This response is fresh for ",
    "This response is only available for reading to requests from the same origin.",
    "This response isolates the browsing context to the same origin.",
    "This response provides resource hints",
    "This response sets a Content Security Policy.",
    "This response's Referrer-Policy",
];

/// Notes that `docs/http.md` answers, and the paths that they are about.
const ANSWERED: &[(&str, &str)] = &[
    ("The Keep-Alive header is deprecated.", "/"),
    (
        "This response cannot be served from cache without validation, and doesn't have a validator.",
        "/api/messages/",
    ),
    ("\"Pragma\" isn't valid in a response.", "/events"),
    ("The Expires header's value isn't a valid date.", "/events"),
    ("The no-store cache directive overrides other directives.", "/events"),
    ("Cache-Control: public is probably not necessary.", "/v1/stream/"),
];

/// The command's arguments.
#[derive(Args)]
pub(crate) struct Lint {
    /// Lint this server instead of a fresh release build
    #[arg(long)]
    server: Option<PathBuf>,
}

impl Lint {
    pub(crate) fn run(&self) -> Result<()> {
        check(&Binary::given_or_built(self.server.as_deref())?, Install::Allowed)
    }
}

/// Lints every resource, which takes two seconds each.
pub(crate) fn check(binary: &Binary, install: Install) -> Result<()> {
    let bin = python::programs("lint", &root().join("poll-server/tests/lint/requirements.txt"), install)?;
    let server = Server::start(binary, &["--compress", "--max-poll-seconds=1"], Keyboard::Shared)?;
    let url = |path: &str| format!("http://{}{path}", server.address());
    let text = "something to say again ".repeat(100);
    for request in CONTENT {
        let (method, path) = request.split_once(' ').unwrap_or_default();
        let body = if path == "/messages" { format!(r#"{{"body":"{text}"}}"#) } else { text.clone() };
        let words = ["--silent", "--show-error", "--fail", "--request", method];
        let media = ["--header", "Content-Type: text/plain", "--data", &body];
        output(Command::new("curl").args(words).args(media).arg(url(path)))?;
    }
    let mut faults = Vec::new();
    for path in RESOURCES {
        let said = output(Command::new(bin.join("redbot")).args(["--output-format", "text"]).arg(url(path)))?;
        ensure!(said.starts_with("HTTP/1.1 "), "redbot has no response of {path}: {said}");
        faults
            .extend(notes(&said).filter(|note| !is_meant(path, note)).map(|note| format!("{path}: {note}")));
    }
    ensure!(faults.is_empty(), "redbot notes:\n{}", faults.join("\n"));
    println!("lint: {} resources in order", RESOURCES.len());
    Ok(())
}

/// The notes of a report.
fn notes(report: &str) -> impl Iterator<Item = &str> {
    report.lines().filter_map(|line| line.strip_prefix("  * "))
}

fn is_meant(path: &str, note: &str) -> bool {
    let answered = |(answered, about): &(&str, &str)| note == *answered && path.starts_with(about);
    SOUND.iter().any(|sound| note.starts_with(sound)) || ANSWERED.iter().any(answered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_meant_where_it_was_answered() {
        let report = "HTTP/1.1 200 OK\n\n* General:\n  * The Keep-Alive header is deprecated.\n  * \"Pragma\" isn't valid in a response.\n";
        let of = |path: &'static str| notes(report).filter(move |note| !is_meant(path, note)).count();
        assert_eq!((of("/events?category=c"), of("/api/poll")), (0, 1));
    }
}
