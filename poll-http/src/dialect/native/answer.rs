//! Answers of the native dialect to polls and publishes, and single messages.

use std::borrow::Cow;
use std::sync::Arc;

use http::StatusCode;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use poll_core::{
    Batch, ChannelName, Continuity, Cursor, Form, Limit, Message, Published, ReadState, Stamp, Timestamp,
};

use crate::dialect::format::{PollFormat, PublishFormat};
use crate::dialect::list::{self, List};
use crate::dialect::native::publish::Incoming;
use crate::dialect::question::Answer;
use crate::message::body::Body;
use crate::message::json::{
    write_cursor, write_encoding, write_id, write_number, write_payload, write_string, write_time,
};
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::message::respond;

/// What RFC 3986 §2.3 leaves unreserved stays readable in a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A cursor as [`Cursor::to_text`] writes it.
type CursorText = [u8; Cursor::TEXT_BYTES];

/// A poll's answer. `clock` is the name under which it says when it was given.
pub(crate) fn poll(answer: &Answer, clock: &str, cache: &'static str) -> Reply {
    // Just what it takes where there is nothing to flag, so that the vector becomes bytes as it is.
    let own_bytes = clock.len() + Timestamp::TEXT_BYTES + r#","":""}"#.len();
    let write_own = |own: &mut Vec<u8>| {
        write_flags(own, answer);
        own.extend_from_slice(b",\"");
        own.extend_from_slice(clock.as_bytes());
        own.extend_from_slice(b"\":");
        write_time(own, answer.now);
        own.push(b'}');
    };
    let body = if let Some(batch) = &answer.view.batch {
        let mut own = Vec::with_capacity(own_bytes);
        write_own(&mut own);
        list::body(Messages, answer, batch, own)
    } else {
        let empty = br#"{"messages":[],"count":0,"cursor":"#;
        let mut own = Vec::with_capacity(empty.len() + 2 + Cursor::TEXT_BYTES + own_bytes);
        own.extend_from_slice(empty);
        write_cursor(&mut own, answer.view.next);
        write_own(&mut own);
        Body::full(own)
    };
    Reply { made: Some(answer.now), ..respond::whole(StatusCode::OK, respond::JSON, cache, body) }
}

/// How a long poll is answered.
pub(crate) struct LongPoll;

impl PollFormat for LongPoll {
    fn write(self: Box<Self>, _: &ChannelName, answer: &Answer) -> Result<Reply, Refusal> {
        Ok(poll(answer, "timestamp", respond::NO_STORE))
    }
}

/// The part of a poll's answer that all who are given the same messages share.
struct Messages;

impl List for Messages {
    const FORM: Form = Form::new("native poll");

    fn open(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"messages":["#);
    }

    fn message(&self, out: &mut Vec<u8>, message: &Message) {
        write_message(out, message);
    }

    fn close(&self, out: &mut Vec<u8>, batch: &Batch, messages: &[Arc<Message>]) {
        out.extend_from_slice(br#"],"count":"#);
        write_number(out, messages.len() as u64);
        out.extend_from_slice(br#","cursor":"#);
        write_cursor(out, batch.end());
    }
}

fn write_flags(out: &mut Vec<u8>, answer: &Answer) {
    let read_state = &answer.view.read_state;
    if let Some(missed) = read_state.missed().filter(|missed| *missed > 0) {
        out.extend_from_slice(br#","missed":"#);
        write_number(out, missed);
    }
    if read_state.continuity == Continuity::Reset {
        out.extend_from_slice(br#","reset":true"#);
    }
    if answer.view.is_closed() {
        out.extend_from_slice(br#","closed":true"#);
    }
}

fn write_message(out: &mut Vec<u8>, message: &Message) {
    out.extend_from_slice(br#"{"id":"#);
    write_number(out, message.seq.get());
    out.extend_from_slice(br#","uuid":"#);
    write_id(out, message.id);
    out.extend_from_slice(br#","content":"#);
    let encoding = write_payload(out, &message.payload);
    write_encoding(out, encoding);
    out.extend_from_slice(br#","timestamp":"#);
    write_time(out, message.at);
    out.push(b'}');
}

/// The weak entity tag of a short poll (RFC 9110 §8.8.3): all that its answer depends on but the time.
pub(crate) fn etag(read_state: &ReadState, limit: Limit) -> Tag {
    let ReadState { epoch, oldest, newest, position, .. } = read_state;
    let mut tag = Tag { text: [0; Tag::MOST], length: 0 };
    tag.write(b"W/\"");
    tag.write(&Cursor { epoch: *epoch, seq: *position }.to_text());
    for number in [oldest.get(), newest.get(), limit.messages as u64] {
        tag.write(b"-");
        tag.write(itoa::Buffer::new().format(number).as_bytes());
    }
    tag.write(if read_state.ended { b"-e\"" } else { b"\"" });
    tag
}

/// An entity tag, on the stack until it is known to be wanted.
pub(crate) struct Tag {
    text: [u8; Self::MOST],
    length: usize,
}

impl Tag {
    /// A position and three numbers of at most 20 digits, each behind a `-`, the end's mark, and what is around.
    const MOST: usize = Cursor::TEXT_BYTES + 3 * 21 + r#"W/"-e""#.len();

    fn write(&mut self, part: &[u8]) {
        self.text[self.length..][..part.len()].copy_from_slice(part);
        self.length += part.len();
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }
}

/// One message as JSON.
pub(crate) fn message_json(message: &Message) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.payload.len() + 160);
    write_message(&mut out, message);
    out
}

/// One message as an answer of its own, with who was given it where that is noted.
pub(crate) fn message(message: &Message, given_to: Option<&[Arc<str>]>, cache: Cow<'static, str>) -> Reply {
    let mut out = message_json(message);
    if let Some(names) = given_to {
        out.pop();
        out.extend_from_slice(br#","delivered_to":["#);
        for (index, name) in names.iter().enumerate() {
            out.extend_from_slice(if index > 0 { b"," } else { b"" });
            write_string(&mut out, name);
        }
        out.extend_from_slice(b"]}");
    }
    respond::whole(StatusCode::OK, respond::JSON, cache, Body::full(out))
}

/// The path of one message.
pub(crate) fn message_path(channel: &ChannelName, cursor: &CursorText) -> Vec<u8> {
    const BEGIN: &[u8] = b"/api/messages/";
    // All that there is to it, unless something in the name has to be encoded.
    let bytes = BEGIN.len() + channel.as_str().len() + 1 + Cursor::TEXT_BYTES;
    let mut path = Vec::with_capacity(bytes);
    path.extend_from_slice(BEGIN);
    for part in utf8_percent_encode(channel.as_str(), SEGMENT) {
        path.extend_from_slice(part.as_bytes());
    }
    path.push(b'/');
    path.extend_from_slice(cursor);
    path
}

/// For how long a message may be kept by caches.
pub(crate) fn message_cache(now: Timestamp, until: Option<Timestamp>) -> String {
    // A year, which RFC 9111 takes for ever, where age is no bound.
    let seconds = until.map_or(31_536_000, |until| until.since(now).as_secs());
    format!("private, max-age={seconds}, immutable")
}

/// How the publish of one message, or of a batch of lines, is answered.
impl PublishFormat for Incoming {
    fn most_bytes(&self, messages: usize) -> usize {
        /// A stamp with its number, id, cursor and time.
        const A_STAMP: usize = 180;
        messages * A_STAMP
    }

    fn write(&self, channel: &ChannelName, published: &Published) -> Reply {
        write_published(channel, published, self)
    }
}

/// How the report of a job's step is answered.
pub(crate) struct PublishedStep;

impl PublishFormat for PublishedStep {
    fn write(&self, channel: &ChannelName, published: &Published) -> Reply {
        let reply = write_published(channel, published, &Incoming::STEP);
        Reply { status: StatusCode::ACCEPTED, ..reply }
    }
}

fn write_published(channel: &ChannelName, published: &Published, incoming: &Incoming) -> Reply {
    let status = if published.repeated { StatusCode::OK } else { StatusCode::CREATED };
    let mut out = Vec::with_capacity(published_bytes(channel, &published.stamps));
    out.extend_from_slice(br#"{"channel":"#);
    write_string(&mut out, channel.as_str());
    match (incoming.is_lines(), &*published.stamps, &*published.gone) {
        (false, [stamp], []) => {
            let cursor = stamp.cursor.to_text();
            out.push(b',');
            write_stamp(&mut out, stamp, &cursor);
            out.push(b'}');
            let location = message_path(channel, &cursor);
            Reply { location: Some(location.into()), ..respond::json(status, out) }
        }
        (false, [], [gone]) => {
            out.push(b',');
            write_gone(&mut out, *gone);
            out.push(b'}');
            let location = message_path(channel, &gone.to_text());
            Reply { location: Some(location.into()), ..respond::json(status, out) }
        }
        (_, stamps, gone) => {
            out.extend_from_slice(br#","count":"#);
            write_number(&mut out, (stamps.len() + gone.len()) as u64);
            out.extend_from_slice(br#","messages":["#);
            let mut gone = gone.iter().peekable();
            for stamp in stamps.iter().map(Some).chain([None]) {
                // In the order of their numbers; most are gone from the front.
                while let Some(gone) =
                    gone.next_if(|gone| stamp.is_none_or(|stamp| gone.seq < stamp.cursor.seq))
                {
                    out.extend_from_slice(if out.ends_with(b"}") { b",{" } else { b"{" });
                    write_gone(&mut out, *gone);
                    out.push(b'}');
                }
                let Some(stamp) = stamp else { break };
                out.extend_from_slice(if out.ends_with(b"}") { b",{" } else { b"{" });
                write_stamp(&mut out, stamp, &stamp.cursor.to_text());
                out.push(b'}');
            }
            out.extend_from_slice(b"]}");
            respond::json(status, out)
        }
    }
}

/// What is left to say of a message that is no longer retained.
fn write_gone(out: &mut Vec<u8>, cursor: Cursor) {
    out.extend_from_slice(br#""id":"#);
    write_number(out, cursor.seq.get());
    out.extend_from_slice(br#","cursor":"#);
    write_cursor(out, cursor);
}

/// Just what the answer to a publish of one message takes, so that the vector becomes bytes as it is; enough for that of
/// any other.
fn published_bytes(channel: &ChannelName, stamps: &[Stamp]) -> usize {
    const FIXED: usize = r#"{"channel":"","id":,"uuid":"","cursor":"","timestamp":""}"#.len()
        + uuid::fmt::Hyphenated::LENGTH
        + Cursor::TEXT_BYTES
        + Timestamp::TEXT_BYTES;
    let digits = |stamp: &Stamp| stamp.cursor.seq.get().checked_ilog10().unwrap_or_default() as usize + 1;
    match stamps {
        [stamp] => FIXED + channel.as_str().len() + digits(stamp),
        stamps => channel.as_str().len() + 64 + stamps.len() * (FIXED + 20),
    }
}

/// `text` is that of its cursor.
fn write_stamp(out: &mut Vec<u8>, stamp: &Stamp, text: &CursorText) {
    let Stamp { cursor, id, at } = stamp;
    out.extend_from_slice(br#""id":"#);
    write_number(out, cursor.seq.get());
    out.extend_from_slice(br#","uuid":"#);
    write_id(out, *id);
    out.extend_from_slice(br#","cursor":""#);
    out.extend_from_slice(text);
    out.extend_from_slice(br#"","timestamp":"#);
    write_time(out, *at);
}

#[cfg(test)]
mod tests {
    use poll_core::{Epoch, Seq};

    use super::*;

    #[test]
    fn the_answer_to_a_publish_of_one_message_takes_no_more_room_than_it_has() {
        let channel = ChannelName::parse("a channel").unwrap();
        for seq in [1, 9, 10, 99, 100, u64::MAX] {
            let cursor = Cursor { epoch: Epoch::new(7), seq: Seq::new(seq) };
            let stamps = [Stamp { cursor, id: uuid::Uuid::nil(), at: Timestamp::MAX }];
            let mut out = br#"{"channel":"a channel","#.to_vec();
            write_stamp(&mut out, &stamps[0], &cursor.to_text());
            assert_eq!(out.len() + 1, published_bytes(&channel, &stamps));
        }
    }

    #[test]
    fn the_longest_tag_has_room() {
        let (epoch, most) = (Epoch::new(u64::MAX), Seq::new(u64::MAX));
        let read_state = ReadState {
            epoch,
            oldest: most,
            newest: most,
            newest_at: Timestamp::ZERO,
            position: most,
            first: most,
            continuity: Continuity::Kept,
            ended: true,
        };
        let limit = Limit { messages: usize::MAX, ..Limit::default() };
        let tag = etag(&read_state, limit);
        let number = u64::MAX;
        let expected = format!("W/\"{}-{number}-{number}-{number}-e\"", "f".repeat(32));
        assert_eq!(tag.as_bytes(), expected.as_bytes());
        assert_eq!(tag.as_bytes().len(), Tag::MOST);
    }
}
