//! Publishing to disk: throughput, and the time until a message is read.

use anyhow::Result;

use crate::counts::Due;
use crate::endpoints::ReadTemplate;
use crate::load::{Load, Role};
use crate::meter::{LOOK, Stopwatch};
use crate::results::Round;
use crate::target::Target;

/// How many connections publish, and to how many channels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Appends {
    pub(crate) connections: u32,
    pub(crate) channels: u32,
}

/// Publishes to channel after channel as fast as they are acknowledged, without readers.
///
/// The time is that until the last is acknowledged; what the server does afterwards for the same messages is in its CPU
/// time only.
pub(crate) fn append(target: &Target, read: &ReadTemplate, of: Appends, publishes: u32) -> Result<Round> {
    let mut load = Load::new(target, read, of.channels as usize)?;
    let publishers = load.open_publishers(of.connections)?;
    let one = |load: &mut Load, publisher| {
        let channel = load.counts().published % u64::from(of.channels);
        load.publish(publisher, usize::try_from(channel)?)
    };
    // Every channel holds a message, and every connection has been used.
    load.publish_all(&publishers, of.channels.max(of.connections), one)?;
    load.settle(LOOK)?;
    load.counts_mut().reset_latency();
    let watch = Stopwatch::start(&target.processes)?;
    load.publish_all(&publishers, publishes, one)?;
    let wall = watch.elapsed()?;
    load.settle(LOOK)?;
    let publishing = load.counts().publishing();
    Ok(Round { wall, publishing, ..watch.stop(u64::from(publishes), None)? })
}

/// One message after another to one reader: the next once the last is acknowledged and has arrived.
pub(crate) fn arrival(target: &Target, read: &ReadTemplate, role: Role, messages: u32) -> Result<Round> {
    let mut load = Load::new(target, read, 1)?;
    let publisher = load.open_publisher()?;
    let reader = load.open(role, 0, Due::from(1))?;
    let one = |load: &mut Load| {
        let number = load.publish(publisher, 0)?;
        load.until("a message to be acknowledged and to arrive", |load| {
            load.is_free(publisher) && load.has(reader, number)
        })
    };
    load.settle(LOOK)?;
    one(&mut load)?;
    load.settle(LOOK)?;
    load.counts_mut().reset_latency();
    let watch = Stopwatch::start(&target.processes)?;
    (0..messages).try_for_each(|_| one(&mut load))?;
    let wall = watch.elapsed()?;
    load.settle(LOOK)?;
    let (latency, publishing) = (load.counts().latency(), load.counts().publishing());
    Ok(Round { wall, publishing, ..watch.stop(u64::from(messages), latency)? })
}
