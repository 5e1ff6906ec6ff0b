//! Random numbers from the seed, one stream of them for each part of the simulation.
//!
//! So a change of one part leaves the numbers of the others as they were.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// A stream of random numbers. A clone goes on in the same stream.
#[derive(Clone, Debug)]
pub(crate) struct Random(Arc<Mutex<StdRng>>);

impl Random {
    /// The stream of a part.
    pub(crate) fn new(seed: u64, part: u64) -> Self {
        let seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(part);
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    pub(crate) fn bits(&self) -> u64 {
        self.stream().random()
    }

    pub(crate) fn below(&self, end: u64) -> u64 {
        self.within(0..end)
    }

    pub(crate) fn within(&self, range: std::ops::Range<u64>) -> u64 {
        self.stream().random_range(range)
    }

    /// One of these.
    pub(crate) fn choose<T: Copy>(&self, from: &[T]) -> T {
        let index = self.stream().random_range(0..from.len());
        from[index]
    }

    /// Yes, once in so many times.
    pub(crate) fn once_in(&self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn stream(&self) -> MutexGuard<'_, StdRng> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
