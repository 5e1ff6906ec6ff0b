//! Read and write buffers, reused by all connections of a worker.
//!
//! What is read is soon parsed and what is rendered is soon written, so a few buffers are enough, and a connection that
//! waits holds none.

use std::cell::RefCell;

/// The largest buffer that is kept, in bytes; a larger one is freed.
const LARGEST: usize = 16 * 1024;
/// The most buffers that a worker keeps: for the requests read in one pass over the sockets, and a few responses.
const MOST: usize = 256;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer.
pub(crate) fn take() -> Vec<u8> {
    POOL.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Keeps a buffer for the next taker.
pub(crate) fn give(mut buffer: Vec<u8>) {
    if (1..=LARGEST).contains(&buffer.capacity()) {
        buffer.clear();
        POOL.with_borrow_mut(|pool| {
            if pool.len() < MOST {
                pool.push(buffer);
            }
        });
    }
}
