//! The embedding program's own say: whether a request may do what it asks, and hearing of what was published.
//!
//! Both are closures that the program hands to the builder. A check is asked when nothing is left to parse and
//! before anything is read, waited for or published; a hook is told when every reader can see the messages. Who
//! somebody is, is not known here: a program that wants to know settles it before, or from the head.

use std::sync::Arc;

use http::request::Parts;
use poll_core::{ChannelName, JournalError, Publish, PublishError, Published};

use crate::message::head::Head;
use crate::message::refusal::Refusal;
use crate::service::Service;

/// What a request wants to do, for [`Builder::check`](crate::Builder::check).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask<'a> {
    /// To publish to this channel.
    Publish(&'a ChannelName),
    /// To read this channel, in whatever pattern.
    Read(&'a ChannelName),
}

impl<'a> Ask<'a> {
    /// The channel that it is about.
    #[must_use]
    pub fn channel(self) -> &'a ChannelName {
        match self {
            Self::Publish(channel) | Self::Read(channel) => channel,
        }
    }
}

/// Whether a request may; what its sender is told where it may not.
pub(super) type Check = Arc<dyn Fn(&Parts, Ask<'_>) -> Result<(), Refusal> + Send + Sync>;

/// Who hears of publishes.
pub(super) type Hook = Arc<dyn Fn(&ChannelName, &Published) + Send + Sync>;

impl Service {
    /// Asks the program. All that reads or publishes for a request comes by here, in every dialect.
    pub(super) fn ask(&self, head: Head<'_>, ask: Ask<'_>) -> Result<(), Refusal> {
        tracing::debug!(?ask, "asked");
        self.0.shared.check.as_ref().map_or(Ok(()), |check| head.with_parts(|head| check(head, ask)))
    }

    /// The head to ask with later, where anybody will.
    pub(super) fn kept(&self, head: Head<'_>) -> Option<Box<Parts>> {
        self.0.shared.check.is_some().then(|| Box::new(head.with_parts(Parts::clone)))
    }

    /// Publishes from within the program, by the service's clock; counted, and told to the hooks. When this
    /// returns, all readers can see the messages. What is published to the [`Store`](poll_core::Store) itself is
    /// read like everything else, but neither counted nor told.
    ///
    /// # Errors
    /// See [`PublishError`].
    ///
    /// # Panics
    /// Where a hook does. With hooks it is to be called on a tokio runtime.
    pub async fn publish(&self, channel: &ChannelName, publish: Publish) -> Result<Published, PublishError> {
        if self.0.shared.hooks.is_empty() {
            return self.publish_here(channel, publish).await;
        }
        // A publisher who leaves does not take back what the journal has; the hooks must hear of it all the same.
        let (service, name) = (self.clone(), channel.clone());
        let task = tokio::spawn(async move {
            let published = service.publish_here(&name, publish).await?;
            if !published.repeated {
                service.0.shared.hooks.iter().for_each(|hook| hook(&name, &published));
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

    async fn publish_here(&self, channel: &ChannelName, publish: Publish) -> Result<Published, PublishError> {
        let published = self.store().publish(self.now(), channel, publish).await?;
        self.count_published(channel, &published);
        Ok(published)
    }

    pub(super) fn count_published(&self, channel: &ChannelName, published: &Published) {
        if !published.repeated {
            self.metrics().published.inc_by(published.stamps.len() as u64);
            tracing::debug!(%channel, messages = published.stamps.len(), "published");
        }
    }
}
