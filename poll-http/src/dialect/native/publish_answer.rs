//! Answers to native publishes.

use http::StatusCode;
use poll_core::{ChannelName, Cursor, Published, Stamp, Timestamp};

use crate::dialect::format::PublishFormat;
use crate::dialect::native::message::{CursorText, message_path};
use crate::dialect::native::publish::PublishBody;
use crate::message::json::{write_cursor, write_id, write_number, write_string, write_time};
use crate::message::reply::Reply;
use crate::message::respond;

impl PublishFormat for PublishBody {
    fn most_bytes(&self, messages: usize) -> usize {
        /// A stamp with its number, id, cursor and time.
        const A_STAMP: usize = 180;
        messages * A_STAMP
    }

    fn write(&self, channel: &ChannelName, published: &Published) -> Reply {
        write_published(channel, published, self)
    }
}

/// Writes the answer to the report of a job's step.
pub(crate) struct StepAnswer;

impl PublishFormat for StepAnswer {
    fn write(&self, channel: &ChannelName, published: &Published) -> Reply {
        let reply = write_published(channel, published, &PublishBody::STEP);
        Reply { status: StatusCode::ACCEPTED, ..reply }
    }
}

fn write_published(channel: &ChannelName, published: &Published, incoming: &PublishBody) -> Reply {
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
                // In the order of their numbers.
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

/// Writes what is known of a message that is no longer retained.
fn write_gone(out: &mut Vec<u8>, cursor: Cursor) {
    out.extend_from_slice(br#""id":"#);
    write_number(out, cursor.seq.get());
    out.extend_from_slice(br#","cursor":"#);
    write_cursor(out, cursor);
}

/// The exact size of the answer to a publish of one message, so that the vector becomes `Bytes` without a copy; an upper
/// bound for any other.
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

/// `text` is the cursor's.
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
}
