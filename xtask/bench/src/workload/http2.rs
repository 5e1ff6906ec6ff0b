//! Long polls over HTTP/2, many on few connections: fan-out, and the memory of those that wait.

use std::time::Duration;

use anyhow::Result;

use crate::http2::Http2Load;
use crate::meter::{Stopwatch, resident};
use crate::results::Round;
use crate::target::{Shape, Target};

/// How long waiters are left alone before memory is read: by then the server has returned to the system what it freed
/// while they came.
pub(crate) const SETTLE: Duration = Duration::from_secs(2);

/// So many messages one after another, each once all wait again.
pub(crate) fn fan_out(target: &Target, shape: Shape, publishes: u32) -> Result<Round> {
    let load = Http2Load::connect(target, shape)?;
    load.ask(|_| {})?;
    let watch = Stopwatch::start(&target.processes)?;
    for _ in 0..publishes {
        load.publish(|_| {})?;
        load.ask(|_| {})?;
    }
    let (deliveries, latency) = load.counts(|counts| (counts.delivered, counts.latency()));
    watch.stop(deliveries, latency)
}

/// What the waiters add to resident memory. The server must be fresh: memory that it kept from others would hide theirs.
pub(crate) fn idle(target: &Target, shape: Shape, settle: Duration) -> Result<Round> {
    let before = resident(&target.processes)?;
    let watch = Stopwatch::start(&target.processes)?;
    let load = Http2Load::connect(target, shape)?;
    load.ask(|_| {})?;
    load.rest(settle)?;
    let round = watch.stop(u64::from(shape.waiters), None)?;
    Ok(Round { resident: Some(resident(&target.processes)?.saturating_sub(before)), ..round })
}
