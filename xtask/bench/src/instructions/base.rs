//! The commit to compare with, checked out in a folder of its own.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use xtask::workspace::{output, root, target};

/// The revision; without one, where this branch left main. With no changes since, the last commit's parent.
pub(super) fn resolve(revision: Option<&str>) -> Result<String> {
    if let Some(revision) = revision {
        return commit_of(revision);
    }
    let mains = ["main@{upstream}", "origin/main", "main"];
    let fork = mains.into_iter().find_map(|main| git(["merge-base", "HEAD", main]).ok());
    let fork = fork.context("there is no branch main to compare with; name a revision with --base")?;
    let unchanged = fork == commit_of("HEAD")? && git(["status", "--porcelain", "-uno"])?.is_empty();
    if unchanged { commit_of("HEAD~1") } else { Ok(fork) }
}

/// Calls `build` with a checkout of the commit and a target folder. The checkout is removed after it; the target folder
/// stays, so that the next build is quick.
pub(super) fn checked_out<T>(commit: &str, build: impl FnOnce(&Path, &Path) -> Result<T>) -> Result<T> {
    let folder = target().join("instructions");
    let checkout = folder.join("base");
    let path = checkout.to_string_lossy();
    let remove = || git(["worktree", "remove", "--force", &path]);
    // An interrupted run leaves one behind.
    let _ = remove();
    git(["worktree", "add", "--quiet", "--detach", &path, commit])?;
    let built = build(&checkout, &folder.join("build"));
    remove()?;
    built
}

fn commit_of(revision: &str) -> Result<String> {
    git(["rev-parse", "--verify", "--quiet", &format!("{revision}^{{commit}}")])
        .with_context(|| format!("`{revision}` is no commit"))
}

fn git<const N: usize>(arguments: [&str; N]) -> Result<String> {
    Ok(output(Command::new("git").current_dir(root()).args(arguments))?.trim_end().to_owned())
}
