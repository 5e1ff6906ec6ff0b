//! Clients of the other dialects, each with its own bookkeeping. The edge is the server's timeout.

use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::client::Client;
use crate::outside;
use crate::pattern::Pattern;
use crate::payload::{Notice, token};
use crate::position::{Kept, Position};

/// The shortest timeout of golongpoll, which is in whole seconds.
const GOLONGPOLL_WAIT: Duration = Duration::from_secs(1);
/// The timeout of the channel dialect, in tenths of a millisecond.
const CHANNEL_WAIT: std::ops::Range<u64> = 500..800;
/// How long the server waits in chat; the dialect has no parameter for it.
const CHAT_WAIT: Duration = Duration::from_secs(10);
/// How long a reader of Durable Streams waits, in tenths of a millisecond; the protocol has no parameter for it.
const STREAM_STAY: std::ops::Range<u64> = 500..800;
/// An id of chat before all others.
const FIRST: &str = "00000000-0000-0000-0000-000000000000";

/// golongpoll's clients, by `since_time` and perhaps `last_id`.
pub(super) async fn golongpoll(
    client: &mut Client,
    kept: &mut Kept,
    pattern: Pattern,
    position: &mut Position,
) -> Result<()> {
    let takes_timeouts = matches!(pattern, Pattern::GolongpollTaken | Pattern::GolongpollSinceTaken);
    let tells_last = matches!(pattern, Pattern::GolongpollKept | Pattern::GolongpollTaken);
    if kept.time.is_none() {
        kept.time = match position.clock {
            None => Some(1.0),
            // One that takes the server's time begins with now, by the server's clock.
            Some(_) if takes_timeouts => None,
            Some(wrong) => Some(outside::now().duration_since(UNIX_EPOCH)?.as_secs_f64() * 1e3 + wrong),
        };
    }
    let mut target = format!("/events?timeout={}&category={}", GOLONGPOLL_WAIT.as_secs(), position.channel);
    if let Some(time) = kept.time {
        target.push_str(&format!("&since_time={time:.0}"));
        kept.id.iter().filter(|_| tells_last).for_each(|id| target.push_str(&format!("&last_id={id}")));
    }
    let deadline = Instant::now() + GOLONGPOLL_WAIT;
    position.announce(deadline);
    let answer = answer(client, &target, position).await?;
    let events = match (answer["events"].as_array(), answer["timeout"].is_string()) {
        (Some(events), _) => events.as_slice(),
        (None, true) => &[],
        (None, false) => bail!("no client should be told `{answer}`"),
    };
    position.aim.learn(deadline, events.len());
    for event in events {
        position.saw_unnumbered(token(&event["data"])?);
        kept.time = Some(event["timestamp"].as_f64().context("an event has no timestamp")?);
        kept.id = id(event)?;
    }
    if events.is_empty() {
        let told = answer["timestamp"].as_f64().context("a timeout has no timestamp")?;
        kept.time = if takes_timeouts { Some(told) } else { kept.time };
    }
    Ok(())
}

/// The channel dialect's clients: by the last message's id, or by its time.
pub(super) async fn channel(
    client: &mut Client,
    kept: &mut Kept,
    pattern: Pattern,
    position: &mut Position,
) -> Result<()> {
    let wait = position.wait(CHANNEL_WAIT);
    let deadline = Instant::now() + wait;
    position.announce(deadline);
    let from = match &kept.id {
        Some(id) if pattern == Pattern::ChannelId => format!("last_message_id={id}"),
        _ => format!("since={}", kept.time.unwrap_or_default()),
    };
    let target = format!("/api/poll/{}?timeout={}&{from}", position.channel, Position::timeout(wait));
    let answer = answer(client, &target, position).await?;
    let given = match (answer["status"].as_str(), pattern) {
        (Some("timeout"), _) => &[],
        (Some("message" | "messages"), Pattern::ChannelSince) => std::slice::from_ref(&answer["data"]),
        (Some("message" | "messages"), _) => answer["messages"].as_array().context("no messages")?.as_slice(),
        _ => bail!("no client should be told `{answer}`"),
    };
    position.aim.learn(deadline, given.len());
    for message in given {
        position.saw_unnumbered(token(message)?);
        kept.id = id(message)?;
    }
    // As a browser has it: a number, and back to the shortest text of that number.
    kept.time = Some(answer["timestamp"].as_f64().context("an answer has no timestamp")?);
    Ok(())
}

/// The chat dialect's client: everything after the last id it has.
pub(super) async fn chat(client: &mut Client, kept: &mut Kept, position: &mut Position) -> Result<()> {
    let deadline = Instant::now() + CHAT_WAIT;
    position.announce(deadline);
    let target = format!("/messages?after={}", kept.id.as_deref().unwrap_or(FIRST));
    let answer = answer(client, &target, position).await?;
    let messages = answer.as_array().context("an answer is not an array")?;
    position.aim.learn(deadline, messages.len());
    for message in messages {
        position.saw_unnumbered(token(&message["body"])?);
        kept.id = id(message)?;
    }
    Ok(())
}

/// A client of Durable Streams: a long poll after the last offset, which it leaves after a while. The edge is the moment at
/// which it leaves.
pub(super) async fn durable_streams(
    client: &mut Client,
    kept: &mut Kept,
    position: &mut Position,
) -> Result<()> {
    let leave = Instant::now() + position.wait(STREAM_STAY);
    position.announce(leave);
    let offset = kept.id.as_deref().unwrap_or("-1");
    let target = format!("/v1/stream/{}?live=long-poll&offset={offset}", position.channel);
    let Ok(answer) = timeout_at(leave, client.get(&target)).await else {
        client.hang_up();
        position.aim.ended(leave, Instant::now());
        return Ok(());
    };
    let answer = answer?;
    if answer.status == 404 && kept.id.is_none() {
        // The first publish makes the stream.
        sleep_until(leave).await;
        return Ok(());
    }
    let values = if answer.status == 204 { Value::Array(Vec::new()) } else { answer.json(200)? };
    for value in values.as_array().context("an answer is not an array")? {
        position.saw_unnumbered(token(value)?);
    }
    let next = answer.headers.get("stream-next-offset").context("an answer has no offset")?;
    kept.id = Some(next.to_str()?.to_owned());
    Ok(())
}

/// Asks. A dialect says by a header that something is missing.
async fn answer(client: &mut Client, target: &str, position: &mut Position) -> Result<Value> {
    let answer = client.get(target).await?;
    let missed = answer.missed()?;
    if missed.is_some() {
        position.told(Notice::Reset)?;
    }
    position.missed.insert(position.seen.len(), missed.unwrap_or(0));
    answer.json_of_a_part(200)
}

fn id(message: &Value) -> Result<Option<String>> {
    Ok(Some(message["id"].as_str().context("a message has no id")?.to_owned()))
}
