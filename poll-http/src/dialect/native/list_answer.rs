//! Answers to native polls of several channels.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use poll_core::{ChannelList, ChannelName, Form, Limit, ListBatch, ListEntry, ReadState};

use crate::dialect::message_list::{self, List, Sharing};
use crate::dialect::native::message::write_members;
use crate::dialect::question::{ListAnswer, ListStanding};
use crate::message::body::Body;
use crate::message::json::{write_number, write_string, write_time};
use crate::message::reply::Reply;
use crate::message::respond;

/// Writes the answer to a poll, with its time under the name `clock`.
pub(crate) fn list_poll(answer: &ListAnswer<'_>, clock: &str, cache: &'static str) -> Reply {
    let mut own = Vec::with_capacity(64);
    let body = if let Some(batch) = &answer.view.batch {
        write_flags(&mut own, answer, clock);
        let ListStanding { put_by, .. } = answer.standing;
        let messages = Messages { channels: answer.standing.channels().clone(), put_by: put_by.clone() };
        message_list::body_of(messages, batch, None, own, answer.codings)
    } else {
        own.extend_from_slice(br#"{"messages":[],"count":0,"cursor":""#);
        let cursors = answer.view.next.iter().map(|place| place.cursor);
        answer.standing.write_token(&mut own, cursors);
        own.push(b'"');
        write_flags(&mut own, answer, clock);
        Body::full(own)
    };
    Reply { made: Some(answer.now), ..respond::whole(StatusCode::OK, respond::JSON, cache, body) }
}

/// The part of an answer that all readers of the same messages share, unless they have positions put by.
struct Messages {
    channels: Arc<ChannelList>,
    put_by: Vec<u8>,
}

impl List for Messages {
    type Batch = ListBatch;

    const FORM: Form = Form::new("native list poll");
    const GZIPPED: Form = Form::new("native list poll, gzip");

    fn sharing(&self) -> Sharing {
        if self.put_by.is_empty() { Sharing::All } else { Sharing::None }
    }

    fn open(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"messages":["#);
    }

    fn message(&self, out: &mut Vec<u8>, entry: &ListEntry) {
        out.extend_from_slice(br#"{"channel":"#);
        write_string(out, self.channels.names()[entry.channel].as_str());
        out.push(b',');
        write_members(out, &entry.message);
    }

    fn close(&self, out: &mut Vec<u8>, batch: &ListBatch, entries: &[ListEntry]) {
        out.extend_from_slice(br#"],"count":"#);
        write_number(out, entries.len() as u64);
        out.extend_from_slice(br#","cursor":""#);
        self.channels.write_token(out, batch.end().iter().copied());
        out.extend_from_slice(&self.put_by);
        out.push(b'"');
    }
}

/// Writes everything after the cursor.
fn write_flags(out: &mut Vec<u8>, answer: &ListAnswer<'_>, clock: &str) {
    let mut missed = answer.missed().peekable();
    if missed.peek().is_some() {
        out.extend_from_slice(br#","missed":["#);
        for (index, (channel, count)) in missed.enumerate() {
            out.extend_from_slice(if index > 0 { br#",{"channel":"# } else { br#"{"channel":"# });
            write_string(out, channel.as_str());
            out.extend_from_slice(br#","missed":"#);
            write_number(out, count);
            out.push(b'}');
        }
        out.push(b']');
    }
    write_names(out, "reset", answer.resets());
    write_names(out, "refused", &answer.standing.refused);
    write_names(out, "damaged", answer.damaged());
    if answer.view.is_closed() {
        out.extend_from_slice(br#","closed":true"#);
    }
    out.extend_from_slice(b",\"");
    out.extend_from_slice(clock.as_bytes());
    out.extend_from_slice(b"\":");
    write_time(out, answer.now);
    out.push(b'}');
}

/// Writes a member that lists channels, if there are any.
pub(super) fn write_names<'a>(
    out: &mut Vec<u8>,
    member: &str,
    names: impl IntoIterator<Item = &'a ChannelName>,
) {
    let mut names = names.into_iter().peekable();
    if names.peek().is_none() {
        return;
    }
    out.extend_from_slice(b",\"");
    out.extend_from_slice(member.as_bytes());
    out.extend_from_slice(b"\":[");
    for (index, name) in names.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(out, name.as_str());
    }
    out.push(b']');
}

/// The weak entity tag of a short poll of several channels, like that of one: a hash, because the positions may be many.
pub(crate) fn list_etag<'a>(
    standing: &ListStanding,
    states: impl IntoIterator<Item = &'a ReadState>,
    limit: Limit,
) -> Vec<u8> {
    let limit = (limit.messages as u64).to_be_bytes();
    let refused = standing.refused.iter().map(|name| name.as_str().as_bytes());
    let given: Vec<&[u8]> = [&limit[..], &standing.put_by].into_iter().chain(refused).collect();
    let mut hash = [0; 22];
    // The lengths fit each other.
    let _ = URL_SAFE_NO_PAD.encode_slice(standing.channels().fingerprint(states, &given), &mut hash);
    [&b"W/\"m-"[..], &hash, b"\""].concat()
}
