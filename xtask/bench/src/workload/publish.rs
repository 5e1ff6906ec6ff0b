//! Connections that publish to one channel as fast as they are acknowledged, while nobody reads it.

use anyhow::Result;
use indicatif::ProgressBar;

use super::stopwatch::{LOOK, Stopwatch};
use crate::counts::Due;
use crate::endpoints::ReadTemplate;
use crate::load::{Load, Role};
use crate::results::Round;
use crate::target::Target;

/// Connections that publish.
pub(crate) const PUBLISHERS: u32 = 16;

/// With other channels on the server.
pub(crate) struct Beside {
    /// Channels that hold a message.
    pub(crate) channels: u32,
    /// Waiters, each on a channel that does not exist yet.
    pub(crate) waiters: u32,
    /// How many publishes are measured.
    pub(crate) publishes: u32,
}

impl Beside {
    pub(crate) fn run(&self, target: &Target, read: &ReadTemplate) -> Result<Round> {
        let mut load = Load::new(target, read, 1 + self.waiters as usize)?;
        let publishers = load.open_publishers(PUBLISHERS)?;
        if self.channels > 0 {
            let progress = ProgressBar::new(u64::from(self.channels));
            load.publish_all(&publishers, self.channels, |load, publisher| {
                let number = load.counts().published;
                progress.set_position(number);
                load.publish_to(publisher, &format!("other-{number}"))
            })?;
        }
        for channel in 1..=self.waiters {
            load.open(Role::Waiter, channel as usize, Due::from(1))?;
        }
        let one = |load: &mut Load, publisher| load.publish(publisher, 0);
        // The first of each connection pays for what is allocated on first use.
        load.publish_all(&publishers, PUBLISHERS, one)?;
        load.settle(LOOK)?;
        let watch = Stopwatch::start(&target.processes)?;
        load.publish_all(&publishers, self.publishes, one)?;
        load.settle(LOOK)?;
        watch.stop(u64::from(self.publishes), None)
    }
}
