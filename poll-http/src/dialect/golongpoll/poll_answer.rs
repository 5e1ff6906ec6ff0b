//! Answers to polls of `/events`: where they start, which events they get, and what happens to those events.

use std::io::Write as _;
use std::sync::Arc;

use http::{HeaderValue, StatusCode, header};
use poll_core::{Batch, ChannelName, Form, Message, ReadState, Store, Timestamp, View};

use crate::dialect::format::{Lookup, Opening, PollFormat, Ready};
use crate::dialect::golongpoll::start::{Granularity, Since, Start};
use crate::dialect::golongpoll::whole_milliseconds::WholeMilliseconds;
use crate::dialect::message_list::{self, List};
use crate::dialect::question::{Answer, Question, Reading};
use crate::message::body::Body;
use crate::message::json::{write_payload, write_string};
use crate::message::refusal::Refusal;
use crate::message::reply::{Reply, Wants};
use crate::message::respond;
use crate::worker::settings::AfterDelivery;

/// One poll of `/events`.
pub(crate) struct PollAnswer {
    store: Store,
    since: Since,
    wants: Wants,
    /// The server's setting: whether deleted events are left out.
    setting: AfterDelivery,
    /// What happens to the events that this client gets.
    after_delivery: AfterDelivery,
    granularity: Granularity,
    milliseconds: WholeMilliseconds,
    /// The `since_time` in effect; known once the poll has started.
    since_time: u64,
}

impl PollAnswer {
    pub(super) fn new(
        store: Store,
        since: Since,
        wants: Wants,
        setting: AfterDelivery,
        after_delivery: AfterDelivery,
    ) -> Self {
        let (granularity, milliseconds) = (Granularity::Millisecond, WholeMilliseconds::default());
        Self { store, since, wants, setting, after_delivery, granularity, milliseconds, since_time: 0 }
    }
}

impl PollFormat for PollAnswer {
    fn opening(&self) -> Opening {
        Opening::Position(self.since.position())
    }

    fn settles(&mut self, lookup: &Lookup) -> Option<u64> {
        self.since.settles(lookup)
    }

    fn start(&mut self, question: Question, lookup: &Lookup, settled: u64) -> Question {
        let Start { position, since_time, granularity } = self.since.start(lookup, settled);
        (self.since_time, self.granularity) = (since_time, granularity);
        Question { reading: Reading { position, ..question.reading }, ..question }
    }

    fn ready(&mut self, channel: &ChannelName, view: &View, now: Timestamp) -> Ready {
        // HEAD gets no messages, and its answer at once.
        if self.granularity == Granularity::Message || self.wants == Wants::HeadOnly {
            return Ready::All;
        }
        self.milliseconds.ready(&self.store, channel, view, now)
    }

    fn select(
        &self,
        channel: &ChannelName,
        read_state: &ReadState,
        messages: &[Arc<Message>],
    ) -> Option<Vec<Arc<Message>>> {
        (self.setting == AfterDelivery::Delete)
            .then(|| self.store.not_retrieved(channel, read_state.epoch, messages))
    }

    fn write(self: Box<Self>, channel: &ChannelName, answer: &Answer) -> Result<Reply, Refusal> {
        let reply = write(answer, channel, self.since_time);
        let deletes = self.after_delivery == AfterDelivery::Delete && self.wants == Wants::Body;
        let Some(only) = answer.only.clone().filter(|_| deletes) else { return Ok(reply) };
        let (store, channel, epoch) = (self.store, channel.clone(), answer.view.read_state.epoch);
        let reserved = store.reserve_retrievals(only.len())?;
        let body = reply.body.on_written(move || store.mark_retrieved(&channel, epoch, &only, reserved));
        Ok(Reply { body, ..reply })
    }
}

fn write(answer: &Answer, channel: &ChannelName, since_time: u64) -> Reply {
    let body = if let Some(batch) = &answer.view.batch {
        message_list::body(Listing::of(channel), answer, batch, Vec::new())
    } else {
        Body::full(format!(r#"{{"timeout":"no events before timeout","timestamp":{since_time}}}"#))
    };
    let mut reply = respond::whole(StatusCode::OK, respond::JSON, respond::NO_STORE, body);
    message_list::add_missed(&mut reply, answer.missed());
    uncached(reply)
}

/// Adds the library's caching fields, which every answer of this dialect has.
pub(crate) fn uncached(mut reply: Reply) -> Reply {
    reply.cache = Some("no-cache, no-store, must-revalidate".into());
    let headers = reply.headers_mut();
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(header::EXPIRES, HeaderValue::from_static("0"));
    reply
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
    type Batch = Batch;

    const FORM: Form = Form::new("golongpoll");
    const GZIPPED: Form = Form::new("golongpoll, gzip");

    fn open(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"events":["#);
    }

    fn message(&self, out: &mut Vec<u8>, message: &Arc<Message>) {
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
