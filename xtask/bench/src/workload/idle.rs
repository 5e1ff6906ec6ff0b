//! Idle long polls: what each adds to resident memory.

use anyhow::Result;

use super::stopwatch::{LOOK, Stopwatch};
use crate::counts::Due;
use crate::endpoints::ReadTemplate;
use crate::load::{Load, Role};
use crate::meter::resident;
use crate::results::Round;
use crate::target::Target;

pub(crate) fn run(target: &Target, read: &ReadTemplate, waiters: u32) -> Result<Round> {
    let mut load = Load::new(target, read, 1)?;
    // One comes before the first look, so that what is allocated on first use is not counted.
    load.open(Role::Waiter, 0, Due::from(1))?;
    load.settle(LOOK)?;
    let before = resident(&target.processes)?;
    let watch = Stopwatch::start(&target.processes)?;
    for _ in 0..waiters {
        load.open(Role::Waiter, 0, Due::from(1))?;
    }
    load.settle(LOOK)?;
    let round = watch.stop(u64::from(waiters), None)?;
    Ok(Round { resident: Some(resident(&target.processes)?.saturating_sub(before)), ..round })
}
