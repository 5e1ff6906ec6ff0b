//! Waiting for a channel to have something after a position.

use std::pin::Pin;
use std::task::{Context, Poll};

use super::Store;
use crate::channel::ChannelName;
use crate::notifier::{Lane, Ticket};
use crate::position::Pinned;

/// Resolves when the channel may have something after the position, has ended, or everyone was rung. Reading
/// tells which. Registers when it is first polled; dropping it leaves nothing behind.
#[must_use = "futures do nothing unless polled"]
pub struct Wait {
    store: Store,
    channel: ChannelName,
    lane: Lane,
    pinned: Pinned,
    ticket: Option<Ticket>,
}

impl Store {
    /// Waits among the waiters of `lane`.
    pub fn wait(&self, channel: &ChannelName, pinned: &Pinned, lane: &Lane) -> Wait {
        let (store, channel, lane) = (self.clone(), channel.clone(), lane.clone());
        Wait { store, channel, lane, pinned: *pinned, ticket: None }
    }

    fn has_news(&self, channel: &ChannelName, pinned: &Pinned) -> bool {
        match self.0.directory.get(channel) {
            Some(channel) => channel.state.lock().born().is_some_and(|log| pinned.has_news(log)),
            // Not in memory, though whoever waits has looked: it was let go of since, and may have news. Who
            // reads brings it back.
            None => self.0.journal.archive().is_some(),
        }
    }
}

impl Future for Wait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let notifier = this.store.notifier();
        if let Some(ticket) = &this.ticket {
            if notifier.waits(&this.channel, &this.lane, ticket, cx.waker()) {
                return Poll::Pending;
            }
            this.ticket = None;
            return Poll::Ready(());
        }
        // Register, then read, then wait: what is appended in between rings.
        this.ticket = Some(notifier.register(&this.channel, &this.lane, cx.waker()));
        if this.store.has_news(&this.channel, &this.pinned) {
            this.leave();
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl Wait {
    /// Waits anew, from another position.
    pub fn again(&mut self, pinned: &Pinned) {
        self.leave();
        self.pinned = *pinned;
    }

    fn leave(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.store.notifier().leave(&self.channel, &self.lane, &ticket);
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.leave();
    }
}
