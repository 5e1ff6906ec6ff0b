//! Long polls on many channels, one waiter each; messages go round robin.
//!
//! Each publisher publishes its next message once the previous one is acknowledged and has reached its waiter, so few are
//! in flight, and a waiter is back long before its channel's next turn.

use anyhow::Result;

use super::stopwatch::{LOOK, Stopwatch};
use crate::counts::Due;
use crate::endpoints::ReadTemplate;
use crate::load::{Load, Role};
use crate::results::Round;
use crate::target::Target;

/// Messages in flight.
const WINDOW: u32 = 16;

pub(crate) struct Channels {
    pub(crate) channels: u32,
    pub(crate) messages: u32,
}

impl Channels {
    pub(crate) fn run(&self, target: &Target, read: &ReadTemplate) -> Result<Round> {
        let mut load = Load::new(target, read, self.channels as usize)?;
        // The waiter of channel n is connection n and receives numbers n + 1, n + 1 + channels, …
        for channel in 0..self.channels {
            let due = Due { next: channel + 1, step: self.channels };
            load.open(Role::Waiter, channel as usize, due)?;
        }
        let publishers = load.open_publishers(WINDOW)?;
        load.settle(LOOK)?;
        // The first message of each creates its channel.
        self.publish(&mut load, &publishers, self.channels)?;
        load.settle(LOOK)?;
        load.counts_mut().reset_latency();
        let watch = Stopwatch::start(&target.processes)?;
        self.publish(&mut load, &publishers, self.messages)?;
        load.settle(LOOK)?;
        watch.stop(u64::from(self.messages), load.counts().latency())
    }

    fn publish(&self, load: &mut Load, publishers: &[usize], messages: u32) -> Result<()> {
        let last = load.counts().published + u64::from(messages);
        // What each publisher has in flight: the waiter's connection and the message's number.
        let mut in_flight: Vec<Option<(usize, u32)>> = vec![None; publishers.len()];
        while load.counts().published < last {
            for (&publisher, message) in publishers.iter().zip(&mut in_flight) {
                let arrived = message.is_none_or(|(channel, number)| load.has(channel, number));
                if arrived && load.is_free(publisher) && load.counts().published < last {
                    let channel = (load.counts().published % u64::from(self.channels)) as usize;
                    *message = Some((channel, load.publish(publisher, channel)?));
                }
            }
            let (delivered, acknowledged) = (load.counts().delivered, load.counts().acknowledged);
            load.until("a message to reach its waiter", |load| {
                load.counts().delivered > delivered || load.counts().acknowledged > acknowledged
            })?;
        }
        load.until("the last messages to reach their waiters", |load| {
            load.counts().delivered == last && load.counts().acknowledged == last
        })
    }
}
