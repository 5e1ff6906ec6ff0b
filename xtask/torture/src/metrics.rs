//! What a server says of itself at `/metrics`.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::client::Client;

pub(super) struct Metrics(String);

impl Metrics {
    pub(super) async fn of(address: SocketAddr) -> Result<Self> {
        let answer = Client::new(address).get("/metrics").await?;
        Ok(Self(String::from_utf8(answer.body.to_vec()).context("metrics are text")?))
    }

    /// The sum of all values whose names begin so.
    pub(super) fn sum(&self, name: &str) -> Result<u64> {
        let lines = self.0.lines().filter(|line| line.starts_with(name));
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        values.reduce(|sum, value| sum + value).with_context(|| format!("/metrics has no {name}"))
    }

    /// The upper bound of the highest bucket of `poll_worker_turn_seconds` that has a turn in it.
    pub(super) fn longest_turn(&self) -> Option<Duration> {
        let (mut before, mut highest) = (0, None);
        for line in self.0.lines() {
            let Some(rest) = line.strip_prefix("poll_worker_turn_seconds_bucket{le=\"") else { continue };
            let (bound, rest) = rest.split_once('"')?;
            let count: u64 = rest.rsplit(' ').next()?.parse().ok()?;
            if count > before {
                highest = Some(bound.parse::<f64>().ok().filter(|bound| bound.is_finite()));
                before = count;
            }
        }
        // A turn beyond the last finite bucket took longer than any bound.
        highest.map(|bound| bound.map_or(Duration::MAX, Duration::from_secs_f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_bucket_with_a_turn_in_it_counts() {
        let text = "poll_worker_turn_seconds_bucket{le=\"0.001\"} 5\npoll_worker_turn_seconds_bucket{le=\"0.02\"} 7\n\
                    poll_worker_turn_seconds_bucket{le=\"+Inf\"} 7\n";
        let longest = |text: &str| Metrics(text.to_owned()).longest_turn();
        assert_eq!(longest(text), Some(Duration::from_millis(20)));
        assert_eq!(longest(&text.replace("+Inf\"} 7", "+Inf\"} 8")), Some(Duration::MAX));
        assert_eq!(longest("nothing"), None);
    }
}
