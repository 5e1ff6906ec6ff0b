//! `poll publish`: publishes a message, or each line as one, and prints their numbers.
//!
//! Every request has an idempotency key, so it can be made again without publishing twice.

use std::io::{self, Write};
use std::process::ExitCode;

use poll_client::{ChannelName, Client, Error as ClientError, IdempotencyKey, Payload, Receipt};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::mpsc;

use crate::arguments::{Publish, Server};
use crate::input::Input;
use crate::outcome::Done;

/// The most lines and bytes in a request; a server accepts 1,000 messages and 1 MiB.
const LINES: usize = 500;
const BYTES: usize = 512 * 1024;

pub(crate) async fn run(server: &Server, publish: &Publish) -> Done {
    let client = server.client(Some(publish.retries))?;
    if publish.lines {
        return lines(publish, &client).await;
    }
    let input = publish.input();
    let bytes = input.read()?;
    let payload = if publish.json {
        Payload::json(&bytes).map_err(|error| input.not_json(&error))?
    } else {
        Input::payload(bytes)
    };
    let key = publish.key.clone().map_or_else(new_key, Ok)?;
    let receipt = client.publish_once(&publish.channel, &payload, &key).await?;
    print(&[receipt], publish.json)?;
    Ok(ExitCode::SUCCESS)
}

/// Publishes lines as they come; those that came meanwhile go into one request.
async fn lines(publish: &Publish, client: &Client) -> Done {
    let input = publish.input();
    let mut lines = Batches { input: &input, lines: input.lines()?, json: publish.json, ahead: None };
    while let Some(batch) = lines.next().await? {
        let receipts = send(client, &publish.channel, &batch).await?;
        print(&receipts, publish.json)?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn send(
    client: &Client,
    channel: &ChannelName,
    batch: &[Box<RawValue>],
) -> Result<Vec<Receipt>, ClientError> {
    client.publish_many_once(channel, batch, &new_key()?).await
}

struct Batches<'a> {
    input: &'a Input,
    lines: mpsc::Receiver<io::Result<Vec<u8>>>,
    json: bool,
    /// Read, but too large for the batch before it.
    ahead: Option<Box<RawValue>>,
}

impl Batches<'_> {
    /// Waits for a line, and takes those that are there already.
    async fn next(&mut self) -> Result<Option<Vec<Box<RawValue>>>, ClientError> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        loop {
            let message = match self.ahead.take() {
                Some(message) => message,
                None => {
                    let line =
                        if batch.is_empty() { self.lines.recv().await } else { self.lines.try_recv().ok() };
                    let Some(line) = line else { break };
                    let line = line.map_err(|error| self.input.unreadable(&error))?;
                    let Some(message) = self.message(line)? else { continue };
                    message
                }
            };
            bytes += message.get().len();
            if !batch.is_empty() && (bytes > BYTES || batch.len() >= LINES) {
                self.ahead = Some(message);
                break;
            }
            batch.push(message);
        }
        Ok((!batch.is_empty()).then_some(batch))
    }

    /// An empty line is no message.
    fn message(&self, line: Vec<u8>) -> Result<Option<Box<RawValue>>, ClientError> {
        if line.is_empty() {
            return Ok(None);
        }
        let not_text =
            |error: &dyn std::fmt::Display| ClientError::Usage(format!("a line is not UTF-8: {error}"));
        let text = String::from_utf8(line).map_err(|error| not_text(&error))?;
        let message =
            if self.json { serde_json::from_str(&text).map(Some) } else { to_raw_value(&text).map(Some) };
        message.map_err(|error| ClientError::Usage(format!("a line is not JSON: {error}")))
    }
}

fn new_key() -> Result<IdempotencyKey, ClientError> {
    let random: u128 = rand::random();
    IdempotencyKey::parse(&format!("poll-{random:032x}"))
        .map_err(|error| ClientError::Usage(error.to_string()))
}

fn print(receipts: &[Receipt], json: bool) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    for receipt in receipts {
        let line = if json { as_json(receipt) } else { receipt.seq.to_string() };
        writeln!(stdout, "{line}")?;
    }
    stdout.flush()
}

fn as_json(receipt: &Receipt) -> String {
    json!({
        "id": receipt.seq.get(),
        "uuid": receipt.id.to_string(),
        "cursor": receipt.cursor.to_string(),
        "timestamp": receipt.at.to_string(),
    })
    .to_string()
}
