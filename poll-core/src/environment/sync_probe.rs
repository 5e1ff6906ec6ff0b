//! How long a directory's disk takes until what was written to it is kept.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// What is written before each sync: a page, which is about what a commit of some messages takes.
const BYTES: [u8; 4_096] = [0; 4_096];

/// The time of each of `count` writes with their syncs. The file has no name while it is written, so none is left behind.
pub(super) fn times(directory: &Path, count: usize) -> io::Result<Vec<Duration>> {
    let mut file = nameless(directory)?;
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        file.write_all(&BYTES)?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    Ok(times)
}

fn nameless(directory: &Path) -> io::Result<File> {
    let path = directory.join(format!(".poll-doctor-{:016x}", rand::random::<u64>()));
    let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    std::fs::remove_file(path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_as_it_was_after_a_probe() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(times(directory.path(), 3).unwrap().len(), 3);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        let missing = times(&directory.path().join("none"), 1).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
