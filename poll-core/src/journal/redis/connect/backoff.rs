//! How long to wait before a connection is tried again.

use std::time::Duration;

use crate::environment::Environment;

const FIRST: Duration = Duration::from_millis(20);
const MOST: Duration = Duration::from_secs(1);

/// Doubles from 20 ms to a second. Each wait is a random part of that, at least half, so that the servers that lost the
/// same Redis do not come back to it at once.
pub(crate) struct Backoff {
    environment: Environment,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(environment: &Environment) -> Self {
        Self { environment: environment.clone(), next: FIRST }
    }

    /// The connection worked.
    pub(crate) fn reset(&mut self) {
        self.next = FIRST;
    }

    pub(crate) fn next(&mut self) -> Duration {
        let most = self.next;
        self.next = (most * 2).min(MOST);
        most / 2 + most.mul_f64((self.environment.random() >> 12) as f64 / (1u64 << 52) as f64) / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_grow_to_a_second_and_differ() {
        let mut backoff = Backoff::new(&Environment::seeded(1));
        let waits: Vec<_> = (0..20).map(|_| backoff.next()).collect();
        assert!(waits[0] >= FIRST / 2 && waits[0] <= FIRST);
        assert!(waits.iter().all(|wait| *wait <= MOST), "{waits:?}");
        assert!(waits[10..].iter().all(|wait| *wait >= MOST / 2), "{waits:?}");
        assert!(waits[10..].windows(2).any(|two| two[0] != two[1]), "{waits:?}");
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
