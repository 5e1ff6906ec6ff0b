//! Idle waiters: what a long poll that waits costs in resident memory.

use anyhow::Result;

use super::{LOOK, Stopwatch, Target};
use crate::figures::Round;
use crate::load::{Due, Load, Role};
use crate::meter::resident;
use crate::wire::Ask;

pub(crate) struct Idle {
    pub(crate) waiters: u32,
}

impl Idle {
    pub(super) fn run(&self, target: &Target, ask: &Ask) -> Result<Round> {
        let mut load = Load::new(target, ask, 1)?;
        // One waits before the first look, so that what a first request makes is not counted.
        load.open(Role::Waiter, 0, Due { next: 1, step: 1 })?;
        load.settle(&target.processes, LOOK)?;
        let before = resident(&target.processes)?;
        let watch = Stopwatch::start(target, &load)?;
        for _ in 0..self.waiters {
            load.open(Role::Waiter, 0, Due { next: 1, step: 1 })?;
        }
        load.settle(&target.processes, LOOK)?;
        let mut round = watch.stop(u64::from(self.waiters), &load, None)?;
        round.resident = Some(resident(&target.processes)?.saturating_sub(before));
        Ok(round)
    }
}
