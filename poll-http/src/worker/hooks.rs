//! Publishing, and the program's hooks.

use poll_core::life::{AppendError, Appended, Condition, Create, CreateError, Created};
use poll_core::{ChannelName, JournalError, Publish, PublishError, Published};

use crate::worker::Worker;

impl Worker {
    /// Whether a publish has to use [`publish`](Self::publish).
    pub(crate) fn has_hooks(&self) -> bool {
        !self.server().hooks.is_empty()
    }

    /// Publishes, counts it, and calls the hooks.
    ///
    /// # Errors
    /// See [`PublishError`].
    ///
    /// # Panics
    /// If a hook does.
    pub(crate) async fn publish(
        &self,
        channel: &ChannelName,
        publish: Publish,
    ) -> Result<Published, PublishError> {
        if !self.has_hooks() {
            return self.publish_counted(channel, publish).await;
        }
        let (worker, name) = (self.clone(), channel.clone());
        let publish = async move {
            let published = worker.publish_counted(&name, publish).await?;
            worker.call_hooks(&name, &published);
            Ok(published)
        };
        to_its_end(publish).await.unwrap_or_else(|ended| Err(ended.into()))
    }

    /// The same for an append.
    ///
    /// # Errors
    /// See [`AppendError`].
    ///
    /// # Panics
    /// If a hook does.
    pub(crate) async fn append(
        &self,
        channel: &ChannelName,
        publish: Publish,
        condition: Condition,
    ) -> Result<Appended, AppendError> {
        let (worker, name) = (self.clone(), channel.clone());
        let append = async move {
            let appended = worker.store().append(worker.now(), &name, publish, condition).await?;
            if let Appended::New { published, .. } = &appended {
                worker.count_published(&name, published);
                worker.call_hooks(&name, published);
            }
            Ok(appended)
        };
        if !self.has_hooks() {
            return append.await;
        }
        to_its_end(append).await.unwrap_or_else(|ended| Err(AppendError::Publish(ended.into())))
    }

    /// The same for the first content of a channel.
    ///
    /// # Errors
    /// See [`CreateError`].
    ///
    /// # Panics
    /// If a hook does.
    pub(crate) async fn create(&self, channel: &ChannelName, create: Create) -> Result<Created, CreateError> {
        let (worker, name) = (self.clone(), channel.clone());
        let create = async move {
            let created = worker.store().create(worker.now(), &name, create).await?;
            if let Created::New { published, .. } = &created {
                worker.count_published(&name, published);
                worker.call_hooks(&name, published);
            }
            Ok(created)
        };
        if !self.has_hooks() {
            return create.await;
        }
        to_its_end(create).await.unwrap_or_else(|ended| Err(CreateError::Publish(ended.into())))
    }

    /// Calls the hooks, unless it is a repetition, or nothing was published.
    fn call_hooks(&self, channel: &ChannelName, published: &Published) {
        if !published.repeated && !published.stamps.is_empty() {
            self.server().hooks.iter().for_each(|hook| hook(channel, published));
        }
    }

    async fn publish_counted(
        &self,
        channel: &ChannelName,
        publish: Publish,
    ) -> Result<Published, PublishError> {
        let published = self.store().publish(self.now(), channel, publish).await?;
        self.count_published(channel, &published);
        Ok(published)
    }

    /// Counts a publish, unless it is a repetition.
    pub(crate) fn count_published(&self, channel: &ChannelName, published: &Published) {
        if !published.repeated {
            self.metrics().published.inc_by(published.stamps.len() as u64);
            tracing::debug!(%channel, messages = published.stamps.len(), "published");
        }
    }
}

/// Runs work to its end even if its publisher disconnects: what the journal has is not undone, and the hooks must hear of it.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, JournalError> {
    tokio::spawn(work).await.map_err(|ended| match ended.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => JournalError::OutcomeUnknown("the runtime ended before it answered".to_owned()),
    })
}
