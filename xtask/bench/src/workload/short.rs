//! Short polls: connections that ask again as soon as they are answered.

use anyhow::{Result, ensure};

use super::stopwatch::{LOOK, Stopwatch};
use crate::counts::{Counts, Due};
use crate::endpoints::ReadTemplate;
use crate::load::{Load, Repeat, Role};
use crate::results::Round;
use crate::target::Target;

pub(crate) struct Short {
    /// News, of which there is none: each response is a 304. Or all, which is one message.
    pub(crate) repeat: Repeat,
    pub(crate) connections: u32,
    pub(crate) requests: u64,
}

impl Short {
    pub(crate) fn run(&self, target: &Target, read: &ReadTemplate) -> Result<Round> {
        let mut load = Load::new(target, read, 1)?;
        let publisher = load.open_publishers(1)?[0];
        load.publish(publisher, 0)?;
        load.until("a publish to be acknowledged", |load| load.is_free(publisher))?;
        self.measure(target, load)
    }

    /// On a channel that has its messages already, the last of which is read.
    pub(super) fn measure(&self, target: &Target, mut load: Load) -> Result<Round> {
        load.settle(LOOK)?;
        let due = Due {
            next: u32::try_from(load.counts().published)?,
            step: if self.repeat == Repeat::News { 1 } else { 0 },
        };
        let pollers = (0..self.connections).map(|_| load.open(Role::Poller(self.repeat), 0, due));
        let pollers = pollers.collect::<Result<Vec<_>>>()?;
        let first = u64::from(self.connections);
        load.until("the first responses", |load| load.counts().answered == first)?;
        load.settle(LOOK)?;
        let watch = Stopwatch::start(&target.processes)?;
        load.poll(&pollers, self.requests)?;
        load.until("a response", |load| load.counts().answered == first + self.requests)?;
        load.settle(LOOK)?;
        let round = watch.stop(self.requests, None)?;
        let expected = match self.repeat {
            Repeat::News => (self.requests, first),
            Repeat::All => (0, first + self.requests),
        };
        let Counts { answered, unchanged, delivered, .. } = *load.counts();
        ensure!(
            (unchanged, delivered) == expected,
            "of {answered} responses {unchanged} said that nothing is new and {delivered} held the message"
        );
        Ok(round)
    }
}
