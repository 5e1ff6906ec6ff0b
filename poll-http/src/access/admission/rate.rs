//! A token bucket for each address, stored as the time when it will be full (the generic cell rate algorithm). Memory is
//! bounded, whatever the number of addresses.
//!
//! Our own, because a request that found nothing new gets most of its token back, which libraries do not support.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use poll_core::environment::KeyedMap;
use tokio::time::Instant;

/// The rate of requests from one address.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// No limit.
    Unlimited,
    /// A token bucket.
    Bucket {
        /// Requests per second; above zero.
        per_second: f64,
        /// Requests at once; at least one.
        burst: f64,
    },
}

impl Rate {
    /// `count` per minute, which may all come at once. Zero is no limit.
    pub(crate) fn a_minute(count: u32) -> Self {
        match f64::from(count) {
            0.0 => Self::Unlimited,
            burst => Self::Bucket { per_second: burst / 60.0, burst },
        }
    }
}

/// Addresses in a shard. Beyond it, those with the fullest buckets are dropped.
const MOST: usize = 4_096;
const SHARDS: usize = 16;
/// The part of a token that is returned.
const REFUND: f64 = 0.9;

#[derive(Debug)]
pub(super) struct Buckets {
    cost: Duration,
    depth: Duration,
    begun: Instant,
    /// When each address's bucket is full, since `begun`. Locked for one look-up, or one pass over a full shard.
    shards: [Mutex<KeyedMap<IpAddr, Duration>>; SHARDS],
}

impl Buckets {
    pub(super) fn new(rate: Rate) -> Self {
        let (cost, depth) = match rate {
            Rate::Unlimited => (Duration::ZERO, Duration::ZERO),
            Rate::Bucket { per_second, burst } => {
                let cost = Duration::try_from_secs_f64(1.0 / per_second).unwrap_or(Duration::from_secs(1));
                (cost, cost.mul_f64(burst.max(1.0)))
            }
        };
        Self { cost, depth, begun: Instant::now(), shards: std::array::from_fn(|_| Mutex::default()) }
    }

    /// Takes a token, or returns how long until there is one.
    pub(super) fn charge(&self, address: IpAddr) -> Result<(), Duration> {
        if self.cost.is_zero() {
            return Ok(());
        }
        let now = self.begun.elapsed();
        let mut shard = self.shard(address).lock().unwrap_or_else(PoisonError::into_inner);
        let full = shard.get(&address).copied().unwrap_or_default().max(now) + self.cost;
        if full > now + self.depth {
            return Err(full - now - self.depth);
        }
        if shard.len() >= MOST && !shard.contains_key(&address) {
            make_room(&mut shard, now);
        }
        shard.insert(address, full);
        Ok(())
    }

    pub(super) fn refund(&self, address: IpAddr) {
        if self.cost.is_zero() {
            return;
        }
        let mut shard = self.shard(address).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(full) = shard.get_mut(&address) {
            *full = full.saturating_sub(self.cost.mul_f64(REFUND));
        }
    }

    fn shard(&self, address: IpAddr) -> &Mutex<KeyedMap<IpAddr, Duration>> {
        // An attacker with many addresses can fill one shard, which costs others only accuracy.
        let sum = match address {
            IpAddr::V4(address) => address.octets().iter().map(|&octet| usize::from(octet)).sum::<usize>(),
            IpAddr::V6(address) => address.octets().iter().map(|&octet| usize::from(octet)).sum(),
        };
        &self.shards[sum % SHARDS]
    }
}

/// Drops full buckets, which are as good as none, or else the fuller half.
fn make_room(shard: &mut KeyedMap<IpAddr, Duration>, now: Duration) {
    shard.retain(|_, full| *full > now);
    if shard.len() < MOST {
        return;
    }
    let mut times: Vec<Duration> = shard.values().copied().collect();
    let middle = times.len() / 2;
    let (_, median, _) = times.select_nth_unstable(middle);
    let median = *median;
    shard.retain(|_, full| *full > median);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_then_a_rate_and_nothing_new_costs_a_tenth() {
        let buckets = Buckets::new(Rate::Bucket { per_second: 10.0, burst: 20.0 });
        let address = IpAddr::from([1, 2, 3, 4]);
        for _ in 0..20 {
            assert_eq!(buckets.charge(address), Ok(()));
        }
        assert_eq!(buckets.charge(address), Err(Duration::from_millis(100)));
        assert_eq!(buckets.charge(IpAddr::from([1, 2, 3, 5])), Ok(()));
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(buckets.charge(address), Ok(()));
        tokio::time::advance(Duration::from_secs(10)).await;
        for _ in 0..190 {
            assert_eq!(buckets.charge(address), Ok(()));
            buckets.refund(address);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn ten_thousand_strangers_and_more_take_bounded_room() {
        let buckets = Buckets::new(Rate::Bucket { per_second: 1.0, burst: 2.0 });
        for number in 0..200_000u32 {
            let _ = buckets.charge(IpAddr::V4(number.into()));
        }
        let held: usize = buckets.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(held <= MOST * SHARDS, "{held}");
    }
}
