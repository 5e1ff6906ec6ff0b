//! `cargo xtask openapi`: the OpenAPI document against its specification, and a running server against the document.
//!
//! openapi-spec-validator reads the document, schemathesis makes requests of it and judges the responses. How it does that
//! stands in `poll-server/tests/openapi`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use clap::Args;
use xtask::python;
use xtask::server::{Binary, Keyboard, Server};
use xtask::tools::Install;
use xtask::workspace::{output, root, run, target};

/// Generated requests for each operation beside the systematic ones, where time is short: all in all half a minute.
pub(crate) const FEW: u32 = 3;

/// A server that answers soon where it would wait.
const FLAGS: &[&str] = &["--max-poll-seconds=0.01", "--golongpoll-max-timeout-seconds=1"];

/// And one that asks for tokens, however often a wrong one is tried.
const TOKENS: &[&str] = &["--publish-token=secret", "--subscribe-token=secret", "--max-auth-failures=0"];

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

/// Checks the document and the server: one that asks for no tokens, then what one does that asks for them.
pub(crate) fn check(binary: &Binary, examples: u32, install: Install) -> Result<()> {
    let bin = python::programs("openapi", &folder().join("requirements.txt"), install)?;
    let open = Server::start(binary, FLAGS, Keyboard::Shared)?;
    fill(&open, &[])?;
    let document = target().join("openapi.json");
    run(curl(&[]).arg("--output").arg(&document).arg(url(&open, "/openapi.json")))?;
    run(Command::new(bin.join("openapi-spec-validator")).args(["--schema", "3.1"]).arg(&document))?;
    run(schemathesis(&bin, &open).args([
        "--phases",
        "examples,coverage,fuzzing,stateful",
        "--max-examples",
        &examples.to_string(),
    ]))?;
    drop(open);

    let token = ["--header", "Authorization: Bearer secret"];
    let closed = Server::start(binary, &[FLAGS, TOKENS].concat(), Keyboard::Shared)?;
    fill(&closed, &token)?;
    run(schemathesis(&bin, &closed).args(token).args(["--phases", "examples"]))
}

/// What a reader can find.
fn fill(server: &Server, more: &[&str]) -> Result<()> {
    for (path, body) in CONTENT {
        output(curl(more).args(["--data", body, &url(server, path)]))?;
    }
    Ok(())
}

fn curl(more: &[&str]) -> Command {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail"]).args(more);
    curl
}

fn schemathesis(bin: &Path, server: &Server) -> Command {
    let mut command = Command::new(bin.join("schemathesis"));
    let folder = folder();
    // It leaves what it remembers where it runs.
    command.current_dir(bin).env("PYTHONPATH", &folder).env("PYTHONDONTWRITEBYTECODE", "1");
    command.arg("--config-file").arg(folder.join("schemathesis.toml"));
    command.args(["run", &url(server, "/openapi.json")]);
    command
}

fn url(server: &Server, path: &str) -> String {
    format!("http://{}{path}", server.address())
}

fn folder() -> PathBuf {
    root().join("poll-server/tests/openapi")
}
