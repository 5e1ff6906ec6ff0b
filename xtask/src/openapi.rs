//! `cargo xtask openapi`: the OpenAPI document against its specification, and a running server against the document.
//!
//! openapi-spec-validator reads the document, schemathesis makes requests of it and judges the responses. How it does that
//! stands in `poll-server/tests/openapi`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use clap::Args;
use xtask::python;
use xtask::server::{Binary, Keyboard, Server};
use xtask::tools::Install;
use xtask::workspace::{output, root, run, target};

/// Generated requests for each operation beside the systematic ones, where time is short: all in all half a minute.
pub(crate) const FEW: u32 = 4;

/// A server that answers soon where it would wait.
const FLAGS: &[&str] = &["--max-poll-seconds=0.01", "--golongpoll-max-timeout-seconds=1"];

/// What there is to read: a job that has ended, a message, and a chat message.
const CONTENT: &[(&str, &str)] = &[
    ("/api/progress/ended", r#"{"step":1,"total":2}"#),
    ("/api/progress/ended", r#"{"step":2,"total":2,"status":"done"}"#),
    ("/api/message", "hello"),
    ("/messages", r#"{"body":"hello"}"#),
];

/// The command's arguments.
#[derive(Args)]
pub(crate) struct OpenApi {
    /// Check this server instead of a fresh release build
    #[arg(long)]
    server: Option<PathBuf>,
    /// Generated requests for each operation beside the systematic ones
    #[arg(long, default_value_t = 25)]
    examples: u32,
}

impl OpenApi {
    pub(crate) fn run(&self) -> Result<()> {
        check(&Binary::given_or_built(self.server.as_deref())?, self.examples, Install::Allowed)
    }
}

/// Checks the document and the server.
pub(crate) fn check(binary: &Binary, examples: u32, install: Install) -> Result<()> {
    let folder = root().join("poll-server/tests/openapi");
    let bin = python::programs("openapi", &folder.join("requirements.txt"), install)?;
    let server = Server::start(binary, FLAGS, Keyboard::Shared)?;
    let url = |path: &str| format!("http://{}{path}", server.address());
    for (path, body) in CONTENT {
        output(Command::new("curl").args([
            "--silent",
            "--show-error",
            "--fail",
            "--data",
            body,
            &url(path),
        ]))?;
    }
    let document = target().join("openapi.json");
    run(Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--output"])
        .arg(&document)
        .arg(url("/openapi.json")))?;
    run(Command::new(bin.join("openapi-spec-validator")).args(["--schema", "3.1"]).arg(&document))?;
    run(Command::new(bin.join("schemathesis"))
        .current_dir(&folder)
        .args(["--config-file", "schemathesis.toml", "run", &url("/openapi.json")])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", &examples.to_string()])
        .env("PYTHONPATH", &folder)
        .env("PYTHONDONTWRITEBYTECODE", "1"))
}
