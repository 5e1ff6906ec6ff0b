//! The machine and the commit a run was made on, and the room it gives. Knows too what of it is nobody's business.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use xtask::workspace::{output, root};

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

/// Processor, cores, kernel and its congestion control, in words.
pub(super) fn describe() -> Result<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let tcp = fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control")?;
    Ok(format!("{model}, {cores} cores, Linux {}, TCP {}", kernel.trim(), tcp.trim()))
}

/// A text without this machine's paths, of which only the last part is left: `…/poll-server`. What a row holds is kept
/// in the project.
pub(super) fn without_paths(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(slash) = rest.find('/') {
        let (before, path) = rest.split_at(slash);
        kept.push_str(before);
        let begins = !before.ends_with(|c: char| c.is_alphanumeric() || "/._-…".contains(c));
        let end = path.find(|c: char| c.is_whitespace() || "\"'`,:;()|".contains(c)).unwrap_or(path.len());
        let (path, after) = path.split_at(end);
        // A path of a URL begins nowhere here.
        let first = path.split('/').nth(1).filter(|first| !first.is_empty());
        if begins && first.is_some_and(|first| Path::new("/").join(first).exists()) {
            kept.push_str("…/");
            kept.push_str(path.rsplit('/').next().unwrap_or_default());
        } else {
            kept.push_str(path);
        }
        rest = after;
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_paths_only_the_last_part_is_left() {
        let here = std::env::current_exe().unwrap();
        let name = here.file_name().unwrap().to_string_lossy();
        let text = format!("cannot start `{0}`: disk:{0}, and {0}", here.display());
        assert_eq!(without_paths(&text), format!("cannot start `…/{name}`: disk:…/{name}, and …/{name}"));
    }

    #[test]
    fn what_is_no_path_of_this_machine_is_left() {
        for text in
            ["304 of GET /api/poll?a=/proc/b", "HTTP/1.1", "http://127.0.0.1:80/proc", "1 / 2", "disk:…"]
        {
            assert_eq!(without_paths(text), text);
        }
    }
}
