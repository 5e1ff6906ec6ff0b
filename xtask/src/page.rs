//! The live page in a browser: its tests, and `cargo xtask screenshots`.
//!
//! Both are scripts beside the page's tests, run by Node, which drive a headless Chromium; here is only how they are called.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::js;
use xtask::server::Binary;
use xtask::tools::Install;
use xtask::workspace::{cargo, root, run};

/// The command's arguments: none.
#[derive(Args)]
pub(crate) struct Screenshots {}

impl Screenshots {
    #[expect(clippy::unused_self, reason = "every command has the same shape")]
    pub(crate) fn run(&self) -> Result<()> {
        let examples = ["--example", "llm_stream", "--example", "dashboard"];
        run(&mut cargo(["build", "--quiet", "--locked", "--package", "poll-server"]))?;
        run(cargo(["build", "--quiet", "--locked", "--package", "poll-http"]).args(examples))?;
        run(&mut node("screenshots.js", Install::Never)?)
    }
}

/// Runs the pages' tests against the server that `cargo test` has built.
pub(crate) fn test(install: Install) -> Result<()> {
    for script in ["page.test.js", "admin.test.js"] {
        run(&mut node(script, install)?)?;
    }
    Ok(())
}

/// A script of the page's tests, as Node's test runner runs it too.
fn node(script: &str, install: Install) -> Result<Command> {
    js::ensure_node(install)?;
    let mut command = Command::new("node");
    command
        .current_dir(root())
        .arg(format!("poll-server/tests/page/{script}"))
        .env("CHROMIUM", js::browser(install)?)
        .env("POLL_SERVER_BINARY", Binary::of_the_tests()?.path());
    Ok(command)
}
