//! Waiting until a channel has something after a position.

use std::pin::Pin;
use std::task::{Context, Poll};

use super::handle::Store;
use crate::channel::Pinned;
use crate::notifier::{Lane, Ticket};
use crate::types::ChannelName;

/// Resolves when the channel may have something after the position, has ended, or all waiters were notified. Reading shows
/// which. Registers when it is first polled; dropping it leaves nothing behind.
#[must_use = "futures do nothing unless polled"]
pub struct Wait {
    store: Store,
    channel: ChannelName,
    lane: Lane,
    pinned: Pinned,
    ticket: Option<Ticket>,
}

impl Store {
    /// Waits for a channel to have something after a position, among the waiters of `lane`.
    pub fn wait(&self, channel: &ChannelName, pinned: &Pinned, lane: &Lane) -> Wait {
        let (store, channel, lane) = (self.clone(), channel.clone(), lane.clone());
        Wait { store, channel, lane, pinned: *pinned, ticket: None }
    }

    fn has_news(&self, channel: &ChannelName, pinned: &Pinned) -> bool {
        match self.residents().get(channel) {
            Some(channel) => channel.state.lock().visible_log().is_some_and(|log| pinned.has_news(log)),
            // Not in memory, although the waiter has looked: it was unloaded since and may have news. Reading loads it
            // again.
            None => self.archive().is_some(),
        }
    }
}

impl Store {
    /// What a [`Wait`] does, for callers that hold its parts themselves: ready when the channel may have something
    /// after the position, has ended, or all waiters were notified. Registers among the waiters of `lane` if there is no
    /// ticket yet; a ticket that remains has to be [deregistered](Self::deregister).
    pub fn poll_wait(
        &self,
        channel: &ChannelName,
        pinned: &Pinned,
        lane: &Lane,
        ticket: &mut Option<Ticket>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let notifier = self.notifier();
        if let Some(waiting) = &*ticket {
            if notifier.waits(channel, lane, waiting, cx.waker()) {
                return Poll::Pending;
            }
            *ticket = None;
            return Poll::Ready(());
        }
        // Register, then read, then wait: an append in between notifies.
        *ticket = Some(notifier.register(channel, lane, cx.waker()));
        if self.has_news(channel, pinned) {
            self.deregister(channel, lane, ticket);
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Removes the waiter registered under a ticket, if there is one.
    pub fn deregister(&self, channel: &ChannelName, lane: &Lane, ticket: &mut Option<Ticket>) {
        if let Some(ticket) = ticket.take() {
            self.notifier().deregister(channel, lane, &ticket);
        }
    }
}

impl Future for Wait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { store, channel, lane, pinned, ticket } = self.get_mut();
        store.poll_wait(channel, pinned, lane, ticket, cx)
    }
}

impl Wait {
    /// Waits again, from another position.
    pub fn again(&mut self, pinned: &Pinned) {
        self.deregister();
        self.pinned = *pinned;
    }

    fn deregister(&mut self) {
        self.store.deregister(&self.channel, &self.lane, &mut self.ticket);
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.deregister();
    }
}
