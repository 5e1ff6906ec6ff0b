//! What the embedding program provides: its access check, its page, its health and metrics.
//!
//! The check runs after parsing and before anything is read, waited for or published. The service does not authenticate
//! users: a program that needs to does so beforehand, or from the head.

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
    /// To read this channel, by any pattern.
    Read(&'a ChannelName),
}

impl<'a> Ask<'a> {
    /// The channel.
    #[must_use]
    pub fn channel(self) -> &'a ChannelName {
        match self {
            Self::Publish(channel) | Self::Read(channel) => channel,
        }
    }
}

/// Decides whether a request is allowed; the refusal is sent if it is not.
pub(super) type Check = Arc<dyn Fn(&Parts, Ask<'_>) -> Result<(), Refusal> + Send + Sync>;

/// Whether the server is ready: a note, or the reason why not.
pub(super) type Ready = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// Makes the text of `/metrics`.
pub(super) type MetricsText = Arc<dyn Fn() -> String + Send + Sync>;

/// The embedding program, as requests see it.
pub(super) struct Program {
    pub(super) check: Option<Check>,
    pub(super) ready: Ready,
    pub(super) metrics_text: MetricsText,
    pub(super) site: Site,
}

impl Program {
    /// Runs the program's check. Every request that reads or publishes passes through here, in every dialect.
    ///
    /// # Errors
    /// The program's refusal.
    pub(super) fn check(&self, head: Head<'_>, ask: Ask<'_>) -> Result<(), Refusal> {
        tracing::debug!(?ask, "asked");
        self.check.as_ref().map_or(Ok(()), |check| head.with_parts(|head| check(head, ask)))
    }

    /// A copy of the head for a later check, if there is a check.
    pub(super) fn keep_head(&self, head: Head<'_>) -> Option<Box<Parts>> {
        self.check.is_some().then(|| Box::new(head.with_parts(Parts::clone)))
    }
}
