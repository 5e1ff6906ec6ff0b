//! What happened when, as one number: two runs of a seed must have the same. Also as text, to look into one.

use std::cell::{Cell, RefCell};

use tokio::time::Instant;

thread_local! {
    static HASH: Cell<u64> = const { Cell::new(0) };
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
    static STORY: RefCell<Option<Story>> = const { RefCell::new(None) };
}

/// A run in words.
#[derive(Debug, Default)]
pub(crate) struct Story {
    /// What is worth telling.
    pub(crate) lines: Vec<String>,
    /// Everything that was taken down.
    pub(crate) notes: Vec<String>,
}

/// Begins a run. A story is told of it where one is wanted.
pub(crate) fn begin(story: bool) {
    HASH.set(0);
    BEGAN.set(Some(Instant::now()));
    STORY.set(story.then(Story::default));
}

/// Takes down that something happened now.
pub(crate) fn note(what: &'static str, number: u64) {
    let millis = elapsed();
    let mut hash = HASH.get();
    for bits in [what.len() as u64, what.bytes().map(u64::from).sum(), number, millis] {
        hash = (hash.rotate_left(5) ^ bits).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
    HASH.set(hash);
    STORY.with_borrow_mut(|story| {
        if let Some(story) = story {
            story.notes.push(format!("{millis:8} ms  {what} {number}"));
        }
    });
}

/// Adds a line to the story, and takes it down.
pub(crate) fn tell(line: impl FnOnce() -> String) {
    note("line", 0);
    STORY.with_borrow_mut(|story| {
        if let Some(story) = story {
            story.lines.push(format!("{:8} ms  {}", elapsed(), line()));
        }
    });
}

/// The number and the story of the run.
pub(crate) fn end() -> (u64, Story) {
    (HASH.get(), STORY.take().unwrap_or_default())
}

fn elapsed() -> u64 {
    BEGAN.get().map_or(0, |began| u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX))
}
