//! Answers to native polls.

use std::sync::Arc;

use http::StatusCode;
use poll_core::{Batch, ChannelName, Continuity, Cursor, Form, Limit, Message, ReadState, Timestamp};

use crate::dialect::format::PollFormat;
use crate::dialect::message_list::{self, List};
use crate::dialect::native::message::write_message;
use crate::dialect::question::Answer;
use crate::message::body::Body;
use crate::message::json::{write_cursor, write_number, write_time};
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::message::respond;

/// Writes the answer to a poll, with its time under the name `clock`.
pub(crate) fn poll(answer: &Answer, clock: &str, cache: &'static str) -> Reply {
    // The exact size of an answer without flags, so that the vector becomes `Bytes` without a copy.
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
        message_list::body(Messages, answer, batch, own)
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

/// Writes the answer to a long poll.
pub(crate) struct PollAnswer;

impl PollFormat for PollAnswer {
    fn write(self: Box<Self>, _: &ChannelName, answer: &Answer) -> Result<Reply, Refusal> {
        Ok(poll(answer, "timestamp", respond::NO_STORE))
    }
}

/// The part of an answer that all readers of the same messages share.
struct Messages;

impl List for Messages {
    type Batch = Batch;

    const FORM: Form = Form::new("native poll");
    const GZIPPED: Form = Form::new("native poll, gzip");

    fn open(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"messages":["#);
    }

    fn message(&self, out: &mut Vec<u8>, message: &Arc<Message>) {
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
    if let Some(missed) = answer.missed().filter(|missed| *missed > 0) {
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

/// The weak entity tag of a short poll (RFC 9110, section 8.8.3): all that its answer depends on except the time.
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

/// An entity tag on the stack, because most are only compared.
pub(crate) struct Tag {
    text: [u8; Self::MOST],
    length: usize,
}

impl Tag {
    /// A position, three numbers of at most 20 digits, each after a `-`, the mark of an end, and the quotes.
    const MOST: usize = Cursor::TEXT_BYTES + 3 * 21 + r#"W/"-e""#.len();

    fn write(&mut self, part: &[u8]) {
        self.text[self.length..][..part.len()].copy_from_slice(part);
        self.length += part.len();
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use poll_core::{Epoch, Seq};

    use super::*;

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
