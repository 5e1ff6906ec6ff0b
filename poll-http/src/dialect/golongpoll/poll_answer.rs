//! Polls of `/events` as they are answered: where they start, what they may be given, and what becomes of it.

use std::io::Write as _;
use std::sync::Arc;

use http::{HeaderValue, StatusCode, header};
use poll_core::{Batch, ChannelName, Form, Message, Position, ReadState, Store, Timestamp, View};

use crate::dialect::format::{Cut, Place, PollFormat};
use crate::dialect::golongpoll::start::{Grain, Since, Start};
use crate::dialect::golongpoll::whole_milliseconds::WholeMilliseconds;
use crate::dialect::list::{self, List};
use crate::dialect::question::{Answer, Question};
use crate::message::body::Body;
use crate::message::json::{write_payload, write_string};
use crate::message::refusal::Refusal;
use crate::message::reply::{Reply, Wants};
use crate::message::respond;
use crate::worker::settings::Given;

/// One poll of `/events`.
pub(crate) struct Events {
    store: Store,
    since: Since,
    wants: Wants,
    /// Whether events are deleted here; then those that were are not given.
    door: Given,
    /// What becomes of the events that this client is given.
    becomes: Given,
    grain: Grain,
    milliseconds: WholeMilliseconds,
    /// The `since_time` that the poll really uses; known once it has its place.
    used: u64,
}

impl Events {
    pub(super) fn new(store: Store, since: Since, wants: Wants, door: Given, becomes: Given) -> Self {
        let (grain, milliseconds) = (Grain::Millisecond, WholeMilliseconds::default());
        Self { store, since, wants, door, becomes, grain, milliseconds, used: 0 }
    }
}

impl PollFormat for Events {
    fn place_by(&self) -> Option<Position> {
        Some(self.since.position())
    }

    fn place(&mut self, question: Question, place: &Place) -> Question {
        let settle = |millis| self.store.settle(place.now, &question.channels.only().channel, millis);
        let start = self.since.start(place.message.as_ref(), place.now, &place.read_state, settle);
        let Start { position, used, grain } = start;
        (self.used, self.grain) = (used, grain);
        Question { channels: question.channels.at(position), ..question }
    }

    fn cut(&mut self, channel: &ChannelName, view: &View, now: Timestamp) -> Cut {
        // A HEAD is given no messages, and at once.
        if self.grain == Grain::Message || self.wants == Wants::HeadOnly {
            return Cut::Nowhere;
        }
        self.milliseconds.cut(&self.store, channel, view, now)
    }

    fn select(
        &self,
        channel: &ChannelName,
        read_state: &ReadState,
        messages: &[Arc<Message>],
    ) -> Option<Vec<Arc<Message>>> {
        (self.door == Given::Deleted).then(|| self.store.not_retrieved(channel, read_state.epoch, messages))
    }

    fn write(self: Box<Self>, channel: &ChannelName, answer: &Answer) -> Result<Reply, Refusal> {
        let reply = write(answer, channel, self.used);
        let deletes = self.becomes == Given::Deleted && self.wants == Wants::Body;
        let Some(only) = answer.only.clone().filter(|_| deletes) else { return Ok(reply) };
        let (store, channel, epoch) = (self.store, channel.clone(), answer.view.read_state.epoch);
        let reserved = store.reserve_retrievals(only.len())?;
        let body = reply.body.on_written(move || store.mark_retrieved(&channel, epoch, &only, reserved));
        Ok(Reply { body, ..reply })
    }
}

/// The answer to a poll that used this `since_time`.
fn write(answer: &Answer, channel: &ChannelName, used: u64) -> Reply {
    let body = if let Some(batch) = &answer.view.batch {
        list::body(Listing::of(channel), answer, batch, Vec::new())
    } else {
        Body::full(format!(r#"{{"timeout":"no events before timeout","timestamp":{used}}}"#))
    };
    let mut reply = respond::whole(StatusCode::OK, respond::JSON, respond::NO_STORE, body);
    uncached(&mut reply);
    list::add_missed(&mut reply, &answer.view.read_state);
    reply
}

/// What the library says of caching, on everything that `/events` answers.
pub(crate) fn uncached(reply: &mut Reply) {
    reply.cache = Some("no-cache, no-store, must-revalidate".into());
    let headers = reply.headers_mut();
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(header::EXPIRES, HeaderValue::from_static("0"));
}

/// The events of a category.
pub(super) struct Listing {
    /// The category as JSON.
    category: Vec<u8>,
}

impl Listing {
    fn of(channel: &ChannelName) -> Self {
        let mut category = Vec::with_capacity(channel.as_str().len() + 2);
        write_string(&mut category, channel.as_str());
        Self { category }
    }
}

impl List for Listing {
    const FORM: Form = Form::new("golongpoll");

    fn open(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"events":["#);
    }

    fn message(&self, out: &mut Vec<u8>, message: &Message) {
        let _ = write!(out, r#"{{"timestamp":{},"category":"#, message.at.as_millis());
        out.extend_from_slice(&self.category);
        out.extend_from_slice(br#","data":"#);
        write_payload(out, &message.payload);
        let _ = write!(out, r#","id":"{}"}}"#, message.id);
    }

    fn close(&self, out: &mut Vec<u8>, _: &Batch, _: &[Arc<Message>]) {
        out.extend_from_slice(b"]}");
    }
}
