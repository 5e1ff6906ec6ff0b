//! golongpoll's clients, each with its own bookkeeping of `since_time` and `last_id`. The edge is the server's timeout,
//! which is a whole number of seconds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use tokio::time::Instant;

use crate::client::Client;
use crate::pattern::Pattern;
use crate::payload::token;
use crate::position::{Kept, Position};

/// The shortest timeout of the dialect.
const WAIT: Duration = Duration::from_secs(1);

pub(super) async fn ask(
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
            Some(wrong) => Some(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64() * 1e3 + wrong),
        };
    }
    let mut target = format!("/events?timeout={}&category={}", WAIT.as_secs(), position.channel);
    if let Some(time) = kept.time {
        target.push_str(&format!("&since_time={time:.0}"));
        kept.id.iter().filter(|_| tells_last).for_each(|id| target.push_str(&format!("&last_id={id}")));
    }
    let deadline = Instant::now() + WAIT;
    position.announce(deadline);
    let answer = client.get(&target).await?.json(200)?;
    let events = match (answer["events"].as_array(), answer["timeout"].is_string()) {
        (Some(events), _) => events.as_slice(),
        (None, true) => &[],
        (None, false) => bail!("no client should be told `{answer}`"),
    };
    position.aim.learn(deadline, events.len());
    for event in events {
        position.saw(None, token(&event["data"])?);
        kept.time = Some(event["timestamp"].as_f64().context("an event has no timestamp")?);
        kept.id = Some(event["id"].as_str().context("an event has no id")?.to_owned());
    }
    if events.is_empty() {
        let told = answer["timestamp"].as_f64().context("a timeout has no timestamp")?;
        kept.time = if takes_timeouts { Some(told) } else { kept.time };
    }
    Ok(())
}
