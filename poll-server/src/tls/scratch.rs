//! Buffers that the connections of a worker share, because each is in use within one call only.
//!
//! What: one for what is received, one for what is sent.
//! Why: ten thousand connections that wait would otherwise keep a record's size each, twice.

use std::cell::RefCell;

/// The largest record on the wire: 16 KiB, and what TLS 1.2 lets a cipher add (RFC 5246, section 6.2.3).
pub(super) const RECORD: usize = 5 + (16 << 10) + 2048;

/// What of a buffer is kept for the next.
const KEPT: usize = 2 * RECORD;

thread_local! {
    static RECEIVED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static SENT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lends a buffer of at least `length` bytes, whose content is anything, for what is received.
pub(super) fn for_receiving<T>(length: usize, work: impl FnOnce(&mut [u8]) -> T) -> T {
    RECEIVED.with(|buffer| lend(buffer, length, work))
}

/// The same for what is sent.
pub(super) fn for_sending<T>(length: usize, work: impl FnOnce(&mut [u8]) -> T) -> T {
    SENT.with(|buffer| lend(buffer, length, work))
}

fn lend<T>(shared: &RefCell<Vec<u8>>, length: usize, work: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut buffer = shared.take();
    if buffer.len() < length {
        buffer.resize(length, 0);
    }
    let done = work(&mut buffer);
    if buffer.len() <= KEPT {
        shared.replace(buffer);
    }
    done
}
