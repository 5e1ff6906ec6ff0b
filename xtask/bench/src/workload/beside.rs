//! Publishing to one channel, beside other channels that hold a message each or have a waiter.

use anyhow::Result;
use indicatif::ProgressBar;

use super::publish::{PUBLISHERS, measure};
use crate::counts::Due;
use crate::endpoints::ReadTemplate;
use crate::load::{Load, Role};
use crate::results::Round;
use crate::target::Target;

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
        let progress = ProgressBar::new(u64::from(self.channels));
        if self.channels > 0 {
            load.publish_all(&publishers, self.channels, |load, publisher| {
                let number = load.counts().published;
                progress.set_position(number);
                load.publish_to(publisher, &format!("other-{number}"))
            })?;
        }
        for channel in 1..=self.waiters {
            load.open(Role::Waiter, channel as usize, Due::from(1))?;
        }
        measure(target, load, &publishers, self.publishes)
    }
}
