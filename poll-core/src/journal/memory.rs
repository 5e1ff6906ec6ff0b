//! The journal that keeps nothing: the log in memory is all there is, and it ends with the process.

use super::{Append, Journal, Mint, Taken};

/// Keeps nothing beyond the log in memory.
#[derive(Debug, Clone, Copy, Default)]
pub struct MemoryJournal;

impl Journal for MemoryJournal {
    fn append(&self, append: Append, mint: &mut Mint<'_>) -> Taken {
        Taken::Kept(mint.mint(append))
    }

    fn queues(&self) -> bool {
        false
    }
}
