//! The store's disk: how long it takes to keep something, which every publish waits for, and how much room it has.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use poll_core::environment::Environment;

use super::finding::Finding;
use crate::config::{Config, Durability, StoreUrl};

/// Enough for a median that one slow sync does not move, and over in half a second on a hard disk.
const SYNCS: usize = 21;
/// A solid-state disk without protection against loss of power takes about a millisecond, a hard disk ten.
const SLOW: Duration = Duration::from_millis(10);
/// A publisher gives up before this.
const BROKEN: Duration = Duration::from_secs(1);

pub(super) fn check(environment: &Environment, config: &Config) -> Vec<Finding> {
    let StoreUrl::Disk(path) = &config.store else {
        return vec![Finding::ok("disk", "the store is on none of this machine")];
    };
    let directory = existing(path);
    vec![syncs(environment, &directory, path, config.durability), room(environment, &directory, config)]
}

fn syncs(environment: &Environment, directory: &Path, path: &Path, durability: Durability) -> Finding {
    let mut times = match environment.sync_times(directory, SYNCS) {
        Ok(times) => times,
        Err(error) => {
            let change = match error.kind() {
                ErrorKind::PermissionDenied => "run this as the server's user, or let that own the folder",
                ErrorKind::StorageFull => "make room",
                _ => "give --store a folder that can be written to",
            };
            return Finding::fault("disk", format!("{}: {error}", path.display()), change);
        }
    };
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    let longest = times.last().copied().unwrap_or_default();
    let what = format!(
        "{}: a write is kept after {median:.1?} (median of {SYNCS}, longest {longest:.1?})",
        path.display()
    );
    let is_waited_for = durability == Durability::Commit;
    if median >= BROKEN {
        Finding::fault("disk", what, "every publish waits for it: use another disk")
    } else if median >= SLOW && is_waited_for {
        let change = "every publish waits for it: a disk with protection against loss of power, or --durability \
                      interval=100 if losing that much in a crash is fine";
        Finding::warning("disk", what, change)
    } else {
        Finding::ok("disk", what)
    }
}

fn room(environment: &Environment, directory: &Path, config: &Config) -> Finding {
    // What is retained, and as much again while the file is written anew.
    let wanted = config.retention.bytes.saturating_mul(2);
    let Some(free) = environment.directory(directory).free() else {
        return Finding::ok("room", "how much the disk has cannot be told");
    };
    let what = format!("{} MiB are free", free >> 20);
    if free < wanted {
        let change =
            format!("{} MiB may be needed: make room, or lower --retain-bytes", wanted.div_ceil(1 << 20));
        return Finding::warning("room", what, change);
    }
    Finding::ok("room", what)
}

/// The folder itself, or what is there of its path, on whose disk it would be made.
fn existing(path: &Path) -> PathBuf {
    let above = path.ancestors().find(|path| path.is_dir());
    above.map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}
