//! Publishing to one channel, beside other channels that hold a message each or on which somebody waits.

use anyhow::{Context as _, Result};

use crate::figures::Round;
use crate::load::{Due, Load, Role};
use crate::progress::Progress;
use crate::scenario::{LOOK, Stopwatch, Target, publish};

/// Connections that publish.
const PUBLISHERS: u32 = 16;

pub(super) struct Beside {
    /// In all, with the one that is published to.
    pub(super) channels: u32,
    /// Who waits, each on a channel that is yet to be born.
    pub(super) waiters: u32,
    /// How many publishes are measured.
    pub(super) publishes: u32,
}

impl Beside {
    pub(super) fn run(&self, target: &Target) -> Result<Round> {
        let ask = target.wire.long.as_ref().context("ours knows long polls")?;
        let mut load = Load::new(target, ask, 1 + self.waiters as usize)?;
        let publishers = (0..PUBLISHERS).map(|_| load.open_publisher()).collect::<Result<Vec<_>>>()?;
        self.bear(&mut load, &publishers)?;
        for topic in 1..=self.waiters {
            load.open(Role::Waiter, topic as usize, Due { next: 1, step: 1 })?;
        }
        let one = |load: &mut Load, publisher| load.publish(publisher, 0).map(|_| ());
        publish(&mut load, &publishers, PUBLISHERS, one)?;
        load.settle(&target.processes, LOOK)?;
        let watch = Stopwatch::start(target, &load)?;
        publish(&mut load, &publishers, self.publishes, one)?;
        load.settle(&target.processes, LOOK)?;
        watch.stop(u64::from(self.publishes), &load, None)
    }

    /// All channels but one, by a message each.
    fn bear(&self, load: &mut Load, publishers: &[usize]) -> Result<()> {
        let others = self.channels.saturating_sub(1);
        let mut progress = Progress::begin("channels are born", u64::from(others))?;
        let mut born = 0;
        if others > 0 {
            publish(load, publishers, others, |load, publisher| {
                born += 1;
                progress.show(born);
                load.publish_to(publisher, &format!("other-{born}")).map(|_| ())
            })?;
        }
        progress.end();
        Ok(())
    }
}
