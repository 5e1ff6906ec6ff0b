//! The commit to compare with: which it is, and its benches, built in a checkout of its own.
//!
//! The checkout lives for as long as the build does and goes away with it; the build stays in the target folder, so
//! that the next comparison compiles only what differs.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::program::{self, Program};
use xtask::workspace::{output, root, target};

/// A commit.
pub(super) struct Base {
    commit: String,
    /// Its first line, for who reads the table.
    subject: String,
}

impl Base {
    /// The revision, or where this branch left main. On main itself that is the commit that stands there; when nothing
    /// was changed since, it is the one before.
    pub(super) fn resolve(revision: Option<&str>) -> Result<Self> {
        let commit = match revision {
            Some(revision) => commit_of(revision)?,
            None => {
                let fork = ["main@{upstream}", "origin/main", "main"]
                    .into_iter()
                    .find_map(|main| git(["merge-base", "HEAD", main]).ok())
                    .context("there is no branch main to compare with; name a revision by --base")?;
                let unchanged =
                    fork == commit_of("HEAD")? && git(["status", "--porcelain", "-uno"])?.is_empty();
                if unchanged { commit_of("HEAD~1")? } else { fork }
            }
        };
        let subject = git(["show", "--no-patch", "--format=%s", &commit])?;
        Ok(Self { commit, subject })
    }

    /// Its bench programs; none where it had none yet.
    pub(super) fn build(&self) -> Result<Vec<Program>> {
        let folder = target().join("instructions");
        let checkout = Checkout::new(folder.join("base"), &self.commit)?;
        program::build(&checkout.folder, &folder.join("build"))
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.10} ({})", self.commit, self.subject)
    }
}

/// A worktree that is removed when this is dropped, whatever happened in it.
struct Checkout {
    folder: PathBuf,
}

impl Checkout {
    fn new(folder: PathBuf, commit: &str) -> Result<Self> {
        // What a run left behind that was killed.
        remove(&folder);
        let checkout = Self { folder };
        let mut add = Command::new("git");
        add.current_dir(root()).args(["worktree", "add", "--quiet", "--detach"]);
        output(add.arg(&checkout.folder).arg(commit))?;
        Ok(checkout)
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        remove(&self.folder);
    }
}

/// Leaves neither the folder nor git's note of it.
fn remove(folder: &Path) {
    if folder.exists()
        && let Err(error) = fs::remove_dir_all(folder)
    {
        eprintln!("cannot remove {}: {error}", folder.display());
    }
    if let Err(error) = git(["worktree", "prune"]) {
        eprintln!("{error:#}");
    }
}

fn commit_of(revision: &str) -> Result<String> {
    git(["rev-parse", "--verify", "--quiet", &format!("{revision}^{{commit}}")])
        .with_context(|| format!("`{revision}` is no commit"))
}

/// What git says, without the line's end.
fn git<const N: usize>(arguments: [&str; N]) -> Result<String> {
    Ok(output(Command::new("git").current_dir(root()).args(arguments))?.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_commit_is_named() {
        let error = commit_of("no-such-revision").unwrap_err();
        assert!(format!("{error:#}").starts_with("`no-such-revision` is no commit"), "{error:#}");
    }
}
