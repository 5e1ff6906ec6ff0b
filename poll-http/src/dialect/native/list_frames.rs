//! The frames of native streams of several channels: like those of one, with the channel of each message and one token
//! over all.

use bytes::Bytes;
use poll_core::{ChannelList, Continuity, Cursor, Form, ListBatch, Place, Rendering, Timestamp};

use crate::dialect::frame::Framing;
use crate::dialect::native::frames::{connected_at, promise_of, write_update_members};
use crate::dialect::native::list_answer::write_names;
use crate::dialect::question::ListStanding;
use crate::message::body::Promise;
use crate::message::json::{write_number, write_string};
use crate::worker::budget::{self, cost};

/// The first frame, as in a stream of one channel, with the channels that may not be read and those that cannot.
pub(crate) fn list_connected(
    framing: Framing,
    client: u128,
    standing: &ListStanding,
    places: &[Place],
    now: Timestamp,
) -> Bytes {
    let kept = places.iter().all(|place| place.continuity == Continuity::Kept);
    let continuity = if kept { Continuity::Kept } else { Continuity::Reset };
    let mut left_out = Vec::new();
    write_names(&mut left_out, "refused", &standing.refused);
    write_names(&mut left_out, "damaged", standing.damaged(places));
    let token = standing.token(places.iter().map(Place::token));
    connected_at(framing, client, &token, continuity, &left_out, now)
}

/// A frame for each message, for all readers that have no positions put by.
pub(crate) fn list_updates<'a>(list: &ChannelList, batch: &'a ListBatch, framing: Framing) -> &'a Rendering {
    let form = Form::new(if framing == Framing::Lines { "native list lines" } else { "native list events" });
    batch.render(form, |batch| render_list_updates(list, b"", batch, framing))
}

/// The same for a reader that has.
pub(crate) fn render_list_updates(
    list: &ChannelList,
    put_by: &[u8],
    batch: &ListBatch,
    framing: Framing,
) -> Rendering {
    frames(list, put_by, batch, |out, channel, entry, token| {
        framing.open_message(out, token);
        out.extend_from_slice(br#"{"type":"update","channel":"#);
        write_string(out, channel);
        out.push(b',');
        write_update_members(out, &entry.message, token);
        framing.close(out);
    })
}

/// The frames that announce pushed messages.
fn announcements(list: &ChannelList, put_by: &[u8], batch: &ListBatch, framing: Framing) -> Rendering {
    frames(list, put_by, batch, |out, channel, entry, token| {
        let mut json = br#"{"type":"push","channel":"#.to_vec();
        write_string(&mut json, channel);
        json.extend_from_slice(br#","id":"#);
        write_number(&mut json, entry.message.seq.get());
        json.extend_from_slice(br#","cursor":""#);
        json.extend_from_slice(token);
        json.extend_from_slice(br#""}"#);
        // Base64 only.
        let token = std::str::from_utf8(token).unwrap_or_default();
        out.extend_from_slice(&framing.notice("push", Some(&token), &json));
    })
}

/// One frame for each message, with the token after it: one channel's part of it moves at a time.
fn frames(
    list: &ChannelList,
    put_by: &[u8],
    batch: &ListBatch,
    write: impl Fn(&mut Vec<u8>, &str, &poll_core::ListEntry, &[u8]),
) -> Rendering {
    let mut token = Vec::new();
    list.write_token(&mut token, batch.start().iter().copied());
    token.extend_from_slice(put_by);
    let entries = batch.entries();
    let mut out = Vec::with_capacity(batch.payload_bytes() + entries.len() * (2 * token.len() + 224));
    let mut ends = Vec::with_capacity(entries.len());
    for entry in entries {
        list.move_token(&mut token, entry.channel, entry.cursor);
        write(&mut out, list.names()[entry.channel].as_str(), entry, &token);
        ends.push(out.len());
    }
    budget::charge(cost::RENDERED_BYTE * out.len() as u64);
    Rendering { bytes: out.into(), ends: ends.into() }
}

/// A message as a push promise, see [`promise`](super::promise).
pub(crate) fn list_promise(
    standing: &ListStanding,
    batch: &ListBatch,
    index: usize,
    cache: String,
    framing: Framing,
) -> Option<Promise> {
    let (list, put_by) = (standing.channels(), &standing.put_by);
    let entry = batch.entries().get(index)?;
    let part = |updates: &Rendering, announced: &Rendering| {
        let cursor: Cursor = entry.cursor;
        let channel = &list.names()[entry.channel];
        promise_of(channel, &entry.message, cursor, cache, announced.part(index)?, updates.part(index)?)
    };
    if put_by.is_empty() {
        let form = Form::new(if framing == Framing::Lines {
            "native list pushes"
        } else {
            "native list push events"
        });
        let announced = batch.render(form, |batch| announcements(list, b"", batch, framing));
        return part(list_updates(list, batch, framing), announced);
    }
    let updates = render_list_updates(list, put_by, batch, framing);
    part(&updates, &announcements(list, put_by, batch, framing))
}
