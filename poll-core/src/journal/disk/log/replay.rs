//! What a segment holds of each channel, read by recovery after a crash and by salvage.

use std::io;

use super::recent::Memtable;
use super::segment::{self, Scan};
use crate::environment::Location;
use crate::types::Retention;

/// Reads a segment. A new memtable begins where records between two publishes of a channel are damaged; there is at least one.
///
/// # Errors
/// The disk's.
pub(in super::super) fn read(
    location: &dyn Location,
    number: u64,
    retention: &Retention,
) -> io::Result<(Vec<Memtable>, Scan)> {
    let (mut memtables, mut memtable) = (Vec::new(), Memtable::default());
    let scan = segment::read(location, number, |record| {
        let publish = record.publish();
        if !memtable.is_next(publish) {
            memtables.push(std::mem::take(&mut memtable));
        }
        memtable.add(publish, retention);
    })?;
    memtables.push(memtable);
    Ok((memtables, scan))
}
