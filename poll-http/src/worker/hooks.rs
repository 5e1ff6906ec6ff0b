//! Publishing, and the program's hooks.

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
        // A publish that the journal has is not undone if its publisher disconnects; the hooks must run all the same.
        let (worker, name) = (self.clone(), channel.clone());
        let task = tokio::spawn(async move {
            let published = worker.publish_counted(&name, publish).await?;
            if !published.repeated {
                worker.server().hooks.iter().for_each(|hook| hook(&name, &published));
            }
            Ok(published)
        });
        task.await.unwrap_or_else(|ended| match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => {
                Err(JournalError::OutcomeUnknown("the runtime ended before it answered".to_owned()).into())
            }
        })
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
