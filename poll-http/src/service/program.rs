//! What the embedding program brings: its say whether a request may do what it asks, its page, its health and metrics.
//!
//! A check is asked when nothing is left to parse and before anything is read, waited for or published. Who somebody is,
//! is not known here: a program that wants to know settles it before, or from the head.

use std::sync::Arc;

use http::request::Parts;
use poll_core::ChannelName;

use crate::message::head::Head;
use crate::message::refusal::Refusal;
use crate::service::site::Site;

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

/// Whether the server can do its work: a note on it, or the reason why not.
pub(super) type Ready = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// Where the text of `/metrics` comes from.
pub(super) type MetricsText = Arc<dyn Fn() -> String + Send + Sync>;

/// The embedding program, as far as requests meet it.
pub(super) struct Program {
    pub(super) check: Option<Check>,
    pub(super) ready: Ready,
    pub(super) metrics_text: MetricsText,
    pub(super) site: Site,
}

impl Program {
    /// Asks the program. All that reads or publishes for a request comes by here, in every dialect.
    ///
    /// # Errors
    /// The program's refusal.
    pub(super) fn check(&self, head: Head<'_>, ask: Ask<'_>) -> Result<(), Refusal> {
        tracing::debug!(?ask, "asked");
        self.check.as_ref().map_or(Ok(()), |check| head.with_parts(|head| check(head, ask)))
    }

    /// The head to ask with later, if there is a check.
    pub(super) fn keep_head(&self, head: Head<'_>) -> Option<Box<Parts>> {
        self.check.is_some().then(|| Box::new(head.with_parts(Parts::clone)))
    }
}
