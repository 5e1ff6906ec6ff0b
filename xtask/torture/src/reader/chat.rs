//! The chat dialect's client: everything after the last id it has. The edge is the server's own ten seconds.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::Instant;

use crate::client::Client;
use crate::payload::token;
use crate::position::{Kept, Position};

/// How long the server waits; the dialect has no parameter for it.
const WAIT: Duration = Duration::from_secs(10);
/// An id before all others.
const FIRST: &str = "00000000-0000-0000-0000-000000000000";

pub(super) async fn ask(client: &mut Client, kept: &mut Kept, position: &mut Position) -> Result<()> {
    let deadline = Instant::now() + WAIT;
    position.announce(deadline);
    let target = format!("/messages?after={}", kept.id.as_deref().unwrap_or(FIRST));
    let answer = client.get(&target).await?.json(200)?;
    let messages = answer.as_array().context("an answer is not an array")?;
    position.aim.learn(deadline, messages.len());
    for message in messages {
        position.saw(None, token(&message["body"])?);
        kept.id = Some(message["id"].as_str().context("a message has no id")?.to_owned());
    }
    Ok(())
}
