//! Connections: list those of this server, and cut one.
//!
//! Listed are those that came while there was administration. Their records are kept by `message::connection_record`. Their
//! numbers are valid on one server only: on another one they are not found.

use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use super::page;
use crate::message::connection_record::{ConnectionRecord, RecordState, Rest, Security, WaitState};
use crate::message::head::Head;
use crate::message::json::{write_number, write_string};
use crate::message::outcome::Outcome;
use crate::message::query::{Query, Repeats, number};
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::message::respond;
use crate::worker::Worker;
use crate::worker::metrics::Cut;

/// What is told of one connection's waiting requests. Over HTTP/2 there may be a thousand, each with its own channel.
const MOST_WAITS: usize = 16;

/// How long an operator who cuts the own connection has for the answer.
const LAST_ANSWER: Duration = Duration::from_millis(200);

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Request<'a> {
    List { after: u64, limit: usize },
    Cut { id: u64, own: Option<&'a ConnectionRecord> },
}

impl Request<'_> {
    /// Parses the query of a listing. An empty `after` counts as absent.
    ///
    /// # Errors
    /// 400 that names what is malformed.
    pub(crate) fn list(head: Head<'_>) -> Result<Self, Refusal> {
        let [after, limit] = Query::of(head).get_all(["after", "limit"], Repeats::Refused)?;
        let after = after.filter(|text| !text.is_empty()).map_or(Some(0), |text| number(&text));
        let after =
            after.ok_or_else(|| Refusal::bad_request("parameter `after` must be the id of a connection"))?;
        Ok(Self::List { after, limit: page::limit(limit)? })
    }
}

/// Answers at once.
pub(crate) fn answer(worker: &Worker, request: Request<'_>) -> Result<Outcome, Refusal> {
    let reply = match request {
        Request::List { after, limit } => list(worker, after, limit),
        Request::Cut { id, own } => cut(worker, id, own)?,
    };
    Ok(Outcome::Now(reply))
}

fn list(worker: &Worker, after: u64, limit: usize) -> Reply {
    let (records, rest) = worker.server().connections.page(after, limit);
    let mut out = b"{\"connections\":[".to_vec();
    let mut last = after;
    for (place, record) in records.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        let state = record.state(MOST_WAITS);
        last = state.id;
        write(&mut out, &state);
    }
    out.extend_from_slice(b"],\"next\":");
    match rest {
        Rest::More => write_number(&mut out, last),
        Rest::None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
    respond::json(StatusCode::OK, out)
}

/// Cuts a connection. It is no longer listed when this returns, and closed soon after.
fn cut(worker: &Worker, id: u64, own: Option<&ConnectionRecord>) -> Result<Reply, Refusal> {
    let record = worker.server().connections.remove(id).ok_or_else(no_connection)?;
    worker.metrics().cut(Cut::Operator);
    tracing::info!(connection = id, peer = %record.peer(), "an operator cut connection {id} of {}", record.peer());
    if own.is_some_and(|own| own.is(&record)) {
        let answered = worker.timers().at(Instant::now() + LAST_ANSWER);
        tokio::spawn(async move {
            answered.await;
            record.cut();
        });
    } else {
        record.cut();
    }
    Ok(Reply { cache: Some(respond::NO_STORE.into()), ..respond::bare(StatusCode::NO_CONTENT) })
}

fn write(out: &mut Vec<u8>, state: &RecordState) {
    let RecordState { id, peer, address, client, protocol, security, age, .. } = state;
    let member = |out: &mut Vec<u8>, name: &str, text: Option<&str>| {
        out.extend_from_slice(format!(",\"{name}\":").as_bytes());
        match text {
            Some(text) => write_string(out, text),
            None => out.extend_from_slice(b"null"),
        }
    };
    out.extend_from_slice(format!("{{\"id\":{id},\"peer\":\"{peer}\"").as_bytes());
    member(out, "address", address.map(|address| address.to_string()).as_deref());
    member(out, "client", client.as_deref());
    member(out, "protocol", *protocol);
    let tls = match security {
        Security::Unknown => "null",
        Security::Plain => "false",
        Security::Tls => "true",
    };
    out.extend_from_slice(format!(",\"tls\":{tls},\"age_seconds\":{:.3}", age.as_secs_f64()).as_bytes());
    for (name, count) in [
        ("requests", state.requests),
        ("bytes_received", state.received),
        ("bytes_sent", state.sent),
        ("waiting", state.waiting as u64),
    ] {
        out.extend_from_slice(format!(",\"{name}\":{count}").as_bytes());
    }
    out.extend_from_slice(b",\"waits\":[");
    for (place, wait) in state.waits.iter().enumerate() {
        let WaitState { pattern, channel, channels, requests } = wait;
        let comma = if place > 0 { "," } else { "" };
        out.extend_from_slice(format!("{comma}{{\"pattern\":\"{pattern}\"").as_bytes());
        member(out, "channel", Some(channel.as_str()));
        out.extend_from_slice(format!(",\"channels\":{channels},\"requests\":{requests}}}").as_bytes());
    }
    out.extend_from_slice(b"]}");
}

/// The refusal for an id that no open connection has.
pub(crate) fn no_connection() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "there is no such connection")
}
