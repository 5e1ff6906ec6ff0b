//! What the embedding program provides: its access check, its page, its health and metrics.
//!
//! The check runs after parsing and before anything is read, waited for or published, and behind that of the token's grant.
//! A program that authenticates users by other means than tokens does so beforehand, or from the head.

use std::sync::Arc;

use http::StatusCode;
use http::request::Parts;
use poll_core::ChannelName;

use crate::access::authority::{self, Grant};
use crate::dialect::durable_streams;
use crate::message::head::Head;
use crate::message::refusal::Refusal;
use crate::pattern::subscription::Hub;
use crate::presence;
use crate::service::openapi;
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

    fn is_granted(self, grant: &Grant) -> bool {
        match self {
            Self::Publish(channel) => grant.publish.covers(channel),
            Self::Read(channel) => grant.subscribe.covers(channel),
        }
    }
}

/// Whether a channel holds the server's own records of Durable Streams.
pub(super) fn is_reserved(channel: &ChannelName) -> bool {
    channel.as_str().starts_with(durable_streams::RESERVED)
}

/// Whether a refusal is about what the client may read.
fn is_denial(refusal: &Refusal) -> bool {
    matches!(refusal.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND)
}

/// Decides whether a request is allowed; the refusal is sent if it is not.
pub(super) type Check = Arc<dyn Fn(&Parts, Ask<'_>) -> Result<(), Refusal> + Send + Sync>;

/// Whether the server is ready: a note, or the reason why not.
pub(super) type Ready = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// Makes the text of `/metrics`.
pub(super) type MetricsText = Arc<dyn Fn() -> String + Send + Sync>;

/// The channels that are the server's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reserved {
    Nothing,
    /// Those of presence: the server alone writes there, and the channel of its records is not read either.
    Presence,
}

impl Reserved {
    fn check(self, ask: Ask<'_>) -> Result<(), Refusal> {
        if self == Self::Nothing {
            return Ok(());
        }
        let refused = match ask {
            Ask::Publish(channel) => presence::is_reserved(channel),
            Ask::Read(channel) => presence::is_records(channel),
        };
        if refused { Err(Refusal::new(StatusCode::FORBIDDEN, SERVERS_OWN)) } else { Ok(()) }
    }
}

const SERVERS_OWN: &str = "the channels of `presence/` are the server's own";

/// The embedding program, as requests see it.
pub(super) struct Program {
    pub(super) check: Option<Check>,
    pub(super) ready: Ready,
    pub(super) metrics_text: MetricsText,
    pub(super) site: Site,
    pub(super) reserved: Reserved,
    pub(super) openapi: openapi::Shared,
    /// If there are any.
    pub(super) subscriptions: Option<Hub>,
}

impl Program {
    /// Checks a request's grant, then runs the program's check. Every request that reads or publishes passes through here,
    /// in every dialect. The head may be left out if there is [nothing to keep it for](Self::keep_head).
    ///
    /// # Errors
    /// 403 without the right on this channel, or the program's refusal.
    pub(super) fn check(&self, head: Option<Head<'_>>, grant: &Grant, ask: Ask<'_>) -> Result<(), Refusal> {
        tracing::debug!(?ask, "asked");
        if is_reserved(ask.channel()) {
            let why = "names that begin with `__ds/` are the server's own";
            return Err(Refusal::new(StatusCode::FORBIDDEN, why));
        }
        if !ask.is_granted(grant) {
            return Err(authority::insufficient());
        }
        self.reserved.check(ask)?;
        let (Some(check), Some(head)) = (&self.check, head) else { return Ok(()) };
        head.with_parts(|head| check(head, ask))
    }

    /// The same for each of several channels: those for which the client has no right.
    ///
    /// # Errors
    /// When that is all of them, or for another reason than the client's rights.
    pub(super) fn check_each(
        &self,
        head: Head<'_>,
        grant: &Grant,
        channels: &[ChannelName],
    ) -> Result<Vec<ChannelName>, Refusal> {
        channels.iter().for_each(|channel| tracing::debug!(ask = ?Ask::Read(channel), "asked"));
        let is_refused = |channel: &&ChannelName| is_reserved(channel) || !grant.subscribe.covers(channel);
        let mut refused: Vec<ChannelName> = channels.iter().filter(is_refused).cloned().collect();
        if refused.len() == channels.len() {
            return Err(authority::insufficient());
        }
        let own = |channel: &&ChannelName| self.reserved.check(Ask::Read(channel)).is_err();
        if self.reserved != Reserved::Nothing
            && let Some(own) = channels.iter().find(own).filter(|own| !refused.contains(own))
        {
            refused.push(own.clone());
            if refused.len() == channels.len() {
                return Err(Refusal::new(StatusCode::FORBIDDEN, SERVERS_OWN));
            }
        }
        let Some(check) = &self.check else { return Ok(refused) };
        let granted: Vec<&ChannelName> =
            channels.iter().filter(|channel| !refused.contains(channel)).collect();
        let mut denied = None;
        head.with_parts(|head| {
            for channel in granted {
                match check(head, Ask::Read(channel)) {
                    Err(refusal) if is_denial(&refusal) => {
                        refused.push(channel.clone());
                        // 401 first: with a token more may be allowed.
                        if denied.is_none() || refusal.status() == StatusCode::UNAUTHORIZED {
                            denied = Some(refusal);
                        }
                    }
                    Err(refusal) => return Err(refusal),
                    Ok(()) => {}
                }
            }
            Ok(())
        })?;
        denied.filter(|_| refused.len() == channels.len()).map_or(Ok(refused), Err)
    }

    /// A copy of the head for a later check, if there is a check.
    pub(super) fn keep_head(&self, head: Head<'_>) -> Option<Box<Parts>> {
        self.check.is_some().then(|| Box::new(head.with_parts(Parts::clone)))
    }
}
