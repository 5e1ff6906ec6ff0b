//! Reading the newest message of a channel that retains many.
//!
//! The channel retains exactly as many as it is given before, so that at every size each message published while reads
//! are measured replaces the oldest.

use anyhow::Result;
use indicatif::ProgressBar;

use super::fan_out::FanOut;
use super::short::Short;
use crate::counts::Due;
use crate::endpoints::ReadTemplate;
use crate::load::{Load, Role};
use crate::results::Round;
use crate::target::Target;

/// By long polls that wait for it.
pub(crate) fn long(target: &Target, read: &ReadTemplate, retained: u32, fan_out: &FanOut) -> Result<Round> {
    let mut load = Load::new(target, read, 1)?;
    let publisher = fill(&mut load, retained)?;
    // The first reads everything, and so gives the others a position at the end.
    load.open(Role::Waiter, 0, Due::from(1))?;
    load.until("everything to be read", |load| load.counts().delivered == u64::from(retained))?;
    for _ in 1..fan_out.waiters {
        load.open(Role::Waiter, 0, Due::from(retained + 1))?;
    }
    fan_out.measure(target, load, publisher)
}

/// By short polls that know all but the last.
pub(crate) fn short(target: &Target, read: &ReadTemplate, retained: u32, short: &Short) -> Result<Round> {
    let known = format!("{}&last_id={}", read.target, retained.saturating_sub(1));
    let mut load = Load::new(target, &ReadTemplate { target: known, ..read.clone() }, 1)?;
    fill(&mut load, retained)?;
    short.measure(target, load)
}

/// Publishes by one connection, so that the order is certain; returns it.
fn fill(load: &mut Load, retained: u32) -> Result<usize> {
    let publisher = load.open_publishers(1)?[0];
    let progress = ProgressBar::new(u64::from(retained));
    load.publish_all(&[publisher], retained, |load, publisher| {
        let number = load.publish(publisher, 0)?;
        progress.set_position(u64::from(number));
        Ok(number)
    })?;
    Ok(publisher)
}
