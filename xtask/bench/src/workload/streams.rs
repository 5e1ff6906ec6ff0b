//! Stream fan-out: everybody reads one channel by an answer without end, at full speed or at a pace.
//!
//! At full speed a few messages are in flight: the next is published when the one that many back has reached everybody,
//! whether the ones between are acknowledged or not. A server that acknowledges before it delivers has no more in flight
//! than one that does so after. One connection publishes, so that the order is certain.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{LOOK, Stopwatch, Target, grouped};
use crate::figures::Round;
use crate::load::{Due, Head, Load, Role};
use crate::wire::Ask;

pub(crate) struct Streams {
    pub(crate) form: Form,
    pub(crate) readers: u32,
    pub(crate) messages: u32,
    pub(crate) pace: Pace,
}

/// How messages come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A line or chunk each.
    Lines,
    /// Server-sent events.
    Events,
}

/// When the next message is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// At most so many are on their way.
    Window(u32),
    /// At a fixed interval.
    Every(Duration),
}

impl Streams {
    pub(super) fn words(&self) -> String {
        let form = match self.form {
            Form::Lines => "stream",
            Form::Events => "server-sent events",
        };
        let readers = grouped(self.readers);
        match self.pace {
            Pace::Window(_) => format!("{form}, fan-out to {readers}"),
            Pace::Every(gap) => {
                format!("{form}, fan-out to {readers}, {:.0} messages a second", 1.0 / gap.as_secs_f64())
            }
        }
    }

    pub(super) fn run(&self, target: &Target, ask: &Ask) -> Result<Round> {
        let mut load = Load::new(target, ask, 1)?;
        let publisher = load.open_publisher()?;
        for _ in 0..self.readers {
            load.open(Role::Reader(Head::Due), 0, Due { next: 1, step: 1 })?;
        }
        load.settle(&target.processes, LOOK)?;
        // The first is for whatever is made on first use.
        load.publish(publisher, 0)?;
        self.arrive(&mut load, publisher, 1)?;
        load.settle(&target.processes, LOOK)?;
        load.begin();
        let watch = Stopwatch::start(target, &load)?;
        match self.pace {
            Pace::Window(window) => self.at_full_speed(&mut load, publisher, window)?,
            Pace::Every(gap) => self.paced(&mut load, publisher, gap)?,
        }
        self.arrive(&mut load, publisher, self.messages + 1)?;
        load.settle(&target.processes, LOOK)?;
        watch.stop(u64::from(self.messages) * u64::from(self.readers), &load, load.tally().latency())
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
        load.until("a message to reach every reader", |load| load.tally().delivered >= all)
    }
}
