//! Packages from npm, at the versions that a lock file pins.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use xtask::steps::Skip;
use xtask::tools::{self, Install, Tool};
use xtask::workspace::run;

use crate::js;

const NPM: &[Tool] =
    &[Tool { program: "npm", package: "npm", purpose: "the conformance suite of Durable Streams" }];

/// Fetches what the lock file in `from` pins into `to`, unless it is there.
pub(super) fn fetch(from: &Path, to: &Path, install: Install) -> Result<()> {
    js::ensure_node(install)?;
    tools::ensure_these(NPM, "the conformance suite", install)?;
    std::fs::create_dir_all(to)?;
    let (lock, stamp) = ("package-lock.json", to.join("installed.json"));
    let wanted = std::fs::read(from.join(lock))?;
    if std::fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    for file in ["package.json", lock] {
        std::fs::copy(from.join(file), to.join(file))?;
    }
    if let Err(error) = run(Command::new("npm").current_dir(to).args(["ci", "--no-audit", "--no-fund"])) {
        bail!(Skip(format!("npm cannot fetch the conformance suite: {error}")));
    }
    std::fs::write(stamp, wanted)?;
    Ok(())
}
