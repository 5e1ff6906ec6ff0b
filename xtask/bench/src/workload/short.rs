//! Short poll: connections that ask again as soon as they are answered.

use anyhow::{Result, ensure};

use super::{LOOK, Stopwatch, Target};
use crate::figures::Round;
use crate::load::{Again, Due, Load, Role};
use crate::wire::Ask;

pub(crate) struct Short {
    pub(crate) news: News,
    pub(crate) connections: u32,
    pub(crate) requests: u64,
}

/// What there is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Nothing: each answer is a 304.
    None,
    /// One message.
    One,
}

impl Short {
    pub(super) fn words(&self) -> String {
        match self.news {
            News::None => "short poll, nothing new".to_owned(),
            News::One => "short poll, one message".to_owned(),
        }
    }

    pub(super) fn run(&self, target: &Target, ask: &Ask) -> Result<Round> {
        let mut load = Load::new(target, ask, 1)?;
        let publisher = load.open_publisher()?;
        load.publish(publisher, 0)?;
        load.until("a publish to be acknowledged", |load| load.is_free(publisher))?;
        self.measure(target, load)
    }

    /// The same on a channel that has its messages already, the last of which is given.
    pub(crate) fn measure(&self, target: &Target, mut load: Load) -> Result<Round> {
        load.settle(&target.processes, LOOK)?;
        let (again, step) = match self.news {
            News::None => (Again::Next, 1),
            News::One => (Again::First, 0),
        };
        let next = u32::try_from(load.tally().published)?;
        let mut askers = Vec::new();
        for _ in 0..self.connections {
            askers.push(load.open(Role::Asker(again), 0, Due { next, step })?);
        }
        let connections = u64::from(self.connections);
        load.until("the first answers", |load| load.tally().answered == connections)?;
        load.settle(&target.processes, LOOK)?;
        let watch = Stopwatch::start(target, &load)?;
        load.ask(&askers, self.requests)?;
        load.until("an answer", |load| load.tally().answered == connections + self.requests)?;
        load.settle(&target.processes, LOOK)?;
        let round = watch.stop(self.requests, &load, None)?;
        let (unchanged, delivered) = match self.news {
            News::None => (self.requests, connections),
            News::One => (0, connections + self.requests),
        };
        ensure!(
            load.tally().unchanged == unchanged && load.tally().delivered == delivered,
            "of {} answers {} said that nothing is new and {} held the message",
            load.tally().answered,
            load.tally().unchanged,
            load.tally().delivered
        );
        Ok(round)
    }
}
