//! The Debian package, which cargo-deb makes from the files that are laid out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use xtask::workspace::{cargo, output, run, target};

use super::files;

/// How hard the package is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Small,
    Fast,
}

/// Has cargo-deb build a revision of the package. Its own output folder is emptied by each call, so the package goes elsewhere.
pub(super) fn build(folder: &Path, revision: u32, compression: Compression) -> Result<PathBuf> {
    let version = format!("{}-{revision}", files::version()?);
    let date = output(Command::new("date").args(["-R", "-u", "-d", "@0"]))?;
    let changelog = format!(
        "poll-server ({version}) unstable; urgency=medium\n\n  * What has changed is in CHANGELOG.md of the sources.\n\n \
         -- The poll authors <poll-rs@users.noreply.github.com>  {date}"
    );
    fs::write(folder.join("changelog"), changelog)?;
    let tools = target().join("tools");
    run(cargo(["install", "--quiet", "--locked", "cargo-deb", "--root"]).arg(&tools))?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([tools.join("bin")].into_iter().chain(std::env::split_paths(&path)))?;
    let words = [
        "deb",
        "--quiet",
        "--locked",
        "--package",
        "poll-server",
        "--no-build",
        "--no-strip",
        "--deb-version",
        &version,
    ];
    let architecture = output(Command::new("dpkg").arg("--print-architecture"))?;
    let made = folder.join(format!("poll-server_{version}_{}.deb", architecture.trim()));
    let compression = match compression {
        Compression::Small => None,
        Compression::Fast => Some("--fast"),
    };
    run(cargo(words).args(compression).arg("--output").arg(&made).env("PATH", path))?;
    Ok(made)
}

/// Checks the package by Debian's own rules. It is not uploaded to Debian, so it need not close a bug there.
pub(super) fn check(package: &Path) -> Result<()> {
    let suppressed = ["--suppress-tags", "initial-upload-closes-no-bugs"];
    run(Command::new("lintian").args(["--fail-on", "error,warning"]).args(suppressed).arg(package))
}
