//! Long poll on many channels: one waiter each, messages go round robin.
//!
//! Sixteen connections publish. Each publishes its next message as soon as the one before it is acknowledged and has
//! reached its waiter, so at most sixteen are in flight; a waiter has long asked again when its channel's turn comes.

use anyhow::Result;

use super::{LOOK, Stopwatch, Target};
use crate::figures::Round;
use crate::load::{Due, Load, Role};
use crate::wire::Ask;

/// Messages in flight.
const WINDOW: usize = 16;

pub(crate) struct Channels {
    pub(crate) channels: u32,
    pub(crate) messages: u32,
}

impl Channels {
    pub(super) fn run(&self, target: &Target, ask: &Ask) -> Result<Round> {
        let mut load = Load::new(target, ask, self.channels as usize)?;
        // The waiter of channel n is connection n, and is to get numbers n + 1, n + 1 + channels, …
        for channel in 0..self.channels {
            load.open(Role::Waiter, channel as usize, Due { next: channel + 1, step: self.channels })?;
        }
        let publishers = (0..WINDOW).map(|_| load.open_publisher()).collect::<Result<Vec<_>>>()?;
        load.settle(&target.processes, LOOK)?;
        // One message each makes the channels.
        self.publish(&mut load, &publishers, self.channels)?;
        load.settle(&target.processes, LOOK)?;
        load.begin();
        let watch = Stopwatch::start(target, &load)?;
        self.publish(&mut load, &publishers, self.messages)?;
        load.settle(&target.processes, LOOK)?;
        watch.stop(u64::from(self.messages), &load, load.tally().latency())
    }

    /// So many messages, one channel after another.
    fn publish(&self, load: &mut Load, publishers: &[usize], messages: u32) -> Result<()> {
        let last = load.tally().published + u64::from(messages);
        let mut in_flight: Vec<Option<Message>> = vec![None; publishers.len()];
        while load.tally().published < last {
            for (publisher, message) in publishers.iter().zip(&mut in_flight) {
                let arrived =
                    message.as_ref().is_none_or(|message| load.has(message.channel, message.number));
                if arrived && load.is_free(*publisher) && load.tally().published < last {
                    let channel = (load.tally().published % u64::from(self.channels)) as usize;
                    *message = Some(Message { channel, number: load.publish(*publisher, channel)? });
                }
            }
            let (delivered, acknowledged) = (load.tally().delivered, load.tally().acknowledged);
            load.until("a message to reach its waiter", |load| {
                load.tally().delivered > delivered || load.tally().acknowledged > acknowledged
            })?;
        }
        load.until("the last messages to reach their waiters", |load| {
            load.tally().delivered == last && load.tally().acknowledged == last
        })
    }
}

#[derive(Clone)]
struct Message {
    channel: usize,
    number: u32,
}
