//! Answers to reads: what is there already, and what a long poll has waited for.

use std::borrow::Cow;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use poll_core::life::{Description, Standing};
use poll_core::{ChannelName, Continuity, Cursor, Position, ReadState, Timestamp, View};

use crate::dialect::durable_streams::answer::{
    absent, add_closed, add_next, add_up_to_date, content_type, live,
};
use crate::dialect::durable_streams::content::body;
use crate::dialect::durable_streams::fields;
use crate::dialect::durable_streams::interval::Interval;
use crate::dialect::durable_streams::media::Media;
use crate::dialect::durable_streams::request::{Begins, Read, Start};
use crate::dialect::format::{Opening, PollFormat, Ready};
use crate::dialect::message_list;
use crate::dialect::question::{Answer, Question, Reading};
use crate::message::body::Body;
use crate::message::coding::Codings;
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::message::respond;
use crate::message::unchanged;

/// A minute, and five more while a cache asks again: what follows an offset does not change, only how much of it there is.
const PUBLIC: &str = "public, max-age=60, stale-while-revalidate=300";
/// The same where readers need tokens.
const PRIVATE: &str = "private, max-age=60, stale-while-revalidate=300";

/// Who may keep an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cached {
    ByAnyone,
    /// Reading takes a token.
    ByReader,
}

/// What a reader is answered with, besides messages.
#[derive(Debug, Clone)]
pub(crate) struct CatchUp {
    pub(crate) start: Start,
    pub(crate) media: Media,
    content_type: HeaderValue,
    cached: Cached,
}

impl CatchUp {
    /// Of a stream.
    ///
    /// # Errors
    /// As for [`Read::start`].
    pub(crate) fn new(read: &Read, stream: &Description, cached: Cached) -> Result<Self, Refusal> {
        let media = Media::of(stream.life.content_type.as_ref());
        Ok(Self { start: read.start(stream)?, media, content_type: content_type(stream), cached })
    }

    fn cache(&self) -> Cow<'static, str> {
        match (self.start.begins, self.cached) {
            (Begins::AtTail, _) => respond::NO_STORE,
            (_, Cached::ByAnyone) => PUBLIC,
            (_, Cached::ByReader) => PRIVATE,
        }
        .into()
    }

    /// The tag of an answer: the incarnation, where it begins and ends, and whether it says that the stream is closed.
    fn tag(&self, view: &View) -> Box<[u8]> {
        let ReadState { epoch, first, .. } = view.read_state;
        let closed = if is_end(view) { ":closed" } else { "" };
        let (epoch, end) = (epoch.get(), view.next.seq);
        format!("\"{epoch:016x}:{first}:{end}{closed}\"").into_bytes().into()
    }

    /// Everything after the reader's offset that is given at once. `seen` is the reader's `If-None-Match`.
    ///
    /// # Errors
    /// 404 if the stream was deleted meanwhile.
    pub(crate) fn write(
        &self,
        view: &View,
        now: Timestamp,
        seen: Option<&[u8]>,
        codings: Codings,
    ) -> Result<Reply, Refusal> {
        if view.read_state.continuity == Continuity::Reset {
            return Err(absent());
        }
        let tag = (self.start.begins != Begins::AtTail).then(|| self.tag(view));
        if let (Some(seen), Some(tag)) = (seen, &tag)
            && let Some(unchanged) = unchanged::unchanged(seen, tag, codings, now)
        {
            let mut reply = Reply { cache: Some(self.cache()), ..unchanged };
            self.add_place(&mut reply, view);
            return Ok(reply);
        }
        let mut reply = Reply { tag, ..self.content(view, codings) };
        codings.label(&mut reply);
        Ok(reply)
    }

    /// The content after the offset, and where to go on.
    fn content(&self, view: &View, codings: Codings) -> Reply {
        let body = match &view.batch {
            Some(batch) => body(batch, self.media, codings),
            None if self.media == Media::Json => Body::full(&b"[]"[..]),
            None => Body::empty(),
        };
        let mut reply = Reply { cache: Some(self.cache()), ..Reply::new(StatusCode::OK, body) };
        reply.headers_mut().insert(CONTENT_TYPE, self.content_type.clone());
        self.add_place(&mut reply, view);
        reply
    }

    /// Adds where the answer ends in the stream, and what it is missing.
    fn add_place(&self, reply: &mut Reply, view: &View) {
        self.add_unread_place(reply, view);
        if view.next.seq >= view.read_state.newest {
            add_up_to_date(reply);
        }
    }

    /// The same where the stream could not be read, so that there may be more.
    fn add_unread_place(&self, reply: &mut Reply, view: &View) {
        add_next(reply, view.next.seq);
        if is_end(view) {
            add_closed(reply);
        }
        message_list::add_missed(reply, view.read_state.missed());
    }
}

/// The view of a reader that asks for nothing but where the tail is.
pub(crate) fn at_tail(read_state: ReadState) -> View {
    let next = Cursor { epoch: read_state.epoch, seq: read_state.newest };
    View {
        read_state: ReadState { position: next.seq, first: next.seq.next(), ..read_state },
        batch: None,
        next,
    }
}

/// Whether nothing follows a view.
fn is_end(view: &View) -> bool {
    view.read_state.ended && view.next.seq >= view.read_state.newest
}

/// One long poll.
pub(crate) struct PollAnswer {
    read: Read,
    cached: Cached,
    random: u64,
    /// Known once the poll has begun.
    catch_up: Option<CatchUp>,
}

impl PollAnswer {
    /// `random` moves the cursor on where the reader has the present one already.
    pub(crate) fn new(read: Read, cached: Cached, random: u64) -> Self {
        Self { read, cached, random, catch_up: None }
    }
}

impl PollFormat for PollAnswer {
    fn opening(&self) -> Opening {
        Opening::Described
    }

    fn begin(&mut self, question: Question, standing: Standing) -> Result<Question, Refusal> {
        let stream = live(standing)?;
        let catch_up = CatchUp::new(&self.read, &stream, self.cached)?;
        let position = Position::After(catch_up.start.cursor);
        self.catch_up = Some(catch_up);
        Ok(Question { reading: Reading { position, ..question.reading }, ..question })
    }

    fn ready(&mut self, _: &ChannelName, view: &View, _: Timestamp) -> Ready {
        // Deleted, or another stream of the same name by now.
        if view.read_state.continuity == Continuity::Reset { Ready::Over } else { Ready::All }
    }

    fn write(self: Box<Self>, _: &ChannelName, answer: &Answer) -> Result<Reply, Refusal> {
        let view = &answer.view;
        let Some(catch_up) = self.catch_up.filter(|_| view.read_state.continuity == Continuity::Kept) else {
            return Err(absent());
        };
        let mut reply = match &view.batch {
            Some(_) => catch_up.content(view, answer.codings),
            None => {
                let mut reply =
                    Reply { cache: Some(respond::NO_STORE.into()), ..respond::bare(StatusCode::NO_CONTENT) };
                if answer.is_unread {
                    catch_up.add_unread_place(&mut reply, view);
                } else {
                    catch_up.add_place(&mut reply, view);
                }
                reply
            }
        };
        let interval = Interval::answer(answer.now, self.read.interval, self.random);
        reply.headers_mut().insert(fields::STREAM_CURSOR, HeaderValue::from(interval.get()));
        Ok(reply)
    }
}
