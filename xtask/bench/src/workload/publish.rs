//! Publishing: connections that publish to one channel as fast as they are acknowledged, while nobody reads.

use anyhow::Result;

use super::{LOOK, Stopwatch, Target};
use crate::figures::Round;
use crate::load::Load;
use crate::wire::Ask;

pub(crate) struct Publish {
    pub(crate) connections: u32,
    pub(crate) publishes: u32,
}

impl Publish {
    pub(super) fn run(&self, target: &Target, ask: &Ask) -> Result<Round> {
        let mut load = Load::new(target, ask, 1)?;
        let publishers = (0..self.connections).map(|_| load.open_publisher()).collect::<Result<Vec<_>>>()?;
        // One each opens the connections and makes the channel.
        publish(&mut load, &publishers, self.connections, to_one)?;
        load.settle(&target.processes, LOOK)?;
        let watch = Stopwatch::start(target, &load)?;
        publish(&mut load, &publishers, self.publishes, to_one)?;
        load.settle(&target.processes, LOOK)?;
        watch.stop(u64::from(self.publishes), &load, None)
    }
}

fn to_one(load: &mut Load, publisher: usize) -> Result<()> {
    load.publish(publisher, 0).map(|_| ())
}

/// So many publishes as fast as they are acknowledged; `one` makes the next on a connection.
pub(crate) fn publish(
    load: &mut Load,
    publishers: &[usize],
    publishes: u32,
    mut one: impl FnMut(&mut Load, usize) -> Result<()>,
) -> Result<()> {
    let last = load.tally().published + u64::from(publishes);
    while load.tally().published < last {
        for &publisher in publishers {
            if load.is_free(publisher) && load.tally().published < last {
                one(load, publisher)?;
            }
        }
        let acknowledged = load.tally().acknowledged;
        load.until("a publish to be acknowledged", |load| load.tally().acknowledged > acknowledged)?;
    }
    load.until("the last publishes to be acknowledged", |load| load.tally().acknowledged == last)
}
