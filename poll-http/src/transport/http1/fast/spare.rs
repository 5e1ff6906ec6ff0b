//! Buffers for the next request or answer.
//!
//! What is read is answered soon, and what is made is written soon, so a few buffers serve all connections of a worker.

use std::cell::RefCell;

/// The largest buffer that is kept, in bytes; a larger one is given back to the allocator.
const LARGEST: usize = 16 * 1024;
/// The most buffers that a worker keeps: what it reads of sockets in one go, and a few answers.
const MOST: usize = 256;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer.
pub(crate) fn take() -> Vec<u8> {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Keeps a buffer that is done with.
pub(crate) fn give(mut buffer: Vec<u8>) {
    if (1..=LARGEST).contains(&buffer.capacity()) {
        buffer.clear();
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < MOST {
                spare.push(buffer);
            }
        });
    }
}
