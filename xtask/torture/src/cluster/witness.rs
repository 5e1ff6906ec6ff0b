//! Reads its own writes: publishes on one node, and as soon as that is answered begins a read on another.
//!
//! Only reads that do not wait can tell: a short poll, a conditional one, and the message's own address.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http::Request;
use http::header::{ETAG, IF_NONE_MATCH};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::aim::Aim;
use crate::client::Client;
use crate::payload;

/// A node that does not answer within this is stopped; that is another witness's affair.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two publishes, in tenths of a millisecond.
const PAUSE: std::ops::Range<u64> = 100..600;

/// What the witness saw.
#[derive(Debug, Default)]
pub(super) struct Testimony {
    /// Reads that gave what had been published.
    pub(super) fresh: u64,
    /// Reads that were not answered, as happens when a node is killed.
    pub(super) unanswered: u64,
    pub(super) stale: Vec<Stale>,
}

/// A read that did not give what was acknowledged before it began.
#[derive(Debug)]
pub(super) struct Stale {
    /// The node that was read, by its number.
    pub(super) node: usize,
    pub(super) begun: Instant,
    pub(super) ended: Instant,
    /// Whether the channel has become another since.
    pub(super) is_reset: bool,
    pub(super) what: String,
}

/// A way of reading that does not wait.
enum How {
    /// A poll from the message before it.
    Poll,
    /// A poll of all, unless it has the tag that it had before.
    Unless { target: String, tag: String },
    /// The message itself.
    Address,
}

/// One acknowledged message.
struct Mark {
    seq: u64,
    cursor: String,
    text: String,
}

/// Goes on until it is told to stop.
pub(super) async fn testify(
    nodes: Vec<SocketAddr>,
    channel: String,
    seed: u64,
    stop: watch::Receiver<bool>,
) -> Testimony {
    let (mut aim, mut testimony) = (Aim::new(seed), Testimony::default());
    let mut clients: Vec<Client> = nodes.iter().map(|&node| Client::new(node)).collect();
    let mut number = 0;
    while !*stop.borrow() {
        sleep(aim.wait(PAUSE)).await;
        let (writer, reader) = (number % nodes.len(), (number + 1 + usize::from(aim.coin())) % nodes.len());
        let text = format!("{channel}-{number}");
        number += 1;
        // Asked before it is published, so that the same question has another answer afterwards.
        let how = match how(&mut aim, &mut clients[reader], &channel).await {
            Ok(how) => how,
            Err(_) => {
                testimony.unanswered += 1;
                clients[reader].hang_up();
                continue;
            }
        };
        let Ok(Ok(mark)) = timeout(PATIENCE, publish(&mut clients[writer], &channel, &text)).await else {
            clients[writer].hang_up();
            continue;
        };
        let begun = Instant::now();
        match timeout(PATIENCE, read(&mut clients[reader], &channel, &mark, how)).await {
            Ok(Ok(None)) => testimony.fresh += 1,
            Ok(Ok(Some(what))) => {
                let ended = Instant::now();
                let is_reset = is_reset(&mut clients[reader], &channel, &mark).await;
                testimony.stale.push(Stale { node: reader, begun, ended, is_reset, what });
            }
            _ => {
                testimony.unanswered += 1;
                clients[reader].hang_up();
            }
        }
    }
    testimony
}

async fn publish(client: &mut Client, channel: &str, text: &str) -> Result<Mark> {
    let value = client.publish(channel, text.to_owned()).await?.json(201)?;
    let cursor = value["cursor"].as_str().context("an acknowledgement has no cursor")?.to_owned();
    let seq = value["id"].as_u64().context("an acknowledgement has no id")?;
    Ok(Mark { seq, cursor, text: text.to_owned() })
}

/// The way of the next read.
async fn how(aim: &mut Aim, client: &mut Client, channel: &str) -> Result<How> {
    match (aim.coin(), aim.coin()) {
        (false, false) => Ok(How::Address),
        (false, true) => Ok(How::Poll),
        _ => {
            let target = format!("/api/poll?channel={channel}&last_id=0&limit=1000");
            let answer = timeout(PATIENCE, client.get(&target)).await??;
            let tag = answer.headers.get(ETAG).context("a poll has no entity tag")?.to_str()?.to_owned();
            Ok(How::Unless { target, tag })
        }
    }
}

/// What is wrong with what a read gives.
async fn read(client: &mut Client, channel: &str, mark: &Mark, how: How) -> Result<Option<String>> {
    match how {
        How::Unless { target, tag } => {
            let answer = client.ask(Request::get(target).header(IF_NONE_MATCH, tag), "").await?;
            Ok((answer.status == 304).then(|| format!("304 though message {} is there", mark.seq)))
        }
        How::Address => {
            let answer = client.get(&format!("/api/messages/{channel}/{}", mark.cursor)).await?;
            ensure!(answer.status != 503, "it cannot be read now");
            Ok((answer.status != 200).then(|| format!("message {} is {}", mark.seq, answer.status)))
        }
        How::Poll => {
            let target = format!("/api/poll?channel={channel}&last_id={}", mark.seq - 1);
            let value = client.get(&target).await?.json_of_a_part(200)?;
            let is_there = value["messages"][0]["content"] == mark.text.as_str();
            Ok((!is_there).then(|| format!("no message {} in {value}", mark.seq)))
        }
    }
}

/// Whether the channel is not the one any more to which it was published.
async fn is_reset(client: &mut Client, channel: &str, mark: &Mark) -> bool {
    let epoch = async {
        let answer = client.get(&format!("/api/poll?channel={channel}&last_id=0&limit=1")).await?;
        payload::epoch(answer.json_of_a_part(200)?["cursor"].as_str().unwrap_or_default())
    };
    let now = timeout(PATIENCE, epoch).await;
    matches!((now, payload::epoch(&mark.cursor)), (Ok(Ok(now)), Ok(then)) if now != then)
}
