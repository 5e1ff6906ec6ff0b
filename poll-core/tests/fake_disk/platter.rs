//! One file: what the platter holds, and what is only in the cache.

use tokio::time::Instant;

/// The unit that is written whole or not at all, in bytes.
const SECTOR: usize = 512;

/// See the [module](self).
#[derive(Clone, Debug, Default)]
pub(crate) struct Platter {
    cached: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<Change>,
    /// Since when a sync has reported success without having written. The next real one makes up for it.
    lied: Option<Instant>,
    /// The same where nothing makes up for it any more: what was to be written is forgotten.
    lost: Option<Instant>,
}

#[derive(Clone, Debug)]
enum Change {
    Length(usize),
    Bytes(usize, Vec<u8>),
}

impl Platter {
    /// What a program reads.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.cached
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        put(&mut self.cached, offset, bytes);
        self.unsynced.push(Change::Bytes(offset, bytes.to_vec()));
    }

    pub(super) fn set_len(&mut self, length: usize) {
        self.cached.resize(length, 0);
        self.unsynced.push(Change::Length(length));
    }

    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.unsynced) {
            match change {
                Change::Length(length) => self.synced.resize(length, 0),
                Change::Bytes(offset, bytes) => put(&mut self.synced, offset, &bytes),
            }
        }
        self.lied = None;
    }

    /// A sync does nothing, but reports success.
    pub(super) fn lie(&mut self) {
        if !self.is_synced() {
            self.lied.get_or_insert_with(Instant::now);
        }
    }

    /// Since when something is not on the platter although a sync reported success.
    pub(super) fn lied(&self) -> Option<Instant> {
        self.lost.or(self.lied)
    }

    pub(crate) fn is_synced(&self) -> bool {
        self.unsynced.is_empty()
    }

    /// As kernels do after a failed sync: what was not synced counts as clean, and is never written. The file's length is not
    /// content, and is kept.
    pub(super) fn forget_unsynced(&mut self) {
        self.unsynced.clear();
        if self.cached.len() != self.synced.len() {
            self.unsynced.push(Change::Length(self.cached.len()));
        }
        self.lost = self.lost.or(self.lied.take());
    }

    /// The power fails. `luck` says of each unsynced change whether it survives, of a write for each sector by itself.
    pub(super) fn crash(&mut self, mut luck: impl FnMut() -> bool) {
        for change in std::mem::take(&mut self.unsynced) {
            match change {
                Change::Length(length) if luck() => self.synced.resize(length, 0),
                Change::Length(_) => {}
                Change::Bytes(mut offset, bytes) => {
                    let mut left = bytes.as_slice();
                    while !left.is_empty() {
                        let (sector, rest) = left.split_at(left.len().min(SECTOR - offset % SECTOR));
                        if luck() {
                            put(&mut self.synced, offset, sector);
                        }
                        (offset, left) = (offset + sector.len(), rest);
                    }
                }
            }
        }
        self.cached.clone_from(&self.synced);
        (self.lied, self.lost) = (None, None);
    }

    /// Changes bits of a byte, in the cache and on the platter.
    pub(crate) fn flip(&mut self, at: usize, bits: u8) {
        for bytes in [&mut self.cached, &mut self.synced] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= bits;
            }
        }
    }
}

fn put(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    file.resize(file.len().max(end), 0);
    file[offset..end].copy_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_synced_survives_without_luck() {
        let mut file = Platter::default();
        file.write(0, b"kept");
        file.sync();
        file.write(0, b"lost");
        file.set_len(2);
        assert_eq!(file.bytes(), b"lo");
        file.crash(|| false);
        assert_eq!(file.bytes(), b"kept");
    }

    #[test]
    fn a_write_is_torn_between_sectors() {
        let mut file = Platter::default();
        file.write(SECTOR - 1, b"abc");
        let mut is_first = true;
        file.crash(|| std::mem::take(&mut is_first));
        assert_eq!(file.bytes().last(), Some(&b'a'));
        assert_eq!(file.bytes().len(), SECTOR);
    }

    #[test]
    fn a_failed_sync_loses_what_was_written_and_keeps_the_length() {
        let mut file = Platter::default();
        file.write(0, b"kept");
        file.sync();
        file.set_len(6);
        file.write(1, b"lost");
        file.forget_unsynced();
        assert_eq!(file.bytes(), b"klost\0");
        file.sync();
        file.crash(|| false);
        assert_eq!(file.bytes(), b"kept\0\0");
    }

    #[test]
    fn a_lie_is_made_up_for_by_the_next_sync_unless_its_changes_were_forgotten() {
        let mut file = Platter::default();
        file.write(0, b"once");
        file.lie();
        assert!(file.lied().is_some());
        file.sync();
        assert_eq!(file.lied(), None);
        file.write(0, b"more");
        file.lie();
        file.forget_unsynced();
        file.sync();
        assert!(file.lied().is_some());
        file.crash(|| true);
        assert_eq!((file.bytes(), file.lied()), (&b"once"[..], None));
    }
}
