//! The channel dialect's clients: by the last message's id, or by its time. The edge is the server's timeout.

use anyhow::{Context as _, Result, bail};
use tokio::time::Instant;

use crate::client::Client;
use crate::pattern::Pattern;
use crate::payload::token;
use crate::position::{Kept, Position};

/// The timeout, in tenths of a millisecond.
const WAIT: std::ops::Range<u64> = 500..800;

pub(super) async fn ask(
    client: &mut Client,
    kept: &mut Kept,
    pattern: Pattern,
    position: &mut Position,
) -> Result<()> {
    let wait = position.wait(WAIT);
    let deadline = Instant::now() + wait;
    position.announce(deadline);
    let from = match &kept.id {
        Some(id) if pattern == Pattern::ChannelId => format!("last_message_id={id}"),
        _ => format!("since={}", kept.time.unwrap_or_default()),
    };
    let target = format!("/api/poll/{}?timeout={}&{from}", position.channel, Position::timeout(wait));
    let answer = client.get(&target).await?.json(200)?;
    let given = match (answer["status"].as_str(), pattern) {
        (Some("timeout"), _) => &[],
        (Some("message" | "messages"), Pattern::ChannelSince) => std::slice::from_ref(&answer["data"]),
        (Some("message" | "messages"), _) => answer["messages"].as_array().context("no messages")?.as_slice(),
        _ => bail!("no client should be told `{answer}`"),
    };
    position.aim.learn(deadline, given.len());
    for message in given {
        position.saw(None, token(message)?);
        kept.id = Some(message["id"].as_str().context("a message has no id")?.to_owned());
    }
    // As a browser has it: a number, and back to the shortest text of that number.
    kept.time = Some(answer["timestamp"].as_f64().context("an answer has no timestamp")?);
    Ok(())
}
