//! A folder for one server.

use anyhow::{Context as _, Result};
use tempfile::TempDir;

/// On the disk of the builds: the system's temporary folder may be in memory.
pub(super) fn folder() -> Result<TempDir> {
    let target = xtask::workspace::target();
    std::fs::create_dir_all(&target)?;
    tempfile::Builder::new().prefix("bench-").tempdir_in(&target).context("cannot make a folder for a server")
}
