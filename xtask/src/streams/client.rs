//! `cargo xtask streams --client`: `poll-client` in the client conformance suite of the protocol.
//!
//! The suite is in the protocol's repository alone, so it is fetched from there at one commit; what it runs on comes from
//! npm. It starts a reference server by itself and drives the example `streams_adapter`, which drives the client.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail, ensure};

use xtask::steps::Skip;
use xtask::tools::{self, Install, Tool};
use xtask::workspace::{cargo, root, run, target};

use super::packages;

const REPOSITORY: &str = "https://github.com/durable-streams/durable-streams";
const COMMIT: &str = "82f9963ae0b489566352393be9b4796c788c99c2";
/// Where the suite is in the repository, and what of it is needed.
const SUITE: &str = "packages/client-conformance-tests";
const PARTS: [&str; 2] = ["src", "test-cases"];
const GIT: &[Tool] =
    &[Tool { program: "git", package: "git", purpose: "the client conformance suite of Durable Streams" }];

/// Runs the suite of this checkout, or of one that is fetched.
pub(super) fn check(checkout: Option<&Path>, install: Install) -> Result<()> {
    let from = root().join("poll-server/tests/streams/client");
    let to = target().join("npm/streams-client");
    packages::fetch(&from, &to, install)?;
    let checkout = match checkout {
        Some(given) => given.to_owned(),
        None => fetched(install)?,
    };
    let suite = checkout.join(SUITE);
    for part in PARTS {
        ensure!(suite.join(part).is_dir(), "{} is no checkout of {REPOSITORY}", checkout.display());
        std::fs::create_dir_all(to.join(part))?;
        run(Command::new("cp").arg("-R").arg(suite.join(part).join(".")).arg(to.join(part)))?;
    }
    run(&mut cargo(["build", "--quiet", "--locked", "--package", "xtask", "--example", "streams_adapter"]))?;
    run(Command::new("node")
        .current_dir(&to)
        .args(["node_modules/tsx/dist/cli.mjs", "src/cli.ts", "--run"])
        .arg(target().join("debug/examples/streams_adapter")))
}

/// The repository at the commit, without its history.
fn fetched(install: Install) -> Result<PathBuf> {
    tools::ensure_these(GIT, "the client conformance suite", install)?;
    let to = target().join("npm/durable-streams");
    let git = |words: &[&str]| run(Command::new("git").arg("-C").arg(&to).args(words));
    std::fs::create_dir_all(&to)?;
    git(&["init", "--quiet"])?;
    if git(&["cat-file", "-e", COMMIT]).is_err()
        && let Err(error) = git(&["fetch", "--quiet", "--depth=1", REPOSITORY, COMMIT])
    {
        bail!(Skip(format!("git cannot fetch the client conformance suite: {error}")));
    }
    git(&["checkout", "--quiet", COMMIT, "--", SUITE])?;
    Ok(to)
}
