//! Waiting until any of several channels has something: one waker in the topic of each.
//!
//! A channel that was notified loses its ticket, and is due: its reader looks at it again. The tickets of the others stay,
//! so a reader that goes on costs as much as the channels that have news.

use std::task::{Context, Poll};

use super::handle::Store;
use crate::list::{ChannelList, Life, Place};
use crate::notifier::{Lane, Ticket};

/// A waiter on the channels of a list. It is not removed by itself: see [`Store::deregister_list`].
#[derive(Debug, Default)]
pub struct ListWait {
    /// One for each channel, once it has waited.
    tickets: Vec<Option<Ticket>>,
}

impl ListWait {
    /// The channels to look at: all that may have news.
    pub fn due(&self, places: &[Place]) -> Vec<usize> {
        let waits = |channel: usize| self.tickets.get(channel).is_some_and(Option::is_some);
        (0..places.len()).filter(|&channel| places[channel].life == Life::Open && !waits(channel)).collect()
    }
}

impl Store {
    /// Ready when any channel of a list may have something after its place, has ended, or all waiters were notified:
    /// [`ListWait::due`] says which. Registers among the waiters of `lane` in each channel that may still have messages;
    /// registrations that remain have to be [removed](Self::deregister_list).
    pub fn poll_wait_list(
        &self,
        list: &ChannelList,
        places: &[Place],
        lane: &Lane,
        wait: &mut ListWait,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if self.has_notified_list(list, lane, wait, cx) {
            return Poll::Ready(());
        }
        wait.tickets.resize_with(places.len(), || None);
        let mut news = false;
        for (channel, (place, ticket)) in list.names().iter().zip(places.iter().zip(&mut wait.tickets)) {
            if place.life == Life::Open && ticket.is_none() {
                news |= self.poll_wait(channel, &place.pinned(), lane, ticket, cx).is_ready();
            }
        }
        if news { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Whether any channel was notified since it was registered. Those that were not are registered with the waker of
    /// `cx` from now on.
    fn has_notified_list(
        &self,
        list: &ChannelList,
        lane: &Lane,
        wait: &mut ListWait,
        cx: &Context<'_>,
    ) -> bool {
        let mut notified = false;
        for (channel, ticket) in list.names().iter().zip(&mut wait.tickets) {
            let waits = |ticket: &Ticket| self.notifier().waits(channel, lane, ticket, cx.waker());
            if ticket.as_ref().is_some_and(|ticket| !waits(ticket)) {
                *ticket = None;
                notified = true;
            }
        }
        notified
    }

    /// Removes a waiter from all topics that it is still in.
    pub fn deregister_list(&self, list: &ChannelList, lane: &Lane, wait: &mut ListWait) {
        for (channel, ticket) in list.names().iter().zip(&mut wait.tickets) {
            self.deregister(channel, lane, ticket);
        }
        wait.tickets = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beside these, a waiter has its waker in each topic: together less than 100 bytes a channel.
    #[test]
    fn a_channel_of_a_waiting_list_takes_a_place_and_a_small_ticket() {
        assert!(size_of::<Option<Ticket>>() + size_of::<Place>() <= 40);
    }
}
