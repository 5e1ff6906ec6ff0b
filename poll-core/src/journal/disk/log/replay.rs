//! What a segment holds of each channel, read by recovery after a crash and by salvage.

use std::io;

use super::recent::Generation;
use super::segment::{self, Scan};
use crate::environment::Location;
use crate::types::Retention;

/// Reads a segment. A new generation begins where records between two publishes of a channel are damaged, or the channel was
/// removed; there is at least one.
///
/// # Errors
/// The disk's.
pub(in super::super) fn read(
    location: &dyn Location,
    number: u64,
    retention: &Retention,
) -> io::Result<(Vec<Generation>, Scan)> {
    let (mut before, mut generation) = (Vec::new(), Generation::default());
    let scan = segment::read(location, number, |record| {
        let publish = record.publish();
        if !generation.is_next(publish) {
            before.push(std::mem::take(&mut generation));
        }
        generation.add(publish, retention);
    })?;
    before.push(generation);
    Ok((before, scan))
}
