//! Server-sent events: `data` with content, and after it `control` with where that ends.
//!
//! Without a space after `data:`, which readers of the protocol expect, but for lines that begin with one: a parser drops
//! the first (WHATWG HTML, section 9.2.6).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use poll_core::{Batch, Form, Message, Rendering, Seq, Timestamp};

use crate::dialect::durable_streams::content::{joined, write_values};
use crate::dialect::durable_streams::interval::Interval;
use crate::dialect::durable_streams::media::Media;
use crate::dialect::durable_streams::offset;
use crate::worker::budget::{self, cost};

/// What a control event says of what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ahead {
    /// There is more to read already.
    More,
    /// The reader has everything, and waits.
    Nothing,
    /// The stream is closed, and the reader has everything.
    End,
}

/// Writes the events of one reader.
pub(crate) struct EventWriter {
    media: Media,
    /// The cursor that the reader came with.
    asked: Option<Interval>,
    random: u64,
    /// The cursor that it was given last.
    given: Option<Interval>,
}

impl EventWriter {
    /// `random` moves the cursor on where the reader has the present one already.
    pub(crate) fn new(media: Media, asked: Option<Interval>, random: u64) -> Self {
        Self { media, asked, random, given: None }
    }

    /// Whether data is in base64.
    pub(crate) fn encoding(&self) -> Option<&'static str> {
        (self.media == Media::Bytes).then_some("base64")
    }

    /// A batch as one data event, shared by all readers.
    pub(crate) fn data(&self, batch: &Batch) -> Bytes {
        let form = match self.media {
            Media::Json => Form::new("stream event of values"),
            Media::Text => Form::new("stream event of text"),
            Media::Bytes => Form::new("stream event of bytes"),
        };
        let rendering = batch.render(form, |batch| {
            let mut out = Vec::with_capacity(batch.payload_bytes() + batch.payload_bytes() / 2 + 32);
            write_data(&mut out, self.media, batch.messages().iter().map(AsRef::as_ref));
            budget::charge(cost::RENDERED_BYTE * out.len() as u64);
            Rendering { bytes: out.into_boxed_slice().into(), ends: Box::default() }
        });
        rendering.bytes.clone()
    }

    /// A control event. `missed` messages were evicted or damaged before it.
    pub(crate) fn control(&mut self, after: Seq, ahead: Ahead, missed: Option<u64>, now: Timestamp) -> Bytes {
        let interval = Interval::answer(now, self.asked, self.random);
        let interval = self.given.map_or(interval, |given| given.max(interval));
        self.given = Some(interval);
        let mut out = Vec::with_capacity(160);
        write_control(&mut out, after, ahead, missed, interval);
        out.into()
    }
}

/// Writes the data event of some messages.
fn write_data<'a>(out: &mut Vec<u8>, media: Media, messages: impl Iterator<Item = &'a Message>) {
    out.extend_from_slice(b"event: data\n");
    match media {
        Media::Json => {
            out.extend_from_slice(b"data:");
            write_values(out, messages);
            out.push(b'\n');
        }
        Media::Text => write_lines(out, &joined(messages)),
        Media::Bytes => {
            out.extend_from_slice(b"data:");
            out.extend_from_slice(STANDARD.encode(joined(messages)).as_bytes());
            out.push(b'\n');
        }
    }
    out.push(b'\n');
}

/// Writes a control event.
fn write_control(out: &mut Vec<u8>, after: Seq, ahead: Ahead, missed: Option<u64>, interval: Interval) {
    out.extend_from_slice(
        br#"event: control
data:{"streamNextOffset":""#,
    );
    out.extend_from_slice(offset::text(after).as_bytes());
    out.push(b'"');
    if ahead != Ahead::End {
        out.extend_from_slice(format!(r#","streamCursor":"{}""#, interval.get()).as_bytes());
    }
    out.extend_from_slice(match ahead {
        Ahead::More => b"",
        Ahead::Nothing => br#","upToDate":true"#.as_slice(),
        Ahead::End => br#","upToDate":true,"streamClosed":true"#,
    });
    if let Some(missed) = missed {
        out.extend_from_slice(format!(r#","missed":{missed}"#).as_bytes());
    }
    out.extend_from_slice(b"}\n\n");
}

/// Writes each line as one of the event, wherever a parser would end it: so no content can end the event or begin another.
fn write_lines(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len() + 16);
    let mut rest = Some(text);
    while let Some(text) = rest {
        let end = memchr::memchr2(b'\r', b'\n', text);
        let line = end.map_or(text, |end| &text[..end]);
        rest = end.map(|end| {
            let after = &text[end..];
            after.strip_prefix(b"\r\n").unwrap_or(&after[1..])
        });
        out.extend_from_slice(if line.first() == Some(&b' ') { b"data: ".as_slice() } else { b"data:" });
        out.extend_from_slice(line);
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use poll_core::{Payload, Timestamp, mint_id};

    use super::*;

    fn data(media: Media, payloads: &[Payload]) -> String {
        let at = Timestamp::from_micros(1);
        let message = |payload: &Payload| Message {
            seq: Seq::new(1),
            id: mint_id(at, 0),
            at,
            payload: payload.clone(),
        };
        let messages: Vec<_> = payloads.iter().map(message).collect();
        let mut out = Vec::new();
        write_data(&mut out, media, messages.iter());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_are_one_array() {
        let values = [Payload::json(br#"{"a": "x\ny"}"#).unwrap(), Payload::json(b"[1]").unwrap()];
        assert_eq!(data(Media::Json, &values), "event: data\ndata:[{\"a\":\"x\\ny\"},[1]]\n\n");
        let others = [Payload::text("é\n"), Payload::bytes(b"\xff")];
        assert_eq!(data(Media::Json, &others), "event: data\ndata:[\"é\\n\",\"/w==\"]\n\n");
    }

    #[test]
    fn text_can_end_no_event() {
        let cases = [
            ("line1", "data:line1\n"),
            ("a\nb", "data:a\ndata:b\n"),
            ("a\r\nb\rc", "data:a\ndata:b\ndata:c\n"),
            ("a\n\nevent: control\ndata:{}", "data:a\ndata:\ndata:event: control\ndata:data:{}\n"),
            ("a\r\r", "data:a\ndata:\ndata:\n"),
            ("\r\n", "data:\ndata:\n"),
            (" a\n b", "data:  a\ndata:  b\n"),
        ];
        for (text, lines) in cases {
            assert_eq!(
                data(Media::Text, &[Payload::text(text)]),
                format!("event: data\n{lines}\n"),
                "{text:?}"
            );
        }
        let split = [Payload::text("a\r"), Payload::text("\nb")];
        assert_eq!(data(Media::Text, &split), "event: data\ndata:a\ndata:b\n\n");
    }

    #[test]
    fn bytes_are_one_line_of_base64() {
        let pieces = [Payload::bytes([0, 1]), Payload::bytes([2, 255])];
        assert_eq!(data(Media::Bytes, &pieces), "event: data\ndata:AAEC/w==\n\n");
    }

    #[test]
    fn control_says_where_and_what_is_ahead() {
        let control = |ahead, missed| {
            let mut out = Vec::new();
            write_control(&mut out, Seq::new(3), ahead, missed, Interval::parse("7").unwrap());
            String::from_utf8(out).unwrap()
        };
        let event = |rest: &str| {
            format!(
                "event: control\ndata:{{\"streamNextOffset\":\"0000000000000003_0000000000000000\"{rest}}}\n\n"
            )
        };
        assert_eq!(control(Ahead::More, None), event(r#","streamCursor":"7""#));
        assert_eq!(control(Ahead::Nothing, None), event(r#","streamCursor":"7","upToDate":true"#));
        assert_eq!(control(Ahead::End, None), event(r#","upToDate":true,"streamClosed":true"#));
        assert_eq!(control(Ahead::More, Some(2)), event(r#","streamCursor":"7","missed":2"#));
    }

    #[test]
    fn the_cursor_of_one_reader_never_falls() {
        let at = |intervals: u64| Timestamp::from_micros(1_728_432_000_000_000 + intervals * 20_000_000);
        let mut writer = EventWriter::new(Media::Text, Interval::parse("7"), 4);
        let cursors = [7, 8, 11, 12, 13].map(|now| {
            let event = writer.control(Seq::ZERO, Ahead::Nothing, None, at(now));
            let event = String::from_utf8(event.to_vec()).unwrap();
            event.split('"').nth(7).unwrap().parse::<u64>().unwrap()
        });
        assert_eq!(cursors, [12, 12, 12, 12, 13]);
    }
}
