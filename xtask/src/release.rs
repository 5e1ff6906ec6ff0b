//! What a release needs: crates that can be published, an old enough compiler, and dependencies that may be used.

use std::process::Command;

use anyhow::{Context as _, Result, bail};
use toml::Table;

use xtask::steps::Skip;
use xtask::workspace::{cargo, root, run, target};

/// Packages every crate as if to publish it. Their code is what the other steps have built.
pub(crate) fn publish() -> Result<()> {
    let publish = ["publish", "--workspace", "--dry-run", "--locked", "--allow-dirty", "--no-verify"];
    let output = cargo(publish).output().context("cannot start cargo")?;
    let words = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        return Ok(());
    }
    if ["Could not resolve host", "network failure", "failed to download"]
        .iter()
        .any(|why| words.contains(why))
    {
        return Err(Skip("the registry cannot be reached".to_owned()).into());
    }
    bail!("the crates cannot be published:\n{words}")
}

/// What cargo-deny says of the dependencies, if it is installed.
pub(crate) fn deny(checks: &[&str]) -> Result<()> {
    let tools = target().join("tools/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([tools].into_iter().chain(std::env::split_paths(&path)))?;
    let is_installed =
        cargo(["deny", "--version"]).env("PATH", &path).output().is_ok_and(|output| output.status.success());
    if !is_installed {
        let why = "cargo-deny takes minutes to build; `cargo xtask nightly` installs it into target/tools";
        return Err(Skip(why.to_owned()).into());
    }
    // An exception that no dependency needs would make the list untrue.
    run(cargo(["deny", "--locked", "check", "--deny", "unused-wrapper"]).args(checks).env("PATH", path))
}

/// Builds cargo-deny into target/tools, which takes some minutes; cargo leaves it alone if it is there.
pub(crate) fn install_deny() -> Result<()> {
    let root = target().join("tools");
    eprintln!("installing cargo-deny into {}", root.display());
    run(cargo(["install", "--locked", "cargo-deny", "--root"]).arg(root))
}

/// Checks everything with the oldest compiler that the manifests promise.
pub(crate) fn oldest_compiler() -> Result<()> {
    let manifest: Table = std::fs::read_to_string(root().join("Cargo.toml"))?.parse()?;
    let version = manifest["workspace"]["package"]["rust-version"].as_str().context("no rust-version")?;
    let installed =
        Command::new("rustup").args(["toolchain", "install", "--profile=minimal", version]).status();
    if !installed.is_ok_and(|status| status.success()) {
        return Err(Skip(format!("rustup cannot install Rust {version}")).into());
    }
    // `+1.90` is for rustup's cargo, which the variables of the toolchain that runs us would overrule.
    let mut cargo = Command::new("cargo");
    for name in ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTC", "RUSTDOC"] {
        cargo.env_remove(name);
    }
    let check = ["check", "--locked", "--workspace", "--all-features", "--target-dir"];
    run(cargo.current_dir(root()).arg(format!("+{version}")).args(check).arg(target().join(version)))
}
