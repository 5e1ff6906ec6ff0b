//! Short and long polls of the native dialect.

use anyhow::Result;
use http::Request;
use http::header::{ETAG, IF_NONE_MATCH};
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use crate::client::Client;
use crate::payload::{self, Polled};
use crate::position::{Kept, Position};

/// The pause before a short poll, in tenths of a millisecond: long enough for the shooter to aim.
const PAUSE: std::ops::Range<u64> = 50..150;
/// The timeout of a long poll.
const WAIT: std::ops::Range<u64> = 500..800;

/// Some milliseconds after the last one; half of them conditional. The edge is the moment of the question.
pub(super) async fn short(client: &mut Client, kept: &mut Kept, position: &mut Position) -> Result<()> {
    let at = Instant::now() + position.wait(PAUSE);
    position.announce(at);
    sleep_until(at).await;
    position.aim.ended(at, Instant::now());
    let mut request = Request::get(format!("/api/poll?{}", position.query()));
    let tag = kept.id.clone().filter(|_| position.aim.coin());
    if let Some(tag) = &tag {
        request = request.header(IF_NONE_MATCH, tag);
    }
    let answer = client.ask(request, "").await?;
    if answer.status == 304 && tag.is_some() {
        return Ok(());
    }
    let before = position.cursor.clone();
    take(&answer.json(200)?, position)?;
    // The tag is for a question from the same position only.
    let tag = answer.headers.get(ETAG).filter(|_| position.cursor == before);
    kept.id = tag.and_then(|tag| Some(tag.to_str().ok()?.to_owned()));
    Ok(())
}

/// With a timeout of tens of milliseconds. The edge is the server's timeout.
pub(super) async fn long(client: &mut Client, position: &mut Position) -> Result<()> {
    let wait = position.wait(WAIT);
    let deadline = Instant::now() + wait;
    position.announce(deadline);
    let target = format!("/api/longpoll?{}&timeout={}", position.query(), Position::timeout(wait));
    let given = take(&client.get(&target).await?.json(200)?, position)?;
    position.aim.learn(deadline, given);
    Ok(())
}

/// How many messages an answer gave.
fn take(answer: &Value, position: &mut Position) -> Result<usize> {
    let Polled { messages, cursor, notice } = payload::poll(answer)?;
    notice.map_or(Ok(()), |notice| position.told(notice))?;
    let given = messages.len();
    messages.into_iter().try_for_each(|message| position.saw(message.seq, message.token, &cursor))?;
    position.cursor = Some(cursor);
    Ok(given)
}
