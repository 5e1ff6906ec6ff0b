//! `cargo xtask fuzz`: the fuzz targets, one after another, for some seconds each.
//!
//! Needs the nightly toolchain and cargo-fuzz, which are not installed for you: it says how. Leaves the corpora where
//! cargo-fuzz keeps them.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use xtask::workspace::{output, root, run};

/// The folders that hold fuzz targets, each beside the code it feeds.
const FOLDERS: &[&str] = &["poll-http/fuzz", "poll-client/fuzz"];

/// The command's arguments.
#[derive(Args)]
pub(crate) struct Fuzz {
    /// Seconds for each target
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Only the targets with this in their name
    target: Option<String>,
}

impl Fuzz {
    pub(crate) fn run(&self) -> Result<()> {
        let installed =
            rustup_cargo().args(["fuzz", "--version"]).output().is_ok_and(|output| output.status.success());
        ensure!(
            installed,
            "fuzzing needs the nightly toolchain and cargo-fuzz; install them by\n  \
             rustup toolchain install nightly && cargo install cargo-fuzz"
        );
        let mut ran = 0;
        for folder in FOLDERS {
            let folder = root().join(folder);
            if !folder.is_dir() {
                continue;
            }
            let listing = output(rustup_cargo().args(["fuzz", "list", "--fuzz-dir"]).arg(&folder))?;
            let wanted = |name: &&str| self.target.as_deref().is_none_or(|part| name.contains(part));
            for target in listing.lines().filter(wanted) {
                run(rustup_cargo().args(["fuzz", "run", "--fuzz-dir"]).arg(&folder).args([
                    target,
                    "--",
                    &format!("-max_total_time={}", self.seconds),
                    "-print_final_stats=1",
                ]))
                .with_context(|| format!("fuzz target {target}"))?;
                ran += 1;
            }
        }
        ensure!(ran > 0, "no fuzz target of that name");
        println!("{ran} fuzz targets, {} s each, no finding", self.seconds);
        Ok(())
    }
}

/// Cargo by rustup's door, since `+nightly` is a word for that one only; the variables that name our own toolchain
/// would overrule it.
fn rustup_cargo() -> Command {
    let mut command = Command::new("cargo");
    command.arg("+nightly").current_dir(root());
    for name in ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTC", "RUSTDOC"] {
        command.env_remove(name);
    }
    command
}
