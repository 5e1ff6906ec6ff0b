//! Long-poll fan-out: everybody waits on one channel, a message is published once all wait, everybody must get it and
//! ask again; and so on.
//!
//! Each publish waits until the one before it has come to rest, so the latency is that of a whole fan-out.

use anyhow::Result;

use super::{LOOK, SHORT_LOOK, Stopwatch, Target};
use crate::figures::Round;
use crate::load::{Due, Load, Role};
use crate::wire::Ask;

pub(crate) struct FanOut {
    pub(crate) waiters: u32,
    pub(crate) publishes: u32,
}

impl FanOut {
    pub(super) fn run(&self, target: &Target, ask: &Ask) -> Result<Round> {
        let mut load = Load::new(target, ask, 1)?;
        let publisher = load.open_publisher()?;
        for _ in 0..self.waiters {
            load.open(Role::Waiter, 0, Due { next: 1, step: 1 })?;
        }
        self.measure(target, load, publisher)
    }

    /// The same with waiters that have come already.
    pub(crate) fn measure(&self, target: &Target, mut load: Load, publisher: usize) -> Result<Round> {
        load.settle(&target.processes, LOOK)?;
        // The first is for whatever is made on first use.
        self.publish(&mut load, publisher)?;
        load.settle(&target.processes, LOOK)?;
        load.begin();
        let watch = Stopwatch::start(target, &load)?;
        for _ in 0..self.publishes {
            self.publish(&mut load, publisher)?;
            load.settle(&target.processes, SHORT_LOOK)?;
        }
        load.settle(&target.processes, LOOK)?;
        watch.stop(u64::from(self.publishes) * u64::from(self.waiters), &load, load.tally().latency())
    }

    /// One message to everybody.
    fn publish(&self, load: &mut Load, publisher: usize) -> Result<()> {
        let all = load.tally().delivered + u64::from(self.waiters);
        load.publish(publisher, 0)?;
        load.until("a message to reach every waiter", |load| {
            load.tally().delivered == all && load.is_free(publisher)
        })
    }
}
