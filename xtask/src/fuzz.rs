//! `cargo xtask fuzz`: the fuzz targets, one after another, for some seconds each.
//!
//! libFuzzer is linked in by `libfuzzer-sys`, and the stable compiler has the coverage that guides it, so this needs no
//! other toolchain. What it does not have is an address sanitizer, of little use to crates without `unsafe`; cargo-fuzz
//! runs the same targets with one.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use xtask::steps::Skip;
use xtask::tools::is_installed;
use xtask::workspace::{cargo, host, root, run, target};

/// The crates of fuzz targets, each beside the code it feeds.
const CRATES: [&str; 2] = ["poll-http/fuzz", "poll-client/fuzz"];
/// What cargo-fuzz passes as well.
const FLAGS: &str = "--cfg fuzzing -Cdebug-assertions -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares";

/// The command's arguments.
#[derive(Args)]
pub(crate) struct Fuzz {
    /// Seconds for each target
    #[arg(long, default_value_t = 60)]
    pub(crate) seconds: u64,
    /// Only the targets with this in their name
    pub(crate) target: Option<String>,
}

fn folder() -> PathBuf {
    target().join("fuzz")
}

/// The builds of all targets.
pub(crate) fn builds() -> Result<Vec<Command>> {
    let host = host()?;
    Ok(CRATES.iter().map(|name| build(name, &host)).collect())
}

/// Build scripts and macros are not instrumented because the target is named.
fn build(name: &str, host: &str) -> Command {
    let mut command = cargo(["build", "--target", host, "--target-dir"]);
    command
        .arg(folder())
        .arg("--manifest-path")
        .arg(root().join(name).join("Cargo.toml"))
        .env("RUSTFLAGS", FLAGS);
    command
}

impl Fuzz {
    pub(crate) fn run(&self) -> Result<()> {
        let (host, folder) = (host()?, folder());
        if !is_installed("c++") {
            return Err(Skip("libFuzzer is C++, and there is no `c++`".to_owned()).into());
        }
        let mut ran = 0;
        for name in CRATES {
            let place = root().join(name);
            run(&mut build(name, &host))?;
            for file in std::fs::read_dir(place.join("fuzz_targets"))? {
                let file = file?.path();
                let target = file.file_stem().context("a target has a name")?.to_string_lossy();
                if self.target.as_deref().is_none_or(|part| target.contains(part)) {
                    self.run_target(&place, &folder.join(&host).join("debug").join(&*target), &target)?;
                    ran += 1;
                }
            }
        }
        ensure!(ran > 0, "no fuzz target of that name");
        println!("{ran} fuzz targets, {} s each, no finding", self.seconds);
        Ok(())
    }

    fn run_target(&self, place: &Path, program: &Path, target: &str) -> Result<()> {
        let (corpus, artifacts) = (place.join("corpus").join(target), place.join("artifacts").join(target));
        std::fs::create_dir_all(&corpus)?;
        std::fs::create_dir_all(&artifacts)?;
        run(Command::new(program)
            .arg(format!("-max_total_time={}", self.seconds))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .args(["-print_final_stats=1", "-verbosity=0"])
            .arg(corpus))
        .with_context(|| format!("fuzz target {target}"))
    }
}
