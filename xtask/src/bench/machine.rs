//! The machine and the commit a run was made on, and the room it gives.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::workspace::{output, root};

/// Raises the limit of open files as far as it goes: every connection is one, and servers inherit it.
pub(super) fn raise_file_limit() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .context("cannot raise the limit of open files")
}

/// The day, `YYYY-MM-DD`.
pub(super) fn today() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
}

/// The commit of the tree, with `+` behind it where the tree was changed; `unknown` without git.
pub(super) fn commit() -> String {
    let git = |arguments: &[&str]| output(Command::new("git").current_dir(root()).args(arguments));
    let Ok(commit) = git(&["rev-parse", "--short", "HEAD"]) else { return "unknown".to_owned() };
    let changed = git(&["status", "--porcelain"]).is_ok_and(|status| !status.is_empty());
    format!("{}{}", commit.trim(), if changed { "+" } else { "" })
}

/// Processor, cores and kernel, in words.
pub(super) fn describe() -> Result<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(format!("{model}, {cores} cores, Linux {}", kernel.trim()))
}
