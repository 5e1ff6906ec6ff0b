//! The demonstration job: ten steps, one a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use poll_core::ChannelName;
use tokio::time::Instant;

use crate::dialect::native;
use crate::message::refusal::Refusal;
use crate::worker::Worker;

const STEPS: u64 = 10;
const PACE: Duration = Duration::from_secs(1);

/// The channel of a new demonstration job.
pub(crate) fn demo_job(worker: &Worker) -> Result<ChannelName, Refusal> {
    Ok(ChannelName::parse(&format!("progress/demo-{:016x}", worker.environment().random()))?)
}

/// Starts a demonstration. It continues without its reader, as real jobs do, and ends after ten steps.
///
/// # Errors
/// 429 if too many are running.
pub(super) fn start(worker: &Worker, job: &ChannelName) -> Result<(), Refusal> {
    let running = Running::begin(worker)?;
    tokio::spawn(run(worker.clone(), job.clone(), running));
    Ok(())
}

async fn run(worker: Worker, job: ChannelName, _running: Running) {
    let begun = Instant::now();
    for step in 1..=STEPS + 1 {
        let report = if step > STEPS {
            native::step(STEPS, STEPS, Some("Complete!".to_owned()), Some("done"))
        } else {
            native::step(step, STEPS, None, None)
        };
        let Ok(publish) = report else { return };
        if let Err(error) = worker.publish(&job, publish).await {
            tracing::warn!(%job, step, %error, "the demonstration job stops");
            return;
        }
        worker.timers().at(begun + PACE * u32::try_from(step).unwrap_or(u32::MAX)).await;
    }
}

/// One running demonstration, counted while it runs.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn begin(worker: &Worker) -> Result<Self, Refusal> {
        let (count, most) = (&worker.server().demo_jobs, worker.settings().demo_jobs);
        let more = |running| (running < most).then_some(running + 1);
        match count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(Self(count.clone())),
            Err(_) => {
                let detail = "as many demonstrations are running as this server allows";
                Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(PACE * 10))
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
