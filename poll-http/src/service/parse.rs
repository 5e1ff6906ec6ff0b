//! Requests that read, in two steps: first what is asked, with nothing left to parse, then its answer.
//!
//! The program's check stands between the two, once for all dialects and patterns.

use std::time::Duration;

use http::StatusCode;
use poll_core::{ChannelName, Found, Locator, Position};
use tokio::time::Instant;

use crate::access::client::Client;
use crate::access::origin;
use crate::access::tokens::Right;
use crate::dialect::frame::Framing;
use crate::dialect::question::{Answer, Question};
use crate::dialect::{channel, chat, golongpoll, native};
use crate::message::body::Body;
use crate::message::connection_info::{ConnectionInfo, PushPolicy};
use crate::message::head::Head;
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::message::respond;
use crate::pattern::{long_poll, progress, push, short_poll, stream};
use crate::service::Service;
use crate::service::check::Ask;
use crate::service::dispatch::{Step, charged, later, soon};
use crate::service::router::{Action, Dialect, Target};
use crate::worker::settings::Given;

/// What is asked, by pattern.
enum Read<'a> {
    /// With the tags that the asker has seen.
    Short(Question, Option<&'a [u8]>),
    Long(Question, Voice),
    Stream(Question, Option<Position>, Framing),
    Push(Question, Option<Position>, Framing),
    Job(ChannelName, Option<Position>, Framing),
    /// A demonstration, in a channel that is not yet.
    Demo(ChannelName, Framing),
    Message(ChannelName, Locator),
}

/// In whose words a long poll is answered.
#[derive(Clone, Copy)]
enum Voice {
    Native,
    /// With what becomes of what this asker is given.
    Events(golongpoll::Since, Given),
    Chat,
    Channel(channel::Mode),
}

impl Service {
    /// Requests that read.
    pub(super) fn give(
        &self,
        target: Target,
        action: Action,
        head: Head<'_>,
        client: Client,
        connection: &ConnectionInfo,
    ) -> Result<Step, Refusal> {
        let read = self.parse(target, head)?;
        self.ask(head, read.asks())?;
        self.answer(read, action, client, connection.push)
    }

    fn parse<'a>(&self, target: Target, head: Head<'a>) -> Result<Read<'a>, Refusal> {
        let settings = self.settings();
        Ok(match target {
            Target::ShortPoll => Read::Short(native::short_poll(head)?, short_poll::condition(head)),
            Target::LongPoll => Read::Long(native::long_poll(head, settings.max_poll)?, Voice::Native),
            Target::Events => {
                let (most, given) = (settings.golongpoll_most_seconds, settings.golongpoll_given);
                let events = golongpoll::events(head, most, given)?;
                Read::Long(events.question, Voice::Events(events.since, self.given_to_asker(head)))
            }
            Target::Chat => Read::Long(chat::question(head)?, Voice::Chat),
            Target::ChannelPoll(name) => {
                let (question, mode) = channel::question(head, name, settings.max_poll)?;
                Read::Long(question, Voice::Channel(mode))
            }
            Target::Stream => {
                let (question, given) = native::stream(head)?;
                Read::Stream(question, given, native::framing(head)?)
            }
            Target::Push => {
                let (question, given) = native::stream(head)?;
                Read::Push(question, given, native::framing(head)?)
            }
            Target::Job(job) => Read::Job(job, native::job(head)?, native::framing(head)?),
            Target::DemoJob => Read::Demo(progress::demo_job()?, native::framing(head)?),
            Target::Message(channel, locator) => Read::Message(channel, locator),
            other => return Err(Refusal::method_not_allowed(other.allow())),
        })
    }

    fn answer(
        &self,
        read: Read<'_>,
        action: Action,
        client: Client,
        push: PushPolicy,
    ) -> Result<Step, Refusal> {
        // What is asked stays where it is, if it is answered at once.
        if let Read::Short(question, seen) = &read
            && let Some(now) = short_poll::answer_resident(self, question, &client, action, *seen)
        {
            return now.map(Step::Now);
        }
        Ok(match read {
            Read::Short(question, seen) => {
                let service = self.clone();
                let seen = seen.map(<[u8]>::to_vec);
                later(short_poll::answer(service, question, client, action, seen))
            }
            Read::Long(question, voice) if action == Action::Head => {
                self.answer_in_time(Question { wait: Duration::ZERO, ..question }, voice, client, action)
            }
            Read::Long(question, voice) => self.answer_in_time(question, voice, client, action),
            Read::Stream(question, given, framing) => {
                later(stream::answer(self.clone(), question, client, given, framing))
            }
            Read::Push(question, given, framing) => {
                later(push::answer(self.clone(), question, client, given, framing, push))
            }
            Read::Job(job, given, framing) => {
                later(progress::answer(self.clone(), job, client, given, framing))
            }
            // Asking what would come must not start it.
            Read::Demo(_, framing) if action == Action::Head => {
                Step::Now(respond::streamed(native::media(framing), Body::empty()))
            }
            Read::Demo(job, framing) => later(progress::demo(self.clone(), job, client, framing)),
            Read::Message(channel, locator) => soon(message(self.clone(), channel, locator, client))?,
        })
    }

    /// Long polls, in each dialect's words. A waiter holds no more than its own words need.
    fn answer_in_time(&self, question: Question, voice: Voice, client: Client, action: Action) -> Step {
        let service = self.clone();
        match voice {
            Voice::Native => {
                let write = |given: &Answer| native::poll(given, "timestamp", respond::NO_STORE);
                later(long_poll::answer(service, question, client, action, write))
            }
            Voice::Events(since, becomes) => later(async move {
                let (door, channel) = (service.clone(), question.channel.clone());
                let (question, used) = service.place_events(question, since, &client).await?;
                let becomes = if action == Action::Head { Given::Kept } else { becomes };
                let write = move |given: &Answer| door.give_events(given, &channel, used, becomes);
                long_poll::answer(service, question, client, action, write).await
            }),
            Voice::Chat => later(long_poll::answer(service, question, client, action, chat::answer)),
            Voice::Channel(mode) => {
                let write = move |given: &Answer| channel::answer(given, mode);
                later(long_poll::answer(service, question, client, action, write))
            }
        }
    }

    /// Where a poll of events starts: what its client says of times and ids means something only beside those
    /// that the channel has.
    async fn place_events(
        &self,
        question: Question,
        since: golongpoll::Since,
        client: &Client,
    ) -> Result<(Question, u64), Refusal> {
        let (store, now, channel) = (self.store(), self.now(), question.channel.clone());
        let last = match since {
            golongpoll::Since::Event(_, last) => Some(last),
            golongpoll::Since::Now | golongpoll::Since::Time(_) => None,
        };
        let look = async {
            let pinned = store.pin(now, &channel, last.map_or(Position::End, Position::AfterId)).await?;
            let read_state = store.read_state(now, &channel, &pinned).await?;
            let Some(last) = last else { return Ok((read_state, golongpoll::Last::Unknown)) };
            let known = match store.message(now, &channel, Locator::Seq(read_state.position)).await? {
                Found::Message(message, _, _) if message.id == last => golongpoll::Last::Known,
                // What it was is forgotten, but that it was is not.
                Found::Gone => golongpoll::Last::Known,
                Found::Message(..) | Found::Never => golongpoll::Last::Unknown,
            };
            Ok((read_state, known))
        };
        let begun = Instant::now();
        let (read_state, known) = self.cold(&channel, client, question.wait, look).await?;
        let question = Question { wait: question.wait.saturating_sub(begun.elapsed()), ..question };
        // Behind the look at the end, so that what shows up in between is after it, and given.
        let settle = |millis| store.settle(now, &channel, millis);
        Ok(golongpoll::place(question, since, known, now, &read_state, settle))
    }

    /// What becomes of the events that this asker is given. To delete one is to write, so it takes the publish right,
    /// and a page of another site, which a browser lets send any GET, deletes nothing.
    fn given_to_asker(&self, head: Head<'_>) -> Given {
        let settings = self.settings();
        let may = || {
            settings.access.check(Right::Publish, head).is_ok()
                && origin::check_site(head, &settings.cors).is_ok()
        };
        if settings.golongpoll_given == Given::Deleted && may() { Given::Deleted } else { Given::Kept }
    }

    /// Events, which this door may be set to give only once.
    fn give_events(&self, given: &Answer, channel: &ChannelName, used: u64, becomes: Given) -> Reply {
        let reply = golongpoll::answer(given, channel, used);
        let Some(only) = given.only.clone().filter(|_| becomes == Given::Deleted) else {
            return reply;
        };
        let reserved = match self.store().reserve_retrievals(only.len()) {
            Ok(reserved) => reserved,
            Err(over) => {
                let refusal = Refusal::from(over);
                self.metrics().refused(refusal.reason());
                let mut reply = refusal.into_reply(Dialect::Golongpoll.shape());
                golongpoll::uncached(&mut reply);
                return reply;
            }
        };
        let (store, channel, epoch) = (self.store().clone(), channel.clone(), given.view.read_state.epoch);
        let body = reply.body.on_written(move || store.mark_retrieved(&channel, epoch, &only, reserved));
        Reply { body, ..reply }
    }
}

impl Read<'_> {
    /// What the program is asked about it.
    fn asks(&self) -> Ask<'_> {
        match self {
            Self::Demo(job, _) => Ask::Publish(job),
            read => Ask::Read(read.channel()),
        }
    }

    fn channel(&self) -> &ChannelName {
        match self {
            Self::Short(question, _)
            | Self::Long(question, _)
            | Self::Stream(question, _, _)
            | Self::Push(question, _, _) => &question.channel,
            Self::Job(channel, _, _) | Self::Demo(channel, _) | Self::Message(channel, _) => channel,
        }
    }
}

async fn message(
    service: Service,
    channel: ChannelName,
    locator: Locator,
    client: Client,
) -> Result<Reply, Refusal> {
    let now = service.now();
    let look = service.store().message(now, &channel, locator);
    match service.cold(&channel, &client, service.settings().cold_read, look).await? {
        Found::Message(message, at, until) => {
            let given_to = service.given_to(&channel, at);
            // A bare number means another message once the channel begins anew, and receipts grow: such an
            // answer is asked for each time.
            let cache = match (locator, &given_to) {
                (Locator::Cursor(_), None) => native::message_cache(now, until).into(),
                _ => respond::NO_CACHE.into(),
            };
            let reply = native::message(&message, given_to.as_deref(), cache);
            let room = service.room_for(reply.body.exact_length().unwrap_or_default())?;
            service.read_in_place(charged(reply, room), &channel, &client)
        }
        Found::Gone => {
            Err(Refusal::new(StatusCode::GONE, "the message is no longer retained, or cannot be read"))
        }
        Found::Never => Err(Refusal::new(StatusCode::NOT_FOUND, "there never was such a message")),
    }
}
