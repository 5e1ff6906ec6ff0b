//! Reads a redb file page by page, without redb, which returns nothing at all from a file that it refuses.
//!
//! The format is documented by redb (`docs/design.md` in its repository): two commit slots, each pointing to a tree of
//! tables, and each table to a tree of its rows. A page's children are read even if its checksum is wrong; whether a row is
//! intact is decided by its own checksum.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::ops::{Bound, Range};

use redb::StorageBackend;
use xxhash_rust::xxh3::xxh3_128;

/// The page and region size of every file that our servers make.
const PAGE: u64 = 4_096;
const REGION: u64 = PAGE << 20;
/// The largest page that is read: rows are a few megabytes at most.
const LARGEST: u64 = 64 << 20;
/// Our tables in the order in which redb sorts them, and the length of each one's definition.
const TABLES: [(&str, usize); 9] = [
    ("channels", 74),
    ("forks", 79),
    ("format", 73),
    ("keys", 84),
    ("lives", 74),
    ("messages", 80),
    ("names", 73),
    ("producers", 81),
    ("totals", 73),
];
/// Those that came with version 4.
pub(super) const ADDED: [&str; 3] = ["forks", "lives", "producers"];
/// The greatest depth of a tree, as in redb.
const DEPTH: usize = 128;

const SLOTS: [usize; 2] = [64, 192];
const SLOT: usize = 128;
const PRIMARY: u8 = 1;
const UNCLEAN: u8 = 2;
const TWO_PHASES: u8 = 4;
const LEAF: u8 = 1;
const BRANCH: u8 = 2;

/// An open file.
pub(super) struct Pages {
    storage: Box<dyn StorageBackend>,
    length: u64,
    /// Pages that do not match the checksum in their parent.
    bad: RefCell<BTreeSet<u64>>,
}

/// Where a page is, and its checksum.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pointer {
    page: u64,
    sum: u128,
}

/// A commit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    transaction: u64,
    is_whole: bool,
    /// Our tables, and redb's own.
    pub(super) user: Option<Pointer>,
    system: Option<Pointer>,
}

/// The file's header.
pub(super) struct Header {
    /// The newest first.
    pub(super) slots: Vec<Slot>,
    /// Whether the file was closed cleanly.
    pub(super) is_clean: bool,
    /// Whether redb will use the newest commit and no other.
    pub(super) is_sure: bool,
}

/// The size of keys and values, where it is fixed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Widths {
    pub(super) key: Option<usize>,
    pub(super) value: Option<usize>,
}

/// A row.
pub(super) struct Entry {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    /// Whether its page is intact.
    pub(super) is_trusted: bool,
}

impl Pages {
    /// Locks and opens the file; `None` if another process has it. The lock is a shared one, for which a file may be open
    /// only to be read; a server's lock and this one exclude each other.
    pub(super) fn open(storage: Box<dyn StorageBackend>) -> io::Result<Option<Self>> {
        match storage.try_lock_shared_range(Bound::Unbounded, Bound::Unbounded) {
            Ok(true) | Err(redb::BackendError::Unsupported) => {}
            Ok(false) => return Ok(None),
            Err(redb::BackendError::Io(error)) => return Err(error),
            Err(error) => return Err(io::Error::other(error.to_string())),
        }
        let length = storage.len()?;
        Ok(Some(Self { storage, length, bad: RefCell::default() }))
    }

    /// Reads the header.
    pub(super) fn header(&self) -> io::Result<Header> {
        let mut first = vec![0; 512.min(usize::try_from(self.length).unwrap_or(512))];
        self.storage.read(0, &mut first)?;
        let flags = first.get(9).copied().unwrap_or_default();
        let slot = |at: usize| first.get(at..at + SLOT).and_then(slot);
        let is_named = first.starts_with(b"redb\x1a\x0a\xa9\x0d\x0a");
        let primary = usize::from(flags & PRIMARY != 0);
        let mut slots: Vec<_> =
            [primary, 1 - primary].into_iter().filter_map(|one| slot(SLOTS[one])).collect();
        // The magic number or one intact slot is enough to recognise the file.
        if !is_named && !slots.iter().any(|slot| slot.is_whole) {
            slots.clear();
        }
        // As in redb: the primary slot, unless the other is newer. A damaged slot comes last.
        let is_sure = flags & TWO_PHASES != 0 && slots.first().is_some_and(|slot| slot.is_whole);
        if !is_sure {
            slots.sort_by_key(|slot| std::cmp::Reverse((slot.is_whole, slot.transaction)));
        }
        Ok(Header { slots, is_clean: flags & UNCLEAN == 0, is_sure })
    }

    /// How many damaged pages were found.
    pub(super) fn bad(&self) -> u64 {
        self.bad.borrow().len() as u64
    }

    /// Forgets the damaged pages found so far.
    pub(super) fn forget_bad(&self) {
        self.bad.borrow_mut().clear();
    }

    /// Walks all pages of a commit; returns whether all are intact.
    pub(super) fn verify(&self, slot: &Slot) -> bool {
        let before = self.bad();
        for root in [slot.user, slot.system].into_iter().flatten() {
            for (_, table, widths) in self.tables(root) {
                table.into_iter().for_each(|table| self.walk(table, widths).for_each(drop));
            }
        }
        slot.is_whole && self.bad() == before
    }

    /// The root of one of our tables, if it has rows. All are on one page, which everything depends on, so each is
    /// looked for in more than one way: by name, by position, and from either end of its definition.
    pub(super) fn table(&self, root: Pointer, name: &str) -> Option<Pointer> {
        let page = self.read(root.page)?;
        let count = short(page.get(2..4)?)?;
        let leaf = Leaf { page: &page, count, widths: Widths { key: None, value: None } };
        let key = |row| leaf.key(row).and_then(|key| page.get(key));
        let named = (0..count).find(|row| key(*row) == Some(name.as_bytes()));
        let is_old = count == TABLES.len() - ADDED.len();
        let mut sorted = TABLES.iter().filter(|(table, _)| !is_old || !ADDED.contains(table));
        let index = sorted.clone().position(|(other, _)| *other == name)?;
        let (_, length) = sorted.nth(index)?;
        let row = named.or_else(|| (is_old || count == TABLES.len()).then_some(index))?;
        let before = row.checked_sub(1).map_or_else(|| leaf.key_end(count - 1), |row| leaf.value_end(row));
        let behind = leaf.value_end(row).and_then(|end| end.checked_sub(*length));
        [before, behind].into_iter().flatten().find_map(|start| self.definition(page.get(start..)?))?.0
    }

    pub(super) fn has_table(&self, root: Pointer, name: &str) -> bool {
        self.tables(root).any(|(other, ..)| other == name.as_bytes())
    }

    /// All tables: name, root, widths.
    fn tables(&self, root: Pointer) -> impl Iterator<Item = (Vec<u8>, Option<Pointer>, Widths)> {
        let rows = self.walk(root, Widths { key: None, value: None });
        rows.filter_map(|Entry { key, value, .. }| {
            let (table, widths) = self.definition(&value)?;
            Some((key, table, widths))
        })
    }

    /// Parses a table's definition: type, length, whether there is a root, the root and its length, the widths.
    fn definition(&self, value: &[u8]) -> Option<(Option<Pointer>, Widths)> {
        const NORMAL: u8 = 3;
        let (kind, has_root) = (*value.first()?, *value.get(9)?);
        if kind != NORMAL || has_root > 1 {
            return None;
        }
        let root = pointer(value.get(10..34)?).filter(|_| has_root == 1);
        let width = |at: usize| {
            let width = number(value.get(at + 1..at + 5)?)?;
            (*value.get(at)? != 0).then_some(width)
        };
        Some((root, Widths { key: width(42), value: width(47) }))
    }

    /// The rows of a tree, in order.
    pub(super) fn walk(&self, root: Pointer, widths: Widths) -> Walk<'_> {
        let mut walk =
            Walk { pages: self, widths, stack: Vec::new(), rows: VecDeque::new(), seen: BTreeSet::new() };
        walk.stack.push(VecDeque::from([root]));
        walk
    }

    /// The bytes of a page; `None` if they cannot be read.
    fn read(&self, page: u64) -> Option<Vec<u8>> {
        let (index, region, order) = (page & 0xF_FFFF, page >> 20 & 0xF_FFFF, page >> 59);
        let size = PAGE.checked_shl(u32::try_from(order).ok()?).filter(|size| *size <= LARGEST)?;
        let within = (index & 0xF_FFFF >> order) * size;
        let start = PAGE + region * REGION + within;
        if within + size > REGION || start + size > self.length {
            return None;
        }
        let mut bytes = vec![0; usize::try_from(size).ok()?];
        self.storage.read(start, &mut bytes).ok().map(|()| bytes)
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // Unlocks the file. A failure could not be reported anywhere.
        drop(self.storage.close());
    }
}

/// Rows of a tree.
pub(super) struct Walk<'p> {
    pages: &'p Pages,
    widths: Widths,
    /// Pages still to visit, the deepest level last.
    stack: Vec<VecDeque<Pointer>>,
    rows: VecDeque<Entry>,
    /// Pages visited: damage may create cycles.
    seen: BTreeSet<u64>,
}

impl Iterator for Walk<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        loop {
            if let Some(row) = self.rows.pop_front() {
                return Some(row);
            }
            let level = self.stack.last_mut()?;
            let Some(next) = level.pop_front() else {
                self.stack.pop();
                continue;
            };
            if self.seen.insert(next.page) && self.enter(next).is_none() {
                self.pages.bad.borrow_mut().insert(next.page);
            }
        }
    }
}

impl Walk<'_> {
    /// Reads a page's rows or children; `None` if it is damaged.
    fn enter(&mut self, pointer: Pointer) -> Option<()> {
        let page = self.pages.read(pointer.page)?;
        let count = short(page.get(2..4)?)?;
        let is_trusted = |end: Option<usize>| {
            end.and_then(|end| page.get(..end)).is_some_and(|said| xxh3_128(said) == pointer.sum)
        };
        if page[0] == BRANCH {
            let branch = Branch { page: &page, count, key: self.widths.key };
            if self.stack.len() < DEPTH {
                self.stack.push(branch.children());
            }
            return is_trusted(branch.end()).then_some(());
        }
        // Any other type is taken for a leaf: its rows are judged one by one.
        let leaf = Leaf { page: &page, count, widths: self.widths };
        let is_trusted = page[0] == LEAF && is_trusted(leaf.value_end(count.checked_sub(1)?));
        let bytes = |range: Range<usize>| page.get(range).map(<[u8]>::to_vec);
        let row =
            |row| Some(Entry { key: bytes(leaf.key(row)?)?, value: bytes(leaf.value(row)?)?, is_trusted });
        self.rows = (0..count).filter_map(row).collect();
        is_trusted.then_some(())
    }
}

/// An inner page.
struct Branch<'a> {
    page: &'a [u8],
    /// The number of keys; there is one more child.
    count: usize,
    key: Option<usize>,
}

impl Branch<'_> {
    fn children(&self) -> VecDeque<Pointer> {
        let (sums, pages) = (8, 8 + 16 * (self.count + 1));
        let child = |child: usize| {
            let sum = self.page.get(sums + 16 * child..sums + 16 * child + 16)?.try_into().ok()?;
            let page = self.page.get(pages + 8 * child..pages + 8 * child + 8)?.try_into().ok()?;
            Some(Pointer { page: u64::from_le_bytes(page), sum: u128::from_le_bytes(sum) })
        };
        (0..=self.count).map_while(child).collect()
    }

    fn end(&self) -> Option<usize> {
        let keys = 8 + 24 * (self.count + 1);
        match self.key {
            Some(width) => Some(keys + width * self.count),
            None => number(self.page.get(keys + 4 * self.count.checked_sub(1)?..keys + 4 * self.count)?),
        }
    }
}

/// A page of rows.
struct Leaf<'a> {
    page: &'a [u8],
    count: usize,
    widths: Widths,
}

impl Leaf<'_> {
    fn ends(&self, width: Option<usize>) -> usize {
        if width.is_none() { 4 * self.count } else { 0 }
    }

    fn keys(&self) -> usize {
        4 + self.ends(self.widths.key) + self.ends(self.widths.value)
    }

    fn key_end(&self, row: usize) -> Option<usize> {
        match self.widths.key {
            Some(width) => Some(self.keys() + width * (row + 1)),
            None => number(self.page.get(4 + 4 * row..8 + 4 * row)?),
        }
    }

    fn value_end(&self, row: usize) -> Option<usize> {
        match self.widths.value {
            Some(width) => Some(self.key_end(self.count - 1)? + width * (row + 1)),
            None => {
                let at = 4 + self.ends(self.widths.key) + 4 * row;
                number(self.page.get(at..at + 4)?)
            }
        }
    }

    fn key(&self, row: usize) -> Option<Range<usize>> {
        let start = row.checked_sub(1).map_or(Some(self.keys()), |before| self.key_end(before))?;
        Some(start..self.key_end(row)?)
    }

    fn value(&self, row: usize) -> Option<Range<usize>> {
        let first = || self.key_end(self.count - 1);
        let start = row.checked_sub(1).map_or_else(first, |before| self.value_end(before))?;
        Some(start..self.value_end(row)?)
    }
}

fn slot(bytes: &[u8]) -> Option<Slot> {
    let root = |there: usize, at: usize| (bytes[there] != 0).then(|| pointer(&bytes[at..at + 24]))?;
    let transaction = u64::from_le_bytes(bytes[104..112].try_into().ok()?);
    let sum = u128::from_le_bytes(bytes[112..].try_into().ok()?);
    let is_whole = xxh3_128(&bytes[..112]) == sum;
    Some(Slot { transaction, is_whole, user: root(1, 8), system: root(2, 40) })
}

fn pointer(bytes: &[u8]) -> Option<Pointer> {
    let page = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
    Some(Pointer { page, sum: u128::from_le_bytes(bytes.get(8..24)?.try_into().ok()?) })
}

fn number(bytes: &[u8]) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
}

fn short(bytes: &[u8]) -> Option<usize> {
    Some(u16::from_le_bytes(bytes.try_into().ok()?).into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use redb::{Database, backends::FileBackend};

    use super::*;
    use crate::journal::disk::format::{
        CHANNELS, FORKS, FORMAT, KEYS, LIVES, MESSAGES, NAMES, PRODUCERS, TOTALS,
    };

    /// A file with a row in each table.
    fn written() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let database = Database::create(file.path()).unwrap();
        let txn = database.begin_write().unwrap();
        txn.open_table(FORMAT).unwrap().insert("poll", 2).unwrap();
        txn.open_table(TOTALS).unwrap().insert((), &b"x"[..]).unwrap();
        txn.open_table(NAMES).unwrap().insert("a", 0).unwrap();
        txn.open_table(CHANNELS).unwrap().insert(0, &b"x"[..]).unwrap();
        txn.open_table(MESSAGES).unwrap().insert((0, 1), &b"x"[..]).unwrap();
        txn.open_table(KEYS).unwrap().insert((0, 1, 0), &b"x"[..]).unwrap();
        txn.open_table(LIVES).unwrap().insert(0, &b"x"[..]).unwrap();
        txn.open_table(PRODUCERS).unwrap().insert((0, "p"), &b"x"[..]).unwrap();
        txn.open_table(FORKS).unwrap().insert(("a", "b"), ()).unwrap();
        txn.commit().unwrap();
        file
    }

    fn opened(file: &tempfile::NamedTempFile) -> Option<Pages> {
        let file = std::fs::File::open(file.path()).unwrap();
        Pages::open(Box::new(FileBackend::new(file).unwrap())).unwrap()
    }

    fn pages(file: &tempfile::NamedTempFile) -> Pages {
        opened(file).unwrap()
    }

    #[test]
    fn a_file_that_is_only_read_and_a_server_exclude_each_other() {
        let file = written();
        let database = Database::open(file.path()).unwrap();
        assert!(opened(&file).is_none());
        drop(database);
        let pages = pages(&file);
        assert!(matches!(Database::open(file.path()), Err(redb::DatabaseError::DatabaseAlreadyOpen)));
        drop(pages);
        Database::open(file.path()).unwrap();
    }

    #[test]
    fn each_table_is_found_whatever_byte_is_damaged_but_where_it_is() {
        let file = written();
        let before = pages(&file);
        let header = before.header().unwrap();
        assert!(header.is_clean && header.slots.iter().all(|slot| before.verify(slot)));
        let root = header.slots[0].user.unwrap();
        let rows = before.walk(root, Widths { key: None, value: None });
        let lengths: Vec<_> =
            rows.map(|row| (String::from_utf8(row.key).unwrap(), row.value.len())).collect();
        assert_eq!(lengths, TABLES.map(|(name, length)| (name.to_owned(), length)));
        let roots = TABLES.map(|(name, _)| before.table(root, name).unwrap().page);
        drop(before);

        let pages = pages(&file);
        let whole = std::fs::read(file.path()).unwrap();
        let start = usize::try_from(PAGE + (root.page & 0xF_FFFF) * PAGE).unwrap();
        let mut lost = 0;
        for (at, byte) in whole.iter().enumerate().take(start + 1_100).skip(start + 4) {
            file.as_file().write_all_at(&[byte ^ 0x41], at as u64).unwrap();
            let found = TABLES.map(|(name, _)| pages.table(root, name).map(|table| table.page));
            file.as_file().write_all_at(&[*byte], at as u64).unwrap();
            lost += found.iter().zip(roots).filter(|(found, root)| **found != Some(*root)).count();
        }
        // Of each: what says that it is a table, that it has rows, and where.
        assert!(lost <= TABLES.len() * (1 + 1 + 8), "{lost}");
    }
}
