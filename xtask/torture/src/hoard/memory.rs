//! What the server takes: its resident memory, sampled from outside, and its workers' turns, from its own metrics.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::http1::Connection;

const SAMPLE: Duration = Duration::from_millis(20);

/// Samples a process's resident memory until it is stopped.
pub(super) struct Watch {
    over: Arc<AtomicBool>,
    peak: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Watch {
    pub(super) fn start(process: u32) -> Self {
        let (over, peak) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (ended, highest) = (over.clone(), peak.clone());
        let thread = std::thread::spawn(move || {
            let statm = format!("/proc/{process}/statm");
            while !ended.load(Ordering::Relaxed) {
                let text = std::fs::read_to_string(&statm).unwrap_or_default();
                let pages: u64 =
                    text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default();
                highest.fetch_max(pages * rustix::param::page_size() as u64, Ordering::Relaxed);
                std::thread::park_timeout(SAMPLE);
            }
        });
        Self { over, peak, thread }
    }

    /// The most that was resident, in bytes.
    pub(super) fn stop(self) -> Result<u64> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        self.thread.join().map_err(|_| anyhow::anyhow!("the watch panicked"))?;
        Ok(self.peak.load(Ordering::Relaxed))
    }
}

/// The upper bound of the highest bucket of `poll_worker_turn_seconds` that has any turn in it; `None` where the server
/// has no such metric.
pub(super) async fn longest_turn(address: SocketAddr) -> Result<Option<Duration>> {
    let mut connection = Connection::open(address).await?;
    connection.ask("GET", "/metrics", &[], "").await?;
    let answer = connection.answer().await?;
    let text = std::str::from_utf8(&answer.body).context("metrics are text")?;
    Ok(highest_bucket(text))
}

fn highest_bucket(text: &str) -> Option<Duration> {
    let mut before = 0;
    let mut highest = None;
    for line in text.lines() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_bucket_with_a_turn_in_it_counts() {
        let text = "poll_worker_turn_seconds_bucket{le=\"0.001\"} 5\npoll_worker_turn_seconds_bucket{le=\"0.02\"} 7\n\
                    poll_worker_turn_seconds_bucket{le=\"+Inf\"} 7\n";
        assert_eq!(highest_bucket(text), Some(Duration::from_millis(20)));
        let over = text.replace("+Inf\"} 7", "+Inf\"} 8");
        assert_eq!(highest_bucket(&over), Some(Duration::MAX));
        assert_eq!(highest_bucket("nothing"), None);
    }
}
