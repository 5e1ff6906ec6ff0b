//! Parses a request: each target's dialect into its pattern's request. Nothing is left to parse after this.

use bytes::Bytes;
use poll_core::{ChannelName, IdempotencyKey};

use crate::access::authority::{Grant, Right, Scope};
use crate::access::client::Client;
use crate::dialect::durable_streams::{self, Append, Cached, Create, Live};
use crate::dialect::format::{PollFormat, PublishFormat};
use crate::dialect::native::{self, Lines, PublishBody};
use crate::dialect::question::{Asked, ListStanding, ListStreamQuestion, Question, StreamQuestion};
use crate::dialect::{channel, chat, golongpoll};
use crate::message::access_log::Logged;
use crate::message::body_charge::BodyCharge;
use crate::message::coding::Codings;
use crate::message::connection_info::ConnectionInfo;
use crate::message::head::{Field, Head};
use crate::message::outcome::Outcome;
use crate::message::refusal::Refusal;
use crate::message::reply::Wants;
use crate::pattern::progress::{self, Job};
use crate::pattern::{
    append, catch_up, create, describe, events, long_poll, message, presence, publish, push, short_poll,
    stream,
};
use crate::service::program::{Ask, Program};
use crate::service::router::{Action, Target};
use crate::worker::Worker;
use crate::worker::settings::{Compress, ServiceSettings};

/// A request that reads, by pattern.
pub(super) enum Read<'a> {
    Short(short_poll::Request<'a>),
    ShortList(short_poll::ListRequest<'a>),
    Long(long_poll::Request),
    LongList(long_poll::ListRequest),
    Stream(stream::Request),
    Push(push::Request),
    Progress(progress::Request),
    Message(message::Request),
    Presence(presence::Request),
    Describe(describe::Request),
    CatchUp(catch_up::Request<'a>),
    Events(events::Request),
}

/// Parses a request that reads.
///
/// # Errors
/// 400 if it is malformed, 405 if the target cannot be read.
pub(super) fn read<'a>(
    worker: &Worker,
    target: Target,
    action: Action,
    head: Head<'a>,
    connection: &ConnectionInfo,
    grant: &Grant,
) -> Result<Read<'a>, Refusal> {
    let settings = worker.settings();
    let most = settings.max_channels_per_request;
    let wants = if action == Action::Head { Wants::HeadOnly } else { Wants::Body };
    let codings = match settings.compress {
        Compress::On => Codings::accepted(head),
        Compress::Off => Codings::Off,
    };
    Ok(match target {
        Target::ShortPoll => {
            let seen = head.field(Field::IfNoneMatch);
            match native::short_poll(head, worker.lists(), most)? {
                Asked::One(question) => Read::Short(short_poll::Request { question, seen, wants, codings }),
                Asked::Several(question) => {
                    Read::ShortList(short_poll::ListRequest { question, seen, wants, codings })
                }
            }
        }
        Target::LongPoll => match native::long_poll(head, worker.lists(), most, settings.max_poll)? {
            Asked::One(question) => long_poll(question, native::PollAnswer, wants, codings),
            Asked::Several(question) => Read::LongList(long_poll::ListRequest { question, wants, codings }),
        },
        Target::Events => {
            let (scheme, store) = (connection.scheme(), worker.store());
            let (question, format) = golongpoll::question(head, scheme, settings, store, wants, grant)?;
            long_poll(question, format, wants, codings)
        }
        Target::Chat => long_poll(chat::question(head)?, chat::PollAnswer, wants, codings),
        Target::ChannelPoll(name) => {
            let (question, format) = channel::question(head, name, settings.max_poll)?;
            long_poll(question, format, wants, codings)
        }
        Target::Stream => {
            Read::Stream(stream::Request { asked: native::stream(head, worker.lists(), most)? })
        }
        Target::Push => Read::Push(push::Request {
            asked: native::stream(head, worker.lists(), most)?,
            push: connection.push,
        }),
        Target::Job(job) => {
            let asked = native::job(head, job)?;
            Read::Progress(progress::Request { asked, job: Job::Reported, wants })
        }
        Target::DemoJob => {
            let asked = native::demo_job(head, progress::demo_job(worker)?)?;
            Read::Progress(progress::Request { asked, job: Job::Demo, wants })
        }
        Target::Presence => Read::Presence(presence::Request { channel: native::presence(head)? }),
        Target::Message(channel, locator) => Read::Message(message::Request { channel, locator }),
        Target::DurableStream(channel) => durable_stream(worker, channel, head, wants, codings)?,
        other => return Err(Refusal::method_not_allowed(other.allow())),
    })
}

fn long_poll(
    question: Question,
    format: impl PollFormat + 'static,
    wants: Wants,
    codings: Codings,
) -> Read<'static> {
    Read::Long(long_poll::Request { question, format: Box::new(format), wants, codings })
}

fn durable_stream<'a>(
    worker: &Worker,
    channel: ChannelName,
    head: Head<'a>,
    wants: Wants,
    codings: Codings,
) -> Result<Read<'a>, Refusal> {
    if wants == Wants::HeadOnly {
        return Ok(Read::Describe(describe::Request { channel }));
    }
    let anyone = *worker.authorities().load().anyone.scope(Right::Subscribe) == Scope::All;
    let cached = if anyone { Cached::ByAnyone } else { Cached::ByReader };
    let read = durable_streams::read(head)?;
    Ok(match read.live {
        Live::No => {
            let seen = head.field(Field::IfNoneMatch);
            Read::CatchUp(catch_up::Request { channel, read, cached, seen, codings })
        }
        Live::LongPoll => {
            let (question, format) = durable_streams::long_poll(channel, read, cached, worker)?;
            long_poll(question, format, wants, codings)
        }
        Live::Events => Read::Events(events::Request { channel, read }),
    })
}

/// The channels of a stream.
fn streamed(asked: &Asked<StreamQuestion, ListStreamQuestion>) -> &[ChannelName] {
    match asked {
        Asked::One(asked) => std::slice::from_ref(&asked.question.reading.channel),
        Asked::Several(asked) => asked.standing.channels().names(),
    }
}

impl Read<'_> {
    /// Tells the access log which pattern reads which channels.
    pub(super) fn log(&self, logged: &Logged) {
        if !logged.is_on() {
            return;
        }
        let one = std::slice::from_ref::<ChannelName>;
        let (pattern, channels) = match self {
            Self::Short(short) => ("short", one(&short.question.reading.channel)),
            Self::ShortList(short) => ("short", short.question.standing.channels().names()),
            Self::Long(long) => ("long", one(&long.question.reading.channel)),
            Self::LongList(long) => ("long", long.question.standing.channels().names()),
            Self::Stream(stream::Request { asked }) => ("stream", streamed(asked)),
            Self::Push(push::Request { asked, .. }) => ("push", streamed(asked)),
            Self::Progress(progress) => ("progress", one(&progress.asked.question.reading.channel)),
            Self::Message(message) => ("message", one(&message.channel)),
            Self::Presence(presence) => ("presence", one(&presence.channel)),
            Self::Describe(describe) => ("describe", one(&describe.channel)),
            Self::CatchUp(catch_up) => ("short", one(&catch_up.channel)),
            Self::Events(events) => ("stream", one(&events.channel)),
        };
        logged.pattern(pattern);
        logged.channels(channels);
    }

    /// Checks what the token grants, then runs the program's check: on each of several channels by itself. Those that are
    /// refused are left out, unless all are.
    ///
    /// # Errors
    /// 403 if the token does not grant it, or the program's refusal.
    pub(super) fn check(
        &mut self,
        worker: &Worker,
        program: &Program,
        head: Head<'_>,
        grant: &Grant,
    ) -> Result<(), Refusal> {
        let refused = |standing: &ListStanding| program.check_each(head, grant, standing.channels().names());
        let ask = match self {
            Self::ShortList(short_poll::ListRequest { question, .. })
            | Self::LongList(long_poll::ListRequest { question, .. }) => {
                return question.refuse(worker.lists(), refused(&question.standing)?);
            }
            Self::Short(short) => Ask::Read(&short.question.reading.channel),
            Self::Long(long) => Ask::Read(&long.question.reading.channel),
            Self::Stream(stream::Request { asked }) | Self::Push(push::Request { asked, .. }) => {
                match asked {
                    Asked::One(asked) => Ask::Read(&asked.question.reading.channel),
                    Asked::Several(asked) => {
                        return asked.refuse(worker.lists(), refused(&asked.standing)?);
                    }
                }
            }
            Self::Progress(progress) => {
                let channel = &progress.asked.question.reading.channel;
                if progress.job == Job::Demo { Ask::Publish(channel) } else { Ask::Read(channel) }
            }
            Self::Message(message::Request { channel, .. })
            | Self::Presence(presence::Request { channel })
            | Self::Describe(describe::Request { channel })
            | Self::CatchUp(catch_up::Request { channel, .. })
            | Self::Events(events::Request { channel, .. }) => Ask::Read(channel),
        };
        program.check(Some(head), grant, ask)
    }

    /// Answers it, by its pattern.
    ///
    /// # Errors
    /// See the patterns.
    pub(super) fn answer(self, worker: &Worker, client: Client) -> Result<Outcome, Refusal> {
        match self {
            Self::Short(request) => short_poll::answer(worker, request, client),
            Self::ShortList(request) => short_poll::answer_list(worker, request, client),
            Self::Long(request) => long_poll::answer(worker, request, client),
            Self::LongList(request) => long_poll::answer_list(worker, request, client),
            Self::Stream(request) => stream::answer(worker, request, client),
            Self::Push(request) => push::answer(worker, request, client),
            Self::Progress(request) => progress::answer(worker, request, client),
            Self::Message(request) => message::answer(worker, request, client),
            Self::Presence(request) => presence::answer(worker, &request, &client),
            Self::Describe(request) => describe::answer(worker, request, client),
            Self::CatchUp(request) => catch_up::answer(worker, request, client),
            Self::Events(request) => events::answer(worker, request, client),
        }
    }
}

/// A publish whose content is still to be read.
pub(super) enum Posted {
    /// One message, or a body of lines, all or none.
    Native(ChannelName, PublishBody, Option<IdempotencyKey>, Option<String>),
    /// One step of a job; the one with a final status ends it.
    Step(ChannelName),
    Event,
    Chat,
    Channel(ChannelName),
    /// Content of a stream.
    Append(ChannelName, Append),
    /// A stream, with its URL.
    Create(ChannelName, Create, String),
}

/// A parsed request that writes.
pub(super) enum Write {
    Publish(publish::Request),
    Append(append::Request),
    Create(create::Request),
}

/// Parses the head of a publish.
///
/// # Errors
/// 400 if it is malformed, 405 if the target cannot be published to.
pub(super) fn publish(
    worker: &Worker,
    target: Target,
    action: Action,
    head: Head<'_>,
    connection: &ConnectionInfo,
) -> Result<Posted, Refusal> {
    Ok(match target {
        Target::Publish => {
            let (channel, content) = native::publish_query(head)?;
            let key = native::idempotency_key(head)?;
            Posted::Native(channel, PublishBody::of(head), key, content)
        }
        Target::Job(job) => Posted::Step(job),
        Target::PublishEvent => Posted::Event,
        Target::Chat => Posted::Chat,
        Target::ChannelPublish(channel) => Posted::Channel(channel),
        Target::DurableStream(channel) if action == Action::Put => {
            let scheme = worker.server().proxies.scheme(connection, head);
            let location = durable_streams::location(head, scheme)?;
            Posted::Create(channel, durable_streams::create(head)?, location)
        }
        Target::DurableStream(channel) => Posted::Append(channel, durable_streams::append(head)?),
        other => return Err(Refusal::method_not_allowed(other.allow())),
    })
}

impl Posted {
    /// The limit on the content's size.
    pub(super) fn most_bytes(&self, settings: &ServiceSettings) -> usize {
        let most = settings.max_payload_bytes;
        match self {
            Self::Native(_, incoming, ..) => incoming.most_bytes(most),
            Self::Event => most.saturating_add(golongpoll::ENVELOPE_BYTES),
            Self::Chat => chat::MOST_BYTES,
            Self::Step(_) | Self::Channel(_) => most,
            Self::Append(..) | Self::Create(..) => durable_streams::most_bytes(most),
        }
    }

    /// A reader for content that is parsed in pieces first, and the body that receives its lines.
    pub(super) fn lines<'a>(&mut self, content: &'a [u8]) -> Option<(Lines<'a>, &mut PublishBody)> {
        let Self::Native(_, incoming, _, None) = self else { return None };
        Some((incoming.lines(content)?, incoming))
    }

    /// Parses the content. `body_charge` is for the content, which is released with the response.
    ///
    /// # Errors
    /// 400 if the content is malformed, 413 if a message in it is too large.
    pub(super) fn with(
        self,
        content: &[u8],
        body_charge: Option<BodyCharge>,
        settings: &ServiceSettings,
    ) -> Result<Write, Refusal> {
        let most = settings.max_payload_bytes;
        let (channel, publish, format): (_, _, Box<dyn PublishFormat>) = match self {
            Self::Native(channel, mut incoming, key, given) => {
                let publish = native::publish(key, given, &mut incoming, content, most, settings.demo)?;
                (channel, publish, Box::new(incoming))
            }
            Self::Step(job) => (job, native::progress_report(content, most)?, Box::new(native::StepAnswer)),
            Self::Event => {
                let (channel, publish) = golongpoll::publish(content, most)?;
                (channel, publish, Box::new(golongpoll::PublishAnswer))
            }
            Self::Chat => {
                let (publish, format) = chat::publish(content, most)?;
                (chat::channel()?, publish, Box::new(format))
            }
            Self::Channel(channel) => {
                (channel, channel::publish(content, most)?, Box::new(channel::PublishAnswer))
            }
            Self::Append(channel, mut append) => {
                let publish = append.with(content, most)?;
                let (condition, content) = (append.condition, content.len());
                return Ok(Write::Append(append::Request {
                    channel,
                    publish,
                    condition,
                    content,
                    body_charge,
                }));
            }
            Self::Create(channel, create, location) => {
                let content = Bytes::copy_from_slice(content);
                return Ok(Write::Create(create::Request {
                    channel,
                    create,
                    content,
                    location,
                    body_charge,
                }));
            }
        };
        Ok(Write::Publish(publish::Request { channel, publish, format, content: content.len(), body_charge }))
    }
}

impl Write {
    /// What is written to.
    pub(super) fn channel(&self) -> &ChannelName {
        match self {
            Self::Publish(publish::Request { channel, .. })
            | Self::Append(append::Request { channel, .. })
            | Self::Create(create::Request { channel, .. }) => channel,
        }
    }

    /// What becomes readable under another name by that.
    pub(super) fn source(&self) -> Option<&ChannelName> {
        let Self::Create(create::Request { create, .. }) = self else { return None };
        create.origin.as_ref().map(|origin| &origin.source)
    }

    /// Answers it, by its pattern.
    ///
    /// # Errors
    /// See the patterns.
    pub(super) fn answer(self, worker: &Worker) -> Result<Outcome, Refusal> {
        match self {
            Self::Publish(request) => publish::answer(worker, request),
            Self::Append(request) => append::answer(worker, request),
            Self::Create(request) => create::answer(worker, request),
        }
    }
}
