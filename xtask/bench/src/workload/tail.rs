//! Reading the newest message of a channel that retains many.
//!
//! The channel retains exactly as many as it is given before, so that each message that is published while reads are
//! measured takes the place of the oldest, at every size alike.

use anyhow::{Context as _, Result};

use crate::figures::Round;
use crate::load::{Due, Load, Role};
use crate::progress::Progress;
use crate::scenario::{FanOut, News, Short, Target, publish};
use crate::wire::Ask;

/// Connections that ask by short poll.
const ASKERS: u32 = 64;

pub(super) struct Tail {
    pub(super) retained: u32,
    pub(super) reads: Reads,
}

/// How the newest is read.
pub(super) enum Reads {
    /// By those who wait for it.
    Long(FanOut),
    /// By so many short polls that know all but the last.
    Short(u32),
}

impl Tail {
    pub(super) fn run(&self, target: &Target) -> Result<Round> {
        let wire = &target.wire;
        match &self.reads {
            Reads::Long(fan_out) => {
                let ask = wire.long.as_ref().context("ours knows long polls")?;
                let mut load = Load::new(target, ask, 1)?;
                let publisher = load.open_publisher()?;
                self.fill(&mut load, publisher)?;
                // The first reads everything, and so leads the others to the end.
                load.open(Role::Waiter, 0, Due { next: 1, step: 1 })?;
                let all = u64::from(self.retained);
                load.until("everything to be read", |load| load.tally().delivered == all)?;
                for _ in 1..fan_out.waiters {
                    load.open(Role::Waiter, 0, Due { next: self.retained + 1, step: 1 })?;
                }
                fan_out.measure(target, load, publisher)
            }
            Reads::Short(requests) => {
                let ask = wire.short.as_ref().context("ours knows short polls")?;
                let known = format!("{}&last_id={}", ask.target, self.retained.saturating_sub(1));
                let mut load = Load::new(target, &Ask { target: known, ..ask.clone() }, 1)?;
                let publisher = load.open_publisher()?;
                self.fill(&mut load, publisher)?;
                let short = Short { news: News::One, connections: ASKERS, requests: u64::from(*requests) };
                short.measure(target, load)
            }
        }
    }

    /// By one connection, so that the order is certain.
    fn fill(&self, load: &mut Load, publisher: usize) -> Result<()> {
        let mut progress = Progress::begin("messages to retain", u64::from(self.retained))?;
        publish(load, &[publisher], self.retained, |load, publisher| {
            progress.show(u64::from(load.publish(publisher, 0)?));
            Ok(())
        })?;
        progress.end();
        Ok(())
    }
}
