//! Entry points to the parsers, compiled for fuzzing only.
//!
//! Each takes an arbitrary query and body, and checks the parser's promise: any input is a question within its limits, a
//! publish, or a refusal.

use std::time::Duration;

use http::request::Parts;
use poll_core::{ChannelName, Lane, Retention, Store};

use crate::access::authority::Grant;
use crate::dialect::question::{Asked, ListQuestion, ListStanding, Question};
use crate::dialect::{channel, chat, golongpoll, native};
use crate::message::connection_info::Scheme;
use crate::message::head::Head;
use crate::message::reply::Wants;
use crate::message::request::{Content as Body, Request};
use crate::transport::http1::fast::parse_request;
use crate::transport::http1::hyper::framing::{Content, Framing};
use crate::worker::lists::Lists;
use crate::worker::settings::{Demo, MaxChannels, ServiceSettings};

const MOST: Duration = Duration::from_secs(60);
const MOST_PAYLOAD: usize = 1 << 16;

fn head(query: &str) -> Option<Parts> {
    let types = [
        "application/json",
        "application/x-ndjson",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=B",
        "text/plain",
        "",
    ];
    let request = http::Request::post(format!("/?{query}"));
    let request = request.header("content-type", types[query.len() % types.len()]);
    Some(request.body(()).ok()?.into_parts().0)
}

fn bounded(question: &Question, most: Duration) {
    assert!(question.wait <= most, "{question:?}");
    assert!((1..=1_000).contains(&question.limit.messages), "{question:?}");
}

fn asked_bounded(asked: &Asked<Question, ListQuestion>, most: Duration) {
    match asked {
        Asked::One(question) => bounded(question, most),
        Asked::Several(question) => list_bounded(question, most),
    }
}

fn list_bounded(question: &ListQuestion, most: Duration) {
    assert!(question.wait <= most, "{question:?}");
    assert!((1..=1_000).contains(&question.limit.messages), "{question:?}");
    list(&question.standing);
}

/// A list has several channels, in order and each once.
fn list(standing: &ListStanding) {
    let names = standing.channels().names();
    assert!((2..=100).contains(&names.len()), "{names:?}");
    assert!(names.is_sorted_by(|one, next| one < next), "{names:?}");
}

/// The native dialect's questions and publishes.
pub fn native(query: &str, body: &[u8]) {
    let Some(parts) = head(query) else { return };
    let head = Head::from(&parts);
    let most = MaxChannels::default();
    let lists = Lists::new(Store::in_memory(Retention::default()), Lane::default());
    native::short_poll(head, &lists, most).iter().for_each(|asked| asked_bounded(asked, Duration::ZERO));
    native::long_poll(head, &lists, most, MOST).iter().for_each(|asked| asked_bounded(asked, MOST));
    native::stream(head, &lists, most).iter().for_each(|asked| match asked {
        Asked::One(asked) => bounded(&asked.question, Duration::ZERO),
        Asked::Several(asked) => list(&asked.standing),
    });
    let mut incoming = native::PublishBody::of(head);
    if let (Ok(key), Ok((_, content))) = (native::idempotency_key(head), native::publish_query(head))
        && let Ok(publish) = native::publish(key, content, &mut incoming, body, MOST_PAYLOAD, Demo::Off)
    {
        assert!((1..=1_000).contains(&publish.payloads.len()));
    }
    drop(native::progress_report(body, MOST_PAYLOAD));
}

/// The golongpoll dialect's polls and publishes.
pub fn golongpoll(query: &str, body: &[u8]) {
    let Some(parts) = head(query) else { return };
    let head = Head::from(&parts);
    let (settings, store) = (ServiceSettings::default(), Store::in_memory(Retention::default()));
    let grant = Grant::default();
    let events = golongpoll::question(head, Scheme::Http, &settings, &store, Wants::Body, &grant);
    events.iter().for_each(|(question, _)| bounded(question, Duration::from_secs(120)));
    drop(golongpoll::publish(body, MOST_PAYLOAD));
}

/// The chat dialect's questions and publishes.
pub fn chat(query: &str, body: &[u8]) {
    let Some(parts) = head(query) else { return };
    let head = Head::from(&parts);
    chat::question(head).iter().for_each(|question| bounded(question, Duration::from_secs(10)));
    drop(chat::publish(body, MOST_PAYLOAD));
}

/// The channel dialect's questions and publishes.
pub fn channel(query: &str, body: &[u8]) {
    let (Some(parts), Ok(name)) = (head(query), ChannelName::parse("c")) else { return };
    channel::question(Head::from(&parts), name, MOST)
        .iter()
        .for_each(|(question, _)| bounded(question, MOST));
    drop(channel::publish(body, MOST_PAYLOAD));
}

/// Requests on the fast path: a plain one converts to the types of `http`, and anything else is left alone.
pub fn plain(bytes: &[u8]) {
    let Some((plain, end)) = parse_request::read(bytes, 1 << 14) else {
        return;
    };
    let (head, content) = (plain.head(), plain.content);
    let (count, path, query) = (head.fields.iter().len(), head.path, head.query);
    assert!(bytes[..end].ends_with(content));
    let request = Request { head: Head::Plain(&head), content: Body::Here(content) }.into_owned();
    assert_eq!((request.uri().path(), request.uri().query()), (path, query));
    assert_eq!(request.headers().len(), count);
    assert!(content.is_empty() || request.method() == http::Method::POST);
}

/// Chunked content as passed to hyper: its end is where another parser finds it too, however the bytes are split, and every
/// line before it ends in CRLF.
pub fn framing(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    let end = |cut: usize| {
        let mut framing = Framing::new();
        framing.begin(Content::Chunked);
        let (first, second) = bytes.split_at(cut.min(bytes.len()));
        let mut end = 0;
        for mut piece in [first, second] {
            while !piece.is_empty() && !framing.is_whole() {
                let count = framing.admit(piece).ok()?;
                assert!((1..=piece.len()).contains(&count));
                (end, piece) = (end + count, &piece[count..]);
            }
        }
        framing.is_whole().then_some(end)
    };
    let found = end(bytes.len());
    assert_eq!(end(usize::from(*cut)), found);
    let Some(found) = found else { return };
    let mut at = 0;
    loop {
        // hyper refuses what httparse refuses.
        let Ok(httparse::Status::Complete((line, size))) = httparse::parse_chunk_size(&bytes[at..]) else {
            return;
        };
        at += line;
        if size == 0 {
            break;
        }
        at += usize::try_from(size).unwrap_or(usize::MAX);
        assert_eq!(&bytes[at..at + 2], b"\r\n");
        at += 2;
    }
    while !bytes[at..].starts_with(b"\r\n") {
        let line = bytes[at..].windows(2).position(|end| end == b"\r\n");
        let line = &bytes[at..][..line.unwrap_or(bytes.len() - at)];
        assert!(!line.contains(&b'\n') && !line.contains(&b'\r'));
        at += line.len() + 2;
    }
    assert_eq!(at + 2, found);
}
