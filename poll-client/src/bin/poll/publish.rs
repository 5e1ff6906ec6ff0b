//! `poll publish`: publishes a message and prints its number.

use std::error::Error;
use std::io::{self, Write};

use poll_client::{Error as ClientError, Payload, Receipt};
use serde_json::json;

use crate::arguments::Publish;

/// How often a publish with a key is retried.
const RETRIES: u32 = 5;

pub(crate) async fn run(publish: Publish) -> Result<(), Box<dyn Error>> {
    let client = publish.server.client(Some(RETRIES))?;
    let channel = &publish.channel;
    let payload = if publish.json {
        let not_json =
            |error: &dyn std::fmt::Display| ClientError::Usage(format!("TEXT is not JSON: {error}"));
        Payload::json(publish.text.as_bytes()).map_err(|error| not_json(&error))?
    } else {
        Payload::text(publish.text)
    };
    let receipt = match &publish.key {
        Some(key) => client.publish_once(channel, &payload, key).await?,
        None => client.publish(channel, &payload).await?,
    };
    let line = if publish.json { as_json(&receipt) } else { receipt.seq.to_string() };
    writeln!(io::stdout(), "{line}")?;
    Ok(())
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
