//! What only these tests do to the disk: they look at what is on it, and damage what they find.

pub(crate) use crate::fake_disk::{Counts, DATABASE, Event, FakeDisk, Fault};

impl FakeDisk {
    /// Another disk with the same on it.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::default();
        copy.lock().files = self.lock().files.clone();
        copy
    }

    /// How often what was done.
    pub(crate) fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// All of the database.
    pub(crate) fn contents(&self) -> Vec<u8> {
        self.lock().database().bytes().to_vec()
    }

    /// The numbers of the segments.
    pub(crate) fn segments(&self) -> Vec<u64> {
        self.lock().segments()
    }

    /// The length of what is in a segment; zeros behind that do not count.
    pub(crate) fn segment_len(&self, number: u64) -> usize {
        self.lock().files[&number].bytes().iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
    }

    /// Makes every page that holds `text` senseless; says how many there were.
    pub(crate) fn spoil(&self, text: &str) -> usize {
        let pages = self.pages_with(text);
        for at in pages.iter().flat_map(|page| *page..page + 16) {
            let byte = self.lock().database().bytes()[at];
            self.flip(DATABASE, at, !byte);
        }
        pages.len()
    }

    /// Has the first row of every page that holds `text` claim more bytes than the page has. The keys of these rows have one
    /// length, so behind the page's head (4 bytes) is where each value ends.
    pub(crate) fn overrun(&self, text: &str) {
        let pages = self.pages_with(text);
        assert!(!pages.is_empty(), "there is nothing like that");
        pages.into_iter().for_each(|page| self.flip(DATABASE, page + 5, 0x20));
    }

    /// Where `text` lies can no longer be read.
    pub(crate) fn break_sector(&self, text: &str) {
        let page = *self.pages_with(text).last().expect("a page that holds it");
        self.lock().bad_sector = Some(page);
    }

    fn pages_with(&self, text: &str) -> Vec<usize> {
        let places = self.places(text.len(), |bytes| bytes == text.as_bytes());
        let mut pages: Vec<usize> = places.into_iter().map(|place| place / 4096 * 4096).collect();
        pages.dedup();
        pages
    }

    /// Where so many bytes of the database fit.
    fn places(&self, length: usize, fits: impl Fn(&[u8]) -> bool) -> Vec<usize> {
        let mut state = self.lock();
        let windows = state.database().bytes().windows(length).enumerate();
        windows.filter(|(_, there)| fits(there)).map(|(at, _)| at).collect()
    }

    /// Changes a bit, wherever these bytes lie.
    pub(crate) fn damage(&self, bytes: &[u8]) {
        self.damage_where(bytes.len(), |there| there == bytes);
    }

    /// Changes a bit at the beginning of what `fits`, but not of its first byte, wherever that lies.
    pub(crate) fn damage_where(&self, length: usize, fits: impl Fn(&[u8]) -> bool) {
        assert!(self.lock().database().is_synced(), "it would be written over");
        let places = self.places(length, fits);
        assert!(!places.is_empty(), "there is nothing like that");
        places.into_iter().for_each(|at| self.flip(DATABASE, at + 1, 0x20));
    }
}
