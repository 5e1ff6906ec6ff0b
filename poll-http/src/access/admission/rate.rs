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

/// A rate in the terms of the algorithm.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    /// How much later the bucket is full after each request; zero without a limit.
    each: Duration,
    depth: Duration,
}

impl From<Rate> for Cost {
    fn from(rate: Rate) -> Self {
        match rate {
            Rate::Unlimited => Self { each: Duration::ZERO, depth: Duration::ZERO },
            Rate::Bucket { per_second, burst } => {
                let each = Duration::try_from_secs_f64(1.0 / per_second).unwrap_or(Duration::from_secs(1));
                Self { each, depth: each.mul_f64(burst.max(1.0)) }
            }
        }
    }
}

#[derive(Debug)]
pub(super) struct Buckets {
    begun: Instant,
    /// When each address's bucket is full, since `begun`. Locked for one look-up, or one pass over a full shard.
    shards: [Mutex<KeyedMap<IpAddr, Duration>>; SHARDS],
}

impl Buckets {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), shards: std::array::from_fn(|_| Mutex::default()) }
    }

    /// Takes a token, or returns how long until there is one.
    pub(super) fn charge(&self, address: IpAddr, cost: Cost) -> Result<(), Duration> {
        if cost.each.is_zero() {
            return Ok(());
        }
        let now = self.begun.elapsed();
        let mut shard = self.shard(address).lock().unwrap_or_else(PoisonError::into_inner);
        let full = shard.get(&address).copied().unwrap_or_default().max(now) + cost.each;
        if full > now + cost.depth {
            return Err(full - now - cost.depth);
        }
        if shard.len() >= MOST && !shard.contains_key(&address) {
            make_room(&mut shard, now);
        }
        shard.insert(address, full);
        Ok(())
    }

    pub(super) fn refund(&self, address: IpAddr, cost: Cost) {
        if cost.each.is_zero() {
            return;
        }
        let mut shard = self.shard(address).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(full) = shard.get_mut(&address) {
            *full = full.saturating_sub(cost.each.mul_f64(REFUND));
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
        let buckets = Buckets::new();
        let cost = Rate::Bucket { per_second: 10.0, burst: 20.0 }.into();
        let address = IpAddr::from([1, 2, 3, 4]);
        for _ in 0..20 {
            assert_eq!(buckets.charge(address, cost), Ok(()));
        }
        assert_eq!(buckets.charge(address, cost), Err(Duration::from_millis(100)));
        assert_eq!(buckets.charge(IpAddr::from([1, 2, 3, 5]), cost), Ok(()));
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(buckets.charge(address, cost), Ok(()));
        tokio::time::advance(Duration::from_secs(10)).await;
        for _ in 0..190 {
            assert_eq!(buckets.charge(address, cost), Ok(()));
            buckets.refund(address, cost);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn ten_thousand_strangers_and_more_take_bounded_room() {
        let buckets = Buckets::new();
        let cost = Rate::Bucket { per_second: 1.0, burst: 2.0 }.into();
        for number in 0..200_000u32 {
            let _ = buckets.charge(IpAddr::V4(number.into()), cost);
        }
        let held: usize = buckets.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(held <= MOST * SHARDS, "{held}");
    }
}
