//! Channels with a life of their own: creating and forking them, appending under conditions, describing, deleting.

use std::sync::Arc;

use super::handle::{Backing, Sole, Store};
use super::life_steps::nothing;
use super::publish::Submitted;
use crate::channel::{Due, Operation, Reason, Verdict};
use crate::life::{
    AppendError, Appended, Bounds, Condition, Configured, Create, CreateError, Created, Deleted, Description,
    Purged, Standing, Use,
};
use crate::types::{ChannelName, Cursor, JournalError, Publish, PublishError, Timestamp};

impl Store {
    /// Begins a channel, with or without messages, or finds that there is one of that configuration already. A fork
    /// shares the messages of its source up to where it leaves it, and goes on with their numbers.
    ///
    /// # Errors
    /// See [`CreateError`]. Nothing was kept then, unless the outcome is unknown.
    pub async fn create(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        mut create: Create,
    ) -> Result<Created, CreateError> {
        if let (Some(journal), Some(point)) = (self.shared(), &create.origin) {
            let point = point.clone();
            return self.create_shared_fork(journal, now, channel, create, &point).await;
        }
        let (life, pin, prefix) = match &create.origin {
            None => (create.life(now), None, None),
            Some(point) => match self.fork_point(now, channel, &create, point).await? {
                Some(fork) => (fork.life, Some(Arc::new(fork.pin)), fork.prefix),
                // The name is taken, which the next step says more about.
                None => (create.life(now), None, None),
            },
        };
        let payloads = prefix.into_iter().chain(std::mem::take(&mut create.payloads)).collect();
        let publish = Publish { payloads, key: None, ending: create.ending };
        let operation = Operation::Create(Box::new(create), Arc::new(life), pin);
        let submitted = self.submit(now, channel, publish, operation).await?;
        self.created(now, channel, submitted).await
    }

    /// The answer to a creation.
    pub(super) async fn created(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        submitted: Submitted,
    ) -> Result<Created, CreateError> {
        let new = match submitted {
            Submitted::Published(published) => Some(published),
            Submitted::Settled(Verdict::Same) => None,
            Submitted::Settled(Verdict::Hidden) => return Err(CreateError::Hidden),
            Submitted::Settled(_) => return Err(CreateError::Differs),
        };
        // Its time may be over already, or it was deleted again: it was there all the same.
        let found = self.find(now, channel).await?;
        let description = found.map_or_else(Description::of_none, |found| found.state.lock().description());
        Ok(match new {
            Some(published) => Created::New { description, published },
            None => Created::Same(description),
        })
    }

    /// Appends to a channel that is there, under a condition. A publish without messages has to end the channel.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub async fn append(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        publish: Publish,
        condition: Condition,
    ) -> Result<Appended, AppendError> {
        if publish.payloads.is_empty() && publish.ending == crate::types::Ending::Open {
            return Err(PublishError::Nothing.into());
        }
        match self.submit(now, channel, publish, Operation::Append(condition)).await {
            Ok(Submitted::Published(published)) => {
                let end = match published.stamps.last() {
                    Some(stamp) => stamp.cursor,
                    None => self.end_of(now, channel).await?,
                };
                Ok(Appended::New { published, end })
            }
            Ok(Submitted::Settled(Verdict::Duplicate { last, end, ending })) => {
                Ok(Appended::Duplicate { last, end, ending })
            }
            Ok(Submitted::Settled(Verdict::Refused(error))) => Err(error),
            Ok(Submitted::Settled(Verdict::Hidden)) => Err(AppendError::Hidden),
            Ok(Submitted::Settled(_)) => Err(AppendError::NotFound),
            Err(PublishError::Closed) => Err(AppendError::Closed { end: self.end_of(now, channel).await? }),
            Err(error) => Err(error.into()),
        }
    }

    /// What there is under a name. Waits until the journal can say so.
    ///
    /// # Errors
    /// When it never will.
    pub async fn describe(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        how: Use,
    ) -> Result<Standing, JournalError> {
        if let Some(journal) = self.shared() {
            // Where the log cannot be asked, what is known here counts.
            let _ = self.arrive(journal, now, channel).await?;
        }
        self.standing(now, channel, how).await
    }

    /// The same without a use, and with an error where a shared log cannot be asked now: what is known here may be behind
    /// what other servers confirmed.
    ///
    /// # Errors
    /// When the journal cannot be asked.
    pub async fn describe_latest(
        &self,
        now: Timestamp,
        channel: &ChannelName,
    ) -> Result<Standing, JournalError> {
        if let Some(journal) = self.shared() {
            self.ask_for_latest(journal, now, channel).await?;
        }
        self.standing(now, channel, Use::Look).await
    }

    async fn standing(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        how: Use,
    ) -> Result<Standing, JournalError> {
        let Some(found) = self.find(now, channel).await? else { return Ok(Standing::Absent) };
        let look = |used| {
            let mut state = found.state.lock();
            let looked = state.standing(now, used);
            // The next sweep may be much later, and a use that it did not see is lost with the process.
            if used && self.archive().is_some() && state.report_use() {
                drop(state);
                self.0.due.lock().push((channel.clone(), Due::Touch));
            }
            looked
        };
        let (existence, standing) = look(how == Use::Renew);
        if existence == crate::life::Existence::Over && self.is_prolonged(now, &found) {
            return Ok(look(how == Use::Renew).1);
        }
        Ok(standing)
    }

    /// Deletes a channel with its messages; one that has forks is hidden until the last of them is gone.
    ///
    /// # Errors
    /// When the journal does not keep that.
    pub async fn delete(&self, now: Timestamp, channel: &ChannelName) -> Result<Deleted, PublishError> {
        let hides = |standing| matches!(standing, Standing::Hidden);
        match self.end(now, channel, Reason::Deleted).await? {
            Submitted::Published(_) if hides(self.describe(now, channel, Use::Look).await?) => {
                Ok(Deleted::Hidden)
            }
            Submitted::Published(_) => Ok(Deleted::Gone),
            Submitted::Settled(Verdict::Hidden) => Ok(Deleted::AlreadyHidden),
            Submitted::Settled(_) => Ok(Deleted::Absent),
        }
    }

    /// Drops all messages of a channel. Its numbers and its epoch go on, so readers are told what they missed.
    ///
    /// # Errors
    /// When the journal does not keep that.
    pub async fn purge(&self, now: Timestamp, channel: &ChannelName) -> Result<Purged, PublishError> {
        Ok(match self.submit(now, channel, nothing(), Operation::Purge).await? {
            Submitted::Published(_) => Purged::Done,
            Submitted::Settled(Verdict::Hidden) => Purged::Hidden,
            Submitted::Settled(_) => Purged::Absent,
        })
    }

    /// Gives a channel bounds of its own. What exceeds them is dropped with its next publish.
    ///
    /// # Errors
    /// When the journal does not keep that.
    pub async fn configure(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        bounds: Bounds,
    ) -> Result<Configured, PublishError> {
        Ok(match self.submit(now, channel, nothing(), Operation::Configure(bounds)).await? {
            Submitted::Published(_) => Configured::Done,
            Submitted::Settled(Verdict::Hidden) => Configured::Hidden,
            Submitted::Settled(_) => Configured::Absent,
        })
    }

    /// Removes the channels whose time is over and the hidden ones that have no forks left, as far as
    /// [`sweep`](Self::sweep) found them, and has the journal keep when others were last used.
    pub async fn tend(&self, now: Timestamp) {
        let mut due = std::mem::take(&mut *self.0.due.lock());
        due.extend(self.lapsed(now).await);
        for (channel, due) in due {
            // What fails is found again.
            let _ = match due {
                Due::Over => self.end_if_over(now, &channel).await,
                Due::Hidden => self.end(now, &channel, Reason::NoForks).await.map(drop),
                Due::Touch => self.submit(now, &channel, nothing(), Operation::Touch).await.map(drop),
            };
        }
    }

    /// What the journal knows to be due of channels that are not in memory. Those that are were swept.
    async fn lapsed(&self, now: Timestamp) -> Vec<(ChannelName, Due)> {
        if let Some(journal) = self.shared() {
            self.tend_shared(journal, now).await;
        }
        let Backing::Sole(Sole { archive: Some(archive), .. }) = &self.0.backing else { return Vec::new() };
        let names = self.ask_briefly(|reply| archive.lapsed(now, reply)).await.unwrap_or_default();
        let mut due = Vec::new();
        for name in names {
            if self.residents().get(&name).is_some() {
                continue;
            }
            if let Ok(Some(channel)) = self.find(now, &name).await {
                let found = channel.state.lock().due(now, None);
                due.extend(found.map(|found| (name, found)));
            }
        }
        due
    }

    async fn end_if_over(&self, now: Timestamp, channel: &ChannelName) -> Result<(), PublishError> {
        let Some(channel) = self.residents().get(channel) else { return Ok(()) };
        self.remove_expired(now, &channel).await
    }

    /// The position after a channel's newest message.
    async fn end_of(&self, now: Timestamp, channel: &ChannelName) -> Result<Cursor, JournalError> {
        // Boxed because it is rare and large: every append would carry room for it.
        Ok(match Box::pin(self.describe(now, channel, Use::Look)).await? {
            Standing::Live(description) => Description::end(&description),
            Standing::Absent | Standing::Hidden => Cursor::ZERO,
        })
    }
}
