//! Channels: list them, show one, purge it, close it, delete it, and set what it retains.
//!
//! Waiters are those of this server. Everything else is the store's, whichever server is asked.

use http::StatusCode;
use poll_core::life::{AppendError, Bounds, Condition, Configured, Deleted, Purged};
use poll_core::{ChannelName, Ending, ListedState, Publish, PublishError, Selection};

use super::{page, settings};
use crate::access::admission::Waiting;
use crate::message::head::Head;
use crate::message::json::{write_number, write_string};
use crate::message::outcome::Outcome;
use crate::message::query::{Query, Repeats};
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::message::respond;
use crate::worker::Worker;

/// What is asked.
#[derive(Debug)]
pub(crate) enum Request {
    List(Selection),
    Show(ChannelName),
    Purge(ChannelName),
    Close(ChannelName),
    Delete(ChannelName),
    Configure(ChannelName, Bounds),
}

impl Request {
    /// Parses the query of a listing. Empty values count as absent, and a higher limit as the highest.
    ///
    /// # Errors
    /// 400 that names what is malformed.
    pub(crate) fn list(head: Head<'_>) -> Result<Self, Refusal> {
        let [prefix, after, limit] =
            Query::of(head).get_all(["prefix", "after", "limit"], Repeats::Refused)?;
        let name = |parameter: &str, text: Option<std::borrow::Cow<'_, str>>| {
            let text = text.filter(|text| !text.is_empty());
            let parsed = text.map(|text| ChannelName::parse(&text)).transpose();
            parsed.map_err(|error| Refusal::bad_request(format!("parameter `{parameter}`: {error}")))
        };
        let limit = page::limit(limit)?;
        Ok(Self::List(Selection { prefix: name("prefix", prefix)?, after: name("after", after)?, limit }))
    }
}

/// Answers once it is done, and kept.
pub(crate) fn answer(worker: &Worker, request: Request) -> Result<Outcome, Refusal> {
    let worker = worker.clone();
    Outcome::soon(async move {
        match request {
            Request::List(selection) => list(&worker, selection).await,
            Request::Show(channel) => show(&worker, &channel).await,
            Request::Purge(channel) => {
                match worker.store().purge(worker.now(), &channel).await.map_err(unkept)? {
                    Purged::Done => show(&worker, &channel).await,
                    Purged::Hidden | Purged::Absent => Err(no_channel()),
                }
            }
            Request::Close(channel) => close(&worker, &channel).await,
            Request::Delete(channel) => {
                match worker.store().delete(worker.now(), &channel).await.map_err(unkept)? {
                    Deleted::Gone | Deleted::Hidden => Ok(Reply {
                        cache: Some(respond::NO_STORE.into()),
                        ..respond::bare(StatusCode::NO_CONTENT)
                    }),
                    Deleted::AlreadyHidden | Deleted::Absent => Err(no_channel()),
                }
            }
            Request::Configure(channel, bounds) => {
                let configured = worker.store().configure(worker.now(), &channel, bounds).await;
                match configured.map_err(unkept)? {
                    Configured::Done => show(&worker, &channel).await,
                    Configured::Hidden | Configured::Absent => Err(no_channel()),
                }
            }
        }
    })
}

async fn list(worker: &Worker, selection: Selection) -> Result<Reply, Refusal> {
    let page = worker.store().list(worker.now(), selection).await.map_err(Refusal::unreadable)?;
    let mut out = b"{\"channels\":[".to_vec();
    for (place, listed) in page.channels.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write(&mut out, worker, listed);
    }
    out.extend_from_slice(b"],\"next\":");
    match &page.next {
        Some(next) => write_string(&mut out, next.as_str()),
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
    Ok(respond::json(StatusCode::OK, out))
}

async fn show(worker: &Worker, channel: &ChannelName) -> Result<Reply, Refusal> {
    let found = worker.store().inspect(worker.now(), channel).await.map_err(Refusal::unreadable)?;
    let mut out = Vec::new();
    write(&mut out, worker, &found.ok_or_else(no_channel)?);
    Ok(respond::json(StatusCode::OK, out))
}

/// Closes a channel. One that is closed already is as it should be.
async fn close(worker: &Worker, channel: &ChannelName) -> Result<Reply, Refusal> {
    let end = Publish { payloads: [].into_iter().collect(), key: None, ending: Ending::Close };
    match worker.store().append(worker.now(), channel, end, Condition::default()).await {
        Ok(_) | Err(AppendError::Closed { .. }) => show(worker, channel).await,
        Err(AppendError::Publish(error)) => Err(unkept(error)),
        // Without a condition there is nothing else that it could fail.
        Err(_) => Err(no_channel()),
    }
}

fn write(out: &mut Vec<u8>, worker: &Worker, listed: &ListedState) {
    let ListedState { channel, description, bytes } = listed;
    out.extend_from_slice(b"{\"channel\":");
    write_string(out, channel.as_str());
    let mut number = |name: &str, number: u64| {
        out.extend_from_slice(name.as_bytes());
        write_number(out, number);
    };
    number(",\"messages\":", description.messages());
    number(",\"bytes\":", *bytes);
    number(",\"oldest\":", description.oldest.get());
    number(",\"newest\":", description.newest.get());
    let Waiting { polls, streams, pushes } = worker.admission().waiting_in(channel);
    number(",\"waiters\":{\"long\":", polls as u64);
    number(",\"stream\":", streams as u64);
    number(",\"push\":", pushes as u64);
    out.extend_from_slice(format!("}},\"epoch\":\"{:016x}\"", description.epoch.get()).as_bytes());
    let closed = if description.ending == Ending::Close { "true" } else { "false" };
    out.extend_from_slice(format!(",\"closed\":{closed},\"settings\":").as_bytes());
    settings::write(out, &description.life.bounds);
    out.push(b'}');
}

fn no_channel() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "there is no such channel")
}

/// What was not kept is no message here.
fn unkept(error: PublishError) -> Refusal {
    match error {
        PublishError::Hidden => no_channel(),
        error => Refusal::from(error),
    }
}
