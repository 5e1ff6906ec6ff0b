//! Bringing memory near before it is needed.
//!
//! What belongs to one of thousands of waiters or channels is far from the processor when its turn comes. Asked for early
//! enough, it arrives while something else is done; asked for all at once, it is waited for once. Nothing here changes
//! what a program does.

use prefetch_index::prefetch_index;

/// What the processor fetches at once, in bytes.
const LINE: usize = 64;

/// Asks for all of a thing.
#[inline]
pub fn fetch<T>(thing: &T) {
    fetch_at(thing, size_of::<T>());
}

/// Asks for `bytes` bytes from an address on. They need not be there, and are not looked at.
#[inline]
pub fn fetch_at<T: ?Sized>(at: *const T, bytes: usize) {
    // The library fetches what has a place beside a slice, whether that is in it or not.
    const SLICE: &[u8] = &[];
    let place = at.addr().wrapping_sub(SLICE.as_ptr().addr());
    (0..bytes).step_by(LINE).for_each(|line| prefetch_index(SLICE, place.wrapping_add(line)));
}
