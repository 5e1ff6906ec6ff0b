//! What a subscription sees of its streams.

use poll_core::life::Standing;
use poll_core::{ChannelName, Cursor, JournalError, Limit, Position, Selection, Seq, Timestamp};

use super::state::{Keeper, STREAM_BYTES, SUBSCRIPTION_BYTES, Scan, Then, Untaken, What};
use crate::dialect::durable_streams::subscriptions::{Attempt, From, Seen, Subscription};
use crate::message::refusal::Refusal;
use crate::pattern::subscription::news::{Others, Taken};

/// How many channels are looked through at a time.
const PAGE: usize = 256;

impl Keeper {
    /// All streams of the subscription may have something new.
    pub(super) fn look_at_all_again(&self) {
        self.mailbox.put_back(self.streams(), None);
    }

    fn streams(&self) -> impl Iterator<Item = ChannelName> {
        self.subscription.links().filter_map(|(name, _)| ChannelName::parse(name).ok())
    }

    /// Before an answer: what another server confirmed a moment ago has to count, though this one may not have heard of it.
    pub(super) async fn look_for_answer(&mut self, what: &What) -> Result<(), Untaken> {
        if let (What::Turn { turn, .. }, true) = (what, self.is_shared()) {
            let meant = turn.acks.iter().map(|(name, _)| self.subscription.meant(name));
            let names = meant.filter(|name| self.subscription.has(name));
            self.mailbox.put_back(names.filter_map(|name| ChannelName::parse(name).ok()), None);
        }
        self.look_at_news(Then::Nothing).await?;
        if let (What::Claim(_), true) = (what, self.is_shared())
            && !self.subscription.has_pending()
        {
            self.look_at_all_again();
            self.look_at_news(Then::Nothing).await?;
        }
        Ok(())
    }

    /// Looks at the streams that have something new, and begins a wake if one is wanted. If its delivery is to be attempted
    /// then, and is due, says how.
    pub(super) async fn look_at_news(&mut self, then: Then) -> Result<Option<Attempt>, Untaken> {
        let Taken { mut names, left_out, others, trace } = self.mailbox.take();
        // Of what it has looked at already it hears again where a log is shared, without the trace.
        let is_again = self.is_shared() && self.subscription.has_wake();
        if trace.is_some() || !(names.is_empty() || is_again) {
            self.trace = trace;
        }
        if others == Others::Maybe {
            self.scan = Scan::Due;
            names.retain(|name| !self.subscription.has(name.as_str()));
            names.extend(self.streams());
        }
        let looked = self.look_at(&names, left_out, then).await;
        if looked.is_err() {
            self.mailbox.put_back(names, trace);
        }
        looked
    }

    async fn look_at(
        &mut self,
        names: &[ChannelName],
        left_out: u64,
        then: Then,
    ) -> Result<Option<Attempt>, Untaken> {
        if self.scan == Scan::Due {
            self.scan().await?;
            self.scan = Scan::Done;
        }
        let mut next = self.subscription.clone();
        next.leave_out(left_out);
        let looked = self.look_at_each(&mut next, names).await;
        let (now, random) = (self.now(), self.outside.random());
        next.pass(now, random);
        let attempt = if then == Then::Attempt && looked.is_ok() { next.attempt(now) } else { None };
        let kept = match looked {
            Ok(()) => self.keep(next).await,
            Err(error) => Err(Refusal::unreadable(error).into()),
        };
        self.settle_streams();
        kept.map(|()| attempt)
    }

    /// Finds the streams that match and are not its own yet: all that there are when it begins, and what came just before
    /// a crash after a restart.
    async fn scan(&mut self) -> Result<(), Untaken> {
        let mut next = self.subscription.clone();
        let prefix = match &next.configuration.pattern {
            Some(pattern) => ChannelName::parse(pattern.prefix()).ok(),
            None => return Ok(()),
        };
        let (mut after, random) = (None, self.outside.random());
        loop {
            let now = self.now();
            let selection = Selection { prefix: prefix.clone(), after, limit: PAGE };
            let page = self.outside.store.list(now, selection).await.map_err(Refusal::unreadable)?;
            let names = page.channels.into_iter().map(|listed| listed.channel);
            let is_new =
                |name: &ChannelName| !next.has(name.as_str()) && next.configuration.matches(name.as_str());
            let names: Vec<ChannelName> = names.filter(is_new).collect();
            self.look_at_each(&mut next, &names).await.map_err(Refusal::unreadable)?;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        next.is_scanned = true;
        next.pass(self.now(), random);
        let kept = self.keep(next).await;
        self.settle_streams();
        kept
    }

    async fn look_at_each(
        &mut self,
        next: &mut Subscription,
        names: &[ChannelName],
    ) -> Result<(), JournalError> {
        for name in names {
            let standing = self.outside.store.describe_latest(self.now(), name).await?;
            let mut from = From::End;
            if let (Standing::Live(found), false) = (&standing, next.has(name.as_str())) {
                if self.charge.grow(STREAM_BYTES + name.as_str().len() as u64).is_err() {
                    next.leave_out(1);
                    continue;
                }
                from = self.beginning(next, name, found.end()).await?;
            }
            next.see(name.as_str(), seen(&standing), from);
        }
        Ok(())
    }

    /// Which streams it has is known where news are sorted, and charged.
    pub(super) fn settle_streams(&mut self) {
        self.mailbox.know(&self.subscription);
        let streams = self.subscription.links().map(|(name, _)| STREAM_BYTES + name.len() as u64);
        let wanted = SUBSCRIPTION_BYTES + streams.sum::<u64>();
        self.charge.shrink(self.charge.bytes().saturating_sub(wanted));
        self.charge.grow_unbounded(wanted.saturating_sub(self.charge.bytes()));
    }

    /// Where a stream begins for a subscription that does not have it.
    async fn beginning(
        &self,
        next: &Subscription,
        name: &ChannelName,
        end: Cursor,
    ) -> Result<From, JournalError> {
        Ok(match (next.is_scanned, next.leaves_out()) {
            (false, _) => From::End,
            // It has all that there were before it, so this one came later.
            (true, false) => From::After(Cursor { epoch: end.epoch, seq: Seq::ZERO }),
            (true, true) => From::After(self.before_what_came_since(next.created, name, end).await?),
        })
    }

    /// Where a stream ended when the subscription was made.
    async fn before_what_came_since(
        &self,
        created: Timestamp,
        name: &ChannelName,
        end: Cursor,
    ) -> Result<Cursor, JournalError> {
        let (store, now) = (&self.outside.store, self.now());
        let pinned = store.pin(now, name, Position::AfterTime(created)).await?;
        let view = store.read(now, name, &pinned, Limit::default()).await?;
        let first = view.batch.as_ref().and_then(|batch| batch.messages().first().map(|first| first.seq));
        Ok(Cursor { epoch: end.epoch, seq: first.map_or(end.seq, Seq::previous) })
    }
}

pub(in crate::pattern::subscription) fn seen(standing: &Standing) -> Seen {
    match standing {
        Standing::Live(found) => Seen::Until(found.end()),
        Standing::Absent | Standing::Hidden => Seen::Absent,
    }
}
