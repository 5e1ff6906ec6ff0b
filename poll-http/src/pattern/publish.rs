//! Publishing: the answer comes when the message is kept and every reader can see it.
//!
//! What a request publishes is settled in two steps, because its content may still be on its way: first what its head
//! says, then what its content makes of it.

use http::StatusCode;
use poll_core::{ChannelName, IdempotencyKey, Publish, Published};

use crate::dialect::native::{self, Incoming, Lines};
use crate::dialect::{channel, chat, golongpoll};
use crate::message::head::Head;
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::service::router::Target;
use crate::worker::settings::ServiceSettings;

/// A publish whose content is still to be read.
pub(crate) enum Posted {
    /// One message, or a body of lines, all or none.
    Native(ChannelName, Incoming, Option<IdempotencyKey>, Option<String>),
    /// One step of a job; the one with a final status ends it.
    Step(ChannelName),
    /// An event of the golongpoll dialect.
    Event,
    /// A message of the chat dialect.
    Chat,
    /// A message of the channel dialect.
    Channel(ChannelName),
}

/// In whose words it is told that a publish is kept.
pub(crate) enum Told {
    Native(Incoming),
    Step,
    Event,
    /// With the text that was published.
    Chat(String),
    Channel,
}

impl Posted {
    /// What the head says of a publish to `target`.
    ///
    /// # Errors
    /// 400 where it is malformed, 405 where nothing is published there.
    pub(crate) fn of(target: Target, head: Head<'_>) -> Result<Self, Refusal> {
        Ok(match target {
            Target::Publish => {
                let (channel, content) = native::address(head)?;
                let key = native::key(head)?;
                Self::Native(channel, Incoming::of(head), key, content)
            }
            Target::Job(job) => Self::Step(job),
            Target::PublishEvent => Self::Event,
            Target::Chat => Self::Chat,
            Target::ChannelPublish(channel) => Self::Channel(channel),
            other => return Err(Refusal::method_not_allowed(other.allow())),
        })
    }

    /// How many bytes of content may come.
    pub(crate) fn most_bytes(&self, settings: &ServiceSettings) -> usize {
        let most = settings.max_payload_bytes;
        match self {
            Self::Native(_, incoming, ..) => incoming.most_bytes(most),
            Self::Event => most.saturating_add(golongpoll::ENVELOPE_BYTES),
            Self::Chat => chat::MOST_BYTES,
            Self::Step(_) | Self::Channel(_) => most,
        }
    }

    /// Content that is to be read in pieces first, with what it is to be given to.
    pub(crate) fn lines<'a>(&mut self, content: &'a [u8]) -> Option<(Lines<'a>, &mut Incoming)> {
        let Self::Native(_, incoming, _, None) = self else { return None };
        Some((incoming.lines(content)?, incoming))
    }

    /// What is published, where, and how that is told.
    ///
    /// # Errors
    /// 400 where the content is malformed, 413 where a message in it is too large.
    pub(crate) fn with(
        self,
        content: &[u8],
        settings: &ServiceSettings,
    ) -> Result<(ChannelName, Publish, Told), Refusal> {
        let most = settings.max_payload_bytes;
        Ok(match self {
            Self::Native(channel, mut incoming, key, given) => {
                let publish = native::publish(key, given, &mut incoming, content, most, settings.demo)?;
                (channel, publish, Told::Native(incoming))
            }
            Self::Step(job) => (job, native::progress_report(content, most)?, Told::Step),
            Self::Event => {
                let (channel, publish) = golongpoll::publish(content, most)?;
                (channel, publish, Told::Event)
            }
            Self::Chat => {
                let (publish, text) = chat::publish(content, most)?;
                (chat::channel()?, publish, Told::Chat(text))
            }
            Self::Channel(channel) => (channel, channel::publish(content, most)?, Told::Channel),
        })
    }
}

impl Told {
    /// What the answer takes at most, where `messages` are published and it may be large.
    pub(crate) fn most_bytes(&self, messages: usize) -> usize {
        /// A stamp with its number, id, cursor and time.
        const A_STAMP: usize = 180;
        match self {
            // Given back with each byte as an escape.
            Self::Chat(text) => text.len() * 6,
            Self::Native(_) => messages * A_STAMP,
            Self::Step | Self::Event | Self::Channel => 0,
        }
    }

    /// The answer.
    pub(crate) fn reply(&self, channel: &ChannelName, published: &Published) -> Reply {
        match self {
            Self::Native(incoming) => native::published(channel, published, incoming),
            Self::Step => Reply {
                status: StatusCode::ACCEPTED,
                ..native::published(channel, published, &Incoming::STEP)
            },
            Self::Event => golongpoll::published(),
            Self::Chat(text) => chat::published(published, text),
            Self::Channel => channel::published(published),
        }
    }
}
