//! Stream fan-out: everybody reads one channel by a response without end, at full speed or at a fixed rate.
//!
//! At full speed a few messages are in flight: the next is published once the one that many back has reached everybody,
//! acknowledged or not, so that it makes no difference whether a server acknowledges before it delivers or after. One
//! connection publishes, so that the order is certain.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::stopwatch::{LOOK, Stopwatch};
use crate::counts::Due;
use crate::endpoints::ReadTemplate;
use crate::load::{Load, Role, StreamHead};
use crate::results::Round;
use crate::target::Target;

pub(crate) struct Streams {
    pub(crate) readers: u32,
    pub(crate) messages: u32,
    pub(crate) pace: Pace,
}

/// When the next message is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// While fewer than so many are in flight.
    Window(u32),
    /// At a fixed interval.
    Every(Duration),
}

impl Streams {
    pub(crate) fn run(&self, target: &Target, read: &ReadTemplate) -> Result<Round> {
        let mut load = Load::new(target, read, 1)?;
        let publisher = load.open_publishers(1)?[0];
        for _ in 0..self.readers {
            load.open(Role::Reader(StreamHead::Awaited), 0, Due::from(1))?;
        }
        load.settle(LOOK)?;
        // The first pays for what is allocated on first use.
        load.publish(publisher, 0)?;
        self.arrive(&mut load, publisher, 1)?;
        load.settle(LOOK)?;
        load.counts_mut().reset_latency();
        let watch = Stopwatch::start(&target.processes)?;
        match self.pace {
            Pace::Window(window) => self.at_full_speed(&mut load, publisher, window)?,
            Pace::Every(gap) => self.paced(&mut load, publisher, gap)?,
        }
        self.arrive(&mut load, publisher, self.messages + 1)?;
        load.settle(LOOK)?;
        let deliveries = u64::from(self.messages) * u64::from(self.readers);
        watch.stop(deliveries, load.counts().latency())
    }

    fn at_full_speed(&self, load: &mut Load, publisher: usize, window: u32) -> Result<()> {
        for _ in 0..self.messages {
            let number = load.publish(publisher, 0)?;
            self.reach(load, (number + 1).saturating_sub(window))?;
        }
        Ok(())
    }

    fn paced(&self, load: &mut Load, publisher: usize, gap: Duration) -> Result<()> {
        let start = Instant::now();
        for number in 0..self.messages {
            let due = start + gap * number;
            while let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                load.turn(left)?;
            }
            load.until("a publish to be acknowledged", |load| load.is_free(publisher))?;
            load.publish(publisher, 0)?;
        }
        Ok(())
    }

    /// Until `number` has reached everybody and all publishes are acknowledged.
    fn arrive(&self, load: &mut Load, publisher: usize, number: u32) -> Result<()> {
        self.reach(load, number)?;
        load.until("a publish to be acknowledged", |load| load.is_free(publisher))
    }

    /// Until `number` has reached everybody.
    fn reach(&self, load: &mut Load, number: u32) -> Result<()> {
        let all = u64::from(number) * u64::from(self.readers);
        load.until("a message to reach every reader", |load| load.counts().delivered >= all)
    }
}
