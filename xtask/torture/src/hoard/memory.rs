//! A process's resident memory, sampled from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;

const SAMPLE: Duration = Duration::from_millis(20);

/// Samples until it is stopped.
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
