//! The journal that keeps nothing: the log in memory is all there is, and it ends with the process.

use super::{Append, Journal, Taken};

/// Keeps nothing beyond the log in memory.
#[derive(Debug, Clone, Copy, Default)]
pub struct MemoryJournal;

impl Journal for MemoryJournal {
    fn append(&self, append: Append) -> Taken {
        Taken::Kept(append)
    }

    fn queues(&self) -> bool {
        false
    }
}
