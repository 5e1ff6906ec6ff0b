//! Connections that publish to one channel as fast as they are acknowledged, while nobody reads.

use anyhow::Result;

use super::stopwatch::{LOOK, Stopwatch};
use crate::endpoints::ReadTemplate;
use crate::load::Load;
use crate::results::Round;
use crate::target::Target;

/// Connections that publish.
pub(crate) const PUBLISHERS: u32 = 16;

pub(crate) fn run(target: &Target, read: &ReadTemplate, publishes: u32) -> Result<Round> {
    let mut load = Load::new(target, read, 1)?;
    let publishers = load.open_publishers(PUBLISHERS)?;
    measure(target, load, &publishers, publishes)
}

/// With publishers that are connected already.
pub(super) fn measure(
    target: &Target,
    mut load: Load,
    publishers: &[usize],
    publishes: u32,
) -> Result<Round> {
    let one = |load: &mut Load, publisher| load.publish(publisher, 0);
    // The first of each connection pays for what is allocated on first use.
    load.publish_all(publishers, PUBLISHERS, one)?;
    load.settle(LOOK)?;
    let watch = Stopwatch::start(&target.processes)?;
    load.publish_all(publishers, publishes, one)?;
    load.settle(LOOK)?;
    watch.stop(u64::from(publishes), None)
}
