//! Short poll: answers at once with what there is, or with 304 where the asker has seen just that.

use http::StatusCode;
use poll_core::{ReadState, Timestamp, View};

use crate::access::client::Client;
use crate::dialect::native;
use crate::dialect::question::{Answer, Question};
use crate::message::head::{Field, Head};
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::message::respond;
use crate::service::Service;
use crate::service::router::Action;

/// Answers a question now, where all that is asked for is in memory.
pub(crate) fn answer_resident(
    service: &Service,
    question: &Question,
    client: &Client,
    action: Action,
    seen: Option<&[u8]>,
) -> Option<Result<Reply, Refusal>> {
    let (store, now, channel) = (service.store(), service.now(), &question.channel);
    let view = if let Some(seen) = seen {
        let (pinned, read_state) = store.read_state_resident(now, channel, question.position)?;
        if let Some(unchanged) = unchanged(&read_state, question, seen, now) {
            return Some(Ok(unchanged));
        }
        store.read_resident(now, channel, &pinned, question.limit)?
    } else {
        store.open_resident(now, channel, question.position, question.limit)?.1
    };
    Some(write(service, question, client, action, view, now))
}

/// Answers a question, fetching what is not in memory.
pub(crate) async fn answer(
    service: Service,
    question: Question,
    client: Client,
    action: Action,
    seen: Option<Vec<u8>>,
) -> Result<Reply, Refusal> {
    let (store, now, channel) = (service.store(), service.now(), &question.channel);
    let look = async {
        let pinned = store.pin(now, channel, question.position).await?;
        if let Some(seen) = &seen {
            let read_state = store.read_state(now, channel, &pinned).await?;
            if let Some(unchanged) = unchanged(&read_state, &question, seen, now) {
                return Ok(Err(unchanged));
            }
        }
        store.read(now, channel, &pinned, question.limit).await.map(Ok)
    };
    let seen = service.cold(channel, &client, service.settings().cold_read, look).await?;
    match seen {
        Ok(view) => write(&service, &question, &client, action, view, now),
        Err(unchanged) => Ok(unchanged),
    }
}

/// 304, where the asker has seen just that.
fn unchanged(read_state: &ReadState, question: &Question, seen: &[u8], now: Timestamp) -> Option<Reply> {
    let tag = native::etag(read_state, question.limit);
    // Nearly all say back the one tag that they were given.
    if seen != tag.as_bytes() && !matches(seen, tag.as_bytes()) {
        return None;
    }
    Some(Reply {
        cache: Some(respond::NO_CACHE.into()),
        tag: Some(tag.as_bytes().into()),
        made: Some(now),
        ..respond::bare(StatusCode::NOT_MODIFIED)
    })
}

fn write(
    service: &Service,
    question: &Question,
    client: &Client,
    action: Action,
    view: View,
    now: Timestamp,
) -> Result<Reply, Refusal> {
    let tag = native::etag(&view.read_state, question.limit);
    let answer = Answer { view, now, only: None };
    answer.check_budget()?;
    let mut reply = native::poll(&answer, "polled_at", respond::NO_CACHE);
    // Who asks for the head is given no messages.
    if action != Action::Head {
        reply = service.read_in_place(reply, &question.channel, client)?;
        service.count_given(&question.channel, &answer, client);
    }
    reply.tag = Some(tag.as_bytes().into());
    Ok(reply)
}

/// The condition of a request, if it has one.
pub(crate) fn condition(head: Head<'_>) -> Option<&[u8]> {
    head.field(Field::IfNoneMatch)
}

/// Weak comparison with a list of tags (RFC 9110 §13.1.2). The tags made here hold no comma.
fn matches(seen: &[u8], tag: &[u8]) -> bool {
    fn opaque(tag: &[u8]) -> &[u8] {
        tag.strip_prefix(b"W/").unwrap_or(tag)
    }
    let tag = opaque(tag);
    let mut tags = seen.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    tags.any(|one| one == b"*" || opaque(one) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_match_weakly_and_in_lists() {
        let tag = b"W/\"a-1\"";
        for seen in ["W/\"a-1\"", "\"a-1\"", "\"x\", W/\"a-1\"", "*"] {
            assert!(matches(seen.as_bytes(), tag), "{seen}");
        }
        for seen in ["W/\"a-2\"", "a-1", ""] {
            assert!(!matches(seen.as_bytes(), tag), "{seen}");
        }
    }
}
