//! The machine and the commit of a run, and the resources the machine gives it.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use xtask::workspace::{output, root};

use crate::results::{Run, Subject};

/// Raises the limit of open files to its maximum: every connection is one, and servers inherit the limit.
pub(crate) fn raise_file_limit() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .context("cannot raise the limit of open files")
}

/// A run of today on this machine, with no rows yet.
pub(crate) fn new_run(subject: Subject) -> Result<Run> {
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    Ok(Run { date, commit: commit(), machine: describe()?, subject, rows: Vec::new() })
}

/// The checked-out commit, with a trailing `+` if the tree has changes; `unknown` without git.
fn commit() -> String {
    let git = |arguments: &[&str]| output(Command::new("git").current_dir(root()).args(arguments));
    let Ok(commit) = git(&["rev-parse", "--short", "HEAD"]) else { return "unknown".to_owned() };
    let changed = git(&["status", "--porcelain"]).is_ok_and(|status| !status.is_empty());
    format!("{}{}", commit.trim(), if changed { "+" } else { "" })
}

fn describe() -> Result<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model);
    let cores = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let tcp = fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control")?;
    Ok(format!("{model}, {cores} cores, Linux {}, TCP {}", kernel.trim(), tcp.trim()))
}
