//! One file of the log: a header, then records, each written and synced before its outcome is reported.
//!
//! After a write or a sync that failed, what the file holds behind its last good end is not known. [`Segment::restore`]
//! cuts it off; once that is synced, what was being written has failed for certain. Until then its outcome is unknown.

use std::io;
use std::ops::Range;

use redb::StorageBackend;
use xxhash_rust::xxh3::xxh3_64;

use super::record::{self, Place, Record};
use crate::environment::Location;
use crate::planted::{self, Bug};

/// The first bytes of a segment: the name of the format, and its version.
const MAGIC: [u8; 8] = *b"polllog\x01";
/// Magic, number, checksum.
const HEADER: usize = 8 + 8 + 8;
/// How many zeros are written ahead of the records at a time: as many as there are records already, within these bounds.
const LEAST_AHEAD: u64 = 64 << 10;
const MOST_AHEAD: u64 = 1 << 20;
/// What a disk writes whole or not at all, at least.
const SECTOR: usize = 512;

/// A segment that is appended to.
#[derive(Debug)]
pub(in super::super) struct Segment {
    number: u64,
    file: Box<dyn StorageBackend>,
    /// Everything before this offset is synced, but for the header of a new segment.
    end: u64,
    /// The file's length. What is behind `end` is zeros: to overwrite them and sync that is cheaper than to make the file
    /// longer, because the file system has nothing to note in its own journal.
    length: u64,
}

impl Segment {
    /// Begins a segment. It counts once something was [appended](Self::append).
    pub(in super::super) fn create(location: &dyn Location, number: u64) -> io::Result<Self> {
        let file = location.open_segment(number)?;
        file.set_len(0)?;
        file.write(0, &header(number))?;
        Ok(Self { number, file, end: HEADER as u64, length: HEADER as u64 })
    }

    pub(in super::super) fn number(&self) -> u64 {
        self.number
    }

    /// The length of what it holds, in bytes.
    pub(in super::super) fn size(&self) -> u64 {
        self.end
    }

    /// Where the next record goes.
    pub(in super::super) fn place(&self) -> Place {
        Place { segment: self.number, offset: self.end }
    }

    /// Writes records that were made for its [`place`](Self::place), and syncs them. Zeros may be added to them.
    ///
    /// # Errors
    /// The disk's. Whether they are kept is then unknown until the segment is [restored](Self::restore).
    pub(in super::super) fn append(&mut self, records: &mut Vec<u8>) -> io::Result<()> {
        let end = self.end + records.len() as u64;
        if end > self.length {
            let ahead = end.clamp(LEAST_AHEAD, MOST_AHEAD);
            records.resize(records.len() + usize::try_from(ahead).unwrap_or(0), 0);
            self.length = self.end + records.len() as u64;
        }
        self.file.write(self.end, records)?;
        if !planted::is(Bug::EarlyAcknowledgement) {
            self.file.sync_data()?;
        }
        self.end = end;
        Ok(())
    }

    /// Cuts off what a failed append may have left.
    ///
    /// # Errors
    /// The disk's; the outcome of the append stays unknown.
    pub(in super::super) fn restore(&mut self) -> io::Result<()> {
        self.file.set_len(self.end)?;
        self.length = self.end;
        self.file.sync_data()
    }

    /// The same on the file opened anew.
    ///
    /// # Errors
    /// The disk's.
    pub(in super::super) fn reopen(&mut self, location: &dyn Location) -> io::Result<()> {
        let file = location.open_segment(self.number)?;
        if file.len()? < self.end {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the segment of the log is not the one that was open",
            ));
        }
        self.file = file;
        self.restore()
    }
}

/// What a segment holds besides its records.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Scan {
    /// Stretches that are not what was written and synced.
    pub(in super::super) damaged: u64,
    /// Bytes behind the last record that counts, of a write that was not finished and was never acknowledged.
    pub(in super::super) unfinished: u64,
    /// Where the write began that the last record was part of.
    pub(in super::super) last_write: u64,
}

/// Reads a segment after a crash, record by record. With the length of the file, in bytes.
///
/// # Errors
/// The disk's.
pub(in super::super) fn read(
    location: &dyn Location,
    number: u64,
    each: impl FnMut(Record),
) -> io::Result<(Scan, u64)> {
    let file = location.open_segment(number)?;
    let length = usize::try_from(file.len()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut bytes = vec![0; length];
    file.read(0, &mut bytes)?;
    file.close()?;
    Ok((scan(&bytes, number, each), length as u64))
}

/// Makes durable what a crash left: writes a segment's [last write](Scan::last_write) again, and syncs it. A sync alone is not
/// enough. Where one failed before the crash, the kernel takes for written what is not on the disk.
///
/// # Errors
/// The disk's.
pub(in super::super) fn write_again(location: &dyn Location, number: u64, last_write: u64) -> io::Result<()> {
    let file = location.open_segment(number)?;
    // The header is synced with the first write.
    let start = if last_write <= HEADER as u64 { 0 } else { last_write };
    let length =
        usize::try_from(file.len()?.saturating_sub(start)).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut bytes = vec![0; length];
    file.read(start, &mut bytes)?;
    file.write(start, &bytes)?;
    file.sync_data()?;
    file.close()
}

/// Only the last write can be unfinished: each began after the one before it was synced. It counts up to its first gap.
/// A gap in any other write, and one in which nothing is missing, is damage; the records behind it count.
fn scan(bytes: &[u8], number: u64, mut each: impl FnMut(Record)) -> Scan {
    let mut scan = Scan::default();
    // A wrong header was not synced, or is damaged. The records behind it are judged by their own checksums.
    let (mut offset, mut end) = (HEADER.min(bytes.len()), HEADER.min(bytes.len()));
    let mut gap = None;
    // Records of a write that seems to be unfinished.
    let mut held = Vec::new();
    while offset < bytes.len() {
        let place = Place { segment: number, offset: offset as u64 };
        let Some((record, length)) = record::decode(&bytes[offset..], place) else {
            gap = gap.or(Some(offset));
            let Some(next) = record::next_mark(&bytes[offset..]) else { break };
            offset += next;
            continue;
        };
        if let Some(start) = gap {
            if record.write_start(offset) <= start && is_torn(bytes, start..offset, offset) {
                held.push(record);
                offset += length;
                continue;
            }
            scan.damaged += 1;
            gap = None;
            held.drain(..).for_each(&mut each);
        }
        scan.last_write = record.write_start(offset) as u64;
        each(record);
        offset += length;
        end = offset;
    }
    let last = bytes[end..].iter().rposition(|&byte| byte != 0);
    let rest = &bytes[end..last.map_or(end, |last| end + last + 1)];
    let is_unfinished =
        !held.is_empty() || is_cut_short(rest) || is_torn(bytes, end..end + rest.len(), bytes.len());
    if rest.is_empty() || is_unfinished {
        scan.unfinished = rest.len() as u64;
    } else {
        scan.damaged += 1;
    }
    scan
}

/// Whether a record that begins `rest` has no end, which a write that failed halfway leaves: by the byte, if the kernel still
/// had it when the process ended.
fn is_cut_short(rest: &[u8]) -> bool {
    rest.len() < record::extent(rest).unwrap_or(record::FRAME)
}

/// Whether some of what should be in a gap was never written: a sector is still as it was, which is zeros. Sectors are
/// written whole or not at all. A record that begins in the gap may lead up to `most`: beyond the gap there may be zeros that
/// belong to it.
fn is_torn(bytes: &[u8], gap: Range<usize>, most: usize) -> bool {
    let is_zero =
        |range: Range<usize>| bytes[range.start..range.end.min(bytes.len())].iter().all(|byte| *byte == 0);
    let mut start = gap.start;
    while start < gap.end {
        let extent = record::extent(&bytes[start..]);
        let end = start.saturating_add(extent.unwrap_or(record::FRAME)).min(most);
        let mut piece = start;
        while piece < end {
            let next = piece - piece % SECTOR + SECTOR;
            if is_zero(piece..next) {
                return true;
            }
            piece = next;
        }
        if extent.is_none() {
            return false;
        }
        start = end;
    }
    false
}

fn header(number: u64) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(&MAGIC);
    header[8..16].copy_from_slice(&number.to_le_bytes());
    let sum = xxh3_64(&header[..16]);
    header[16..].copy_from_slice(&sum.to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::record::tests::record;
    use super::*;

    /// A segment to which these records were appended in as many writes; and where each record ends.
    fn segment(number: u64, writes: &[Vec<Record>]) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = header(number).to_vec();
        let mut ends = vec![bytes.len()];
        for records in writes {
            let place = Place { segment: number, offset: bytes.len() as u64 };
            let mut write = Vec::new();
            for record in records {
                record.publish().encode(place, &mut write);
                ends.push(bytes.len() + write.len());
            }
            bytes.append(&mut write);
        }
        (bytes, ends)
    }

    fn writes(count: Range<usize>) -> impl Strategy<Value = Vec<Vec<Record>>> {
        prop::collection::vec(prop::collection::vec(record(), 1..12), count)
    }

    fn publishes(records: &[Record]) -> Vec<String> {
        records.iter().map(|record| format!("{:?}", record.publish())).collect()
    }

    fn read_back(bytes: &[u8], number: u64) -> (Vec<Record>, Scan) {
        let mut found = Vec::new();
        let scan = scan(bytes, number, |record| found.push(record));
        (found, scan)
    }

    proptest! {
        #[test]
        fn a_crash_leaves_every_record_before_the_first_sector_that_is_missing(
            writes in writes(1..4),
            missing in prop::collection::vec(any::<bool>(), 32),
            ahead in 0usize..2_000,
        ) {
            let (mut bytes, ends) = segment(7, &writes);
            let last = writes.last().unwrap().len();
            let start = ends[ends.len() - 1 - last];
            bytes.resize(bytes.len() + ahead, 0);
            let mut first = ends[ends.len() - 1];
            for (sector, _) in missing.iter().enumerate().filter(|(_, missing)| **missing) {
                let sector = (start / SECTOR + sector) * SECTOR;
                let range = sector.max(start)..(sector + SECTOR).min(bytes.len());
                // Zeros that are missing are there.
                if let Some(lost) = bytes.get(range.clone()).and_then(|lost| lost.iter().position(|byte| *byte != 0)) {
                    first = first.min(range.start + lost);
                    bytes[range].fill(0);
                }
            }
            let whole = ends.iter().filter(|&&end| end <= first).count() - 1;
            let (found, scan) = read_back(&bytes, 7);
            let records: Vec<_> = writes.into_iter().flatten().collect();
            prop_assert_eq!(found.len(), whole);
            prop_assert!(publishes(&found) == publishes(&records[..whole]));
            prop_assert_eq!(scan.damaged, 0);
        }

        #[test]
        fn a_write_that_is_cut_short_leaves_every_record_before_its_end(
            writes in writes(1..4),
            cut: prop::sample::Index,
            ahead in 0usize..2_000,
        ) {
            let (mut bytes, ends) = segment(7, &writes);
            let start = ends[ends.len() - 1 - writes.last().unwrap().len()];
            let cut = start + cut.index(bytes.len() + 1 - start);
            let missing = bytes.split_off(cut);
            bytes.resize(cut + ahead, 0);
            // Zeros that are missing are there.
            let zeros = missing.iter().take(ahead).take_while(|byte| **byte == 0).count();
            let whole = ends.iter().filter(|&&end| end <= cut + zeros).count() - 1;
            let (found, scan) = read_back(&bytes, 7);
            let records: Vec<_> = writes.into_iter().flatten().collect();
            prop_assert!(publishes(&found) == publishes(&records[..whole]));
            prop_assert_eq!(scan.damaged, 0);
        }

        #[test]
        fn a_changed_byte_costs_one_record_and_is_told(
            writes in writes(1..5),
            index: prop::sample::Index,
            change in 1u8..,
            ahead in 0usize..2_000,
        ) {
            let (mut bytes, ends) = segment(7, &writes);
            let records: Vec<_> = writes.into_iter().flatten().collect();
            let index = ends[0] + index.index(bytes.len() - ends[0]);
            bytes.resize(bytes.len() + ahead, 0);
            let hit = ends.iter().filter(|&&end| end <= index).count() - 1;
            bytes[index] ^= change;
            // A length that leads beyond the last record looks like one whose end is missing.
            let is_length = (4..8).contains(&(index - ends[hit]));
            // So does one that has nothing but zeros in a sector of its own accord.
            let has_zeros = |sector: usize| {
                let piece = (sector * SECTOR).max(ends[hit])..((sector + 1) * SECTOR).min(ends[hit + 1]);
                bytes[piece].iter().all(|byte| *byte == 0)
            };
            let is_empty = (ends[hit] / SECTOR..ends[hit + 1].div_ceil(SECTOR)).any(has_zeros);
            // And the last one, if it ends in zeros.
            let is_cut_short = bytes[ends[hit + 1] - 1] == 0 && hit + 1 == records.len();
            prop_assume!(bytes[index] != 0 && !is_length && !is_empty && !is_cut_short);
            let (found, scan) = read_back(&bytes, 7);
            let mut others = publishes(&records);
            others.remove(hit);
            prop_assert!(publishes(&found) == others);
            prop_assert_eq!((scan.damaged, scan.unfinished), (1, 0));
        }

        #[test]
        fn records_of_another_segment_do_not_count(writes in writes(1..3)) {
            let (bytes, _) = segment(7, &writes);
            prop_assert!(read_back(&bytes, 8).0.is_empty());
        }
    }
}
