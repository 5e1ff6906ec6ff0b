//! `poll tail`: prints a line for each message.
//!
//! Without `--json` the line is the message's content, and missed messages are reported on stderr. With it every event
//! is a line on stdout.

use std::error::Error;
use std::io::{self, Write};

use futures_util::TryStreamExt;
use poll_client::{
    ChunkedStream, Client, Content, Event, EventSource, LongPoll, Message, Push, ShortPoll, Subscription,
};
use serde_json::json;
use serde_json::value::RawValue;

use crate::arguments::{Pattern, Tail};

pub(crate) async fn run(tail: Tail) -> Result<(), Box<dyn Error>> {
    let client = tail.server.client(tail.retries)?;
    let mut events = subscribe(&tail, &client);
    let (mut left, mut stdout) = (tail.count.unwrap_or(u64::MAX), io::stdout().lock());
    while left > 0 {
        let event = tokio::select! {
            event = events.try_next() => event?,
            () = crate::reader::gone() => None,
        };
        let Some(event) = event else { break };
        if tail.json {
            writeln!(stdout, "{}", as_json(&event)?)?;
        } else {
            show(&event, &mut stdout)?;
        }
        stdout.flush()?;
        left -= u64::from(matches!(event, Event::Message(_)));
    }
    Ok(())
}

fn subscribe(tail: &Tail, client: &Client) -> Subscription {
    let channel = &tail.channel;
    match tail.pattern {
        Pattern::Short => ShortPoll::new(client, channel).start_at(tail.from).subscribe(),
        Pattern::Long => LongPoll::new(client, channel).start_at(tail.from).subscribe(),
        Pattern::Stream => ChunkedStream::new(client, channel).start_at(tail.from).subscribe(),
        Pattern::Sse => EventSource::new(client, channel).start_at(tail.from).subscribe(),
        Pattern::Push => Push::new(client, channel).start_at(tail.from).subscribe(),
    }
}

fn show(event: &Event, stdout: &mut impl Write) -> io::Result<()> {
    match event {
        Event::Message(message) => {
            stdout.write_all(&message.content.bytes())?;
            stdout.write_all(b"\n")
        }
        Event::Missed { count, reset } => {
            let count = count.map_or("some".to_owned(), |count| count.to_string());
            let why = if *reset { ", and the channel began anew" } else { "" };
            writeln!(io::stderr(), "poll: {count} messages were gone before they could be read{why}")
        }
        Event::Closed { .. } => Ok(()),
    }
}

fn as_json(event: &Event) -> serde_json::Result<String> {
    match event {
        Event::Message(message) => message_json(message),
        Event::Missed { count, reset } => {
            Ok(json!({"type": "missed", "count": count, "reset": reset}).to_string())
        }
        Event::Closed { .. } => Ok(json!({"type": "closed", "reason": "ended"}).to_string()),
    }
}

fn message_json(message: &Message) -> serde_json::Result<String> {
    /// A struct, so that the fields keep their order and the content its spelling.
    #[derive(serde::Serialize)]
    struct Line<'a> {
        r#type: &'static str,
        id: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        uuid: Option<String>,
        content: &'a RawValue,
        #[serde(skip_serializing_if = "Option::is_none")]
        encoding: Option<&'static str>,
        cursor: String,
        timestamp: String,
    }
    let (content, encoding) = match &message.content {
        Content::Json(value) => (value.clone(), None),
        Content::Binary(bytes) => (serde_json::value::to_raw_value(&base64(bytes))?, Some("base64")),
    };
    serde_json::to_string(&Line {
        r#type: "message",
        id: message.seq.get(),
        uuid: message.id.map(|id| id.to_string()),
        content: &content,
        encoding,
        cursor: message.cursor.to_string(),
        timestamp: message.at.to_string(),
    })
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
