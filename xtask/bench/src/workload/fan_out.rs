//! Long-poll fan-out: everybody waits on one channel, and once all wait a message is published; everybody must receive
//! it and ask again, before the next.

use std::time::Duration;

use anyhow::Result;

use super::stopwatch::{LOOK, Stopwatch};
use crate::counts::Due;
use crate::endpoints::ReadTemplate;
use crate::load::{Load, Role};
use crate::results::Round;
use crate::target::Target;

/// Between two looks at whether all wait again.
const SHORT_LOOK: Duration = Duration::from_millis(5);

pub(crate) struct FanOut {
    pub(crate) waiters: u32,
    pub(crate) publishes: u32,
}

impl FanOut {
    pub(crate) fn run(&self, target: &Target, read: &ReadTemplate) -> Result<Round> {
        let mut load = Load::new(target, read, 1)?;
        let publisher = load.open_publishers(1)?[0];
        for _ in 0..self.waiters {
            load.open(Role::Waiter, 0, Due::from(1))?;
        }
        self.measure(target, load, publisher)
    }

    /// With waiters that are connected already.
    pub(super) fn measure(&self, target: &Target, mut load: Load, publisher: usize) -> Result<Round> {
        load.settle(LOOK)?;
        // The first pays for what is allocated on first use.
        self.publish(&mut load, publisher)?;
        load.settle(LOOK)?;
        load.counts_mut().reset_latency();
        let watch = Stopwatch::start(&target.processes)?;
        for _ in 0..self.publishes {
            self.publish(&mut load, publisher)?;
            load.settle(SHORT_LOOK)?;
        }
        load.settle(LOOK)?;
        let deliveries = u64::from(self.publishes) * u64::from(self.waiters);
        watch.stop(deliveries, load.counts().latency())
    }

    fn publish(&self, load: &mut Load, publisher: usize) -> Result<()> {
        let all = load.counts().delivered + u64::from(self.waiters);
        load.publish(publisher, 0)?;
        load.until("a message to reach every waiter", |load| {
            load.counts().delivered == all && load.is_free(publisher)
        })
    }
}
