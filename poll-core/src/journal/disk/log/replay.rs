//! What segments hold of each channel, read by recovery after a crash and by salvage.

use std::io;

use super::recent::Memtable;
use super::segment::{self, Scan};
use crate::environment::Location;
use crate::types::Retention;

/// A segment that was read.
pub(in super::super) struct Replayed {
    /// What ends where records between two publishes of a channel are missing; a new memtable begins there.
    pub(in super::super) split: Vec<Memtable>,
    /// The rest.
    pub(in super::super) memtable: Memtable,
    pub(in super::super) scan: Scan,
    /// How long the file is, in bytes.
    pub(in super::super) length: u64,
}

/// Reads a segment and adds it to what was read of those before it.
///
/// # Errors
/// The disk's.
pub(in super::super) fn read(
    location: &dyn Location,
    number: u64,
    retention: &Retention,
    mut memtable: Memtable,
) -> io::Result<Replayed> {
    let mut split = Vec::new();
    let (scan, length) = segment::read(location, number, |record| {
        let publish = record.publish();
        if !memtable.is_next(publish) {
            split.push(std::mem::take(&mut memtable));
        }
        memtable.add(publish, retention);
    })?;
    Ok(Replayed { split, memtable, scan, length })
}
