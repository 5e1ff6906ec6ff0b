//! Reads what a command asks for, at once or as it comes.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use poll_client::Error;
use poll_client::durable_streams::{Chunk, DurableStream, Live, Offset, Reach};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::command::Command;

/// How long a read may take that does not say so.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was read.
pub(crate) struct Read {
    chunks: Vec<Value>,
    next: Offset,
    reach: Reach,
    is_json: bool,
    /// Of the last answer: a long poll from now on that brings nothing is 204.
    status: u16,
}

/// Reads from an offset until enough is read, the stream is closed or the time is over.
pub(crate) async fn read(
    stream: &DurableStream,
    from: &Offset,
    is_json: bool,
    command: &Command,
) -> Result<Read, Error> {
    let mut read =
        Read { chunks: Vec::new(), next: from.clone(), reach: Reach::Further, is_json, status: 200 };
    let patience = command.timeout_ms.map_or(PATIENCE, Duration::from_millis);
    let live = match command.live.as_str() {
        Some("long-poll") => {
            read.status = if *from == Offset::NOW { 204 } else { 200 };
            Live::LongPoll
        }
        Some("sse") => Live::ServerSentEvents,
        _ if command.live == Value::Bool(true) => Live::ByContentType,
        _ => {
            read.catch_up(stream).await?;
            return Ok(read);
        }
    };
    match timeout(patience, read.follow(stream, live, command)).await {
        Ok(done) => done?,
        // Nothing has come for so long.
        Err(_) if read.reach == Reach::Further => read.reach = Reach::UpToDate,
        Err(_) => {}
    }
    Ok(read)
}

impl Read {
    async fn catch_up(&mut self, stream: &DurableStream) -> Result<(), Error> {
        while self.reach == Reach::Further {
            let chunk = stream.read(&self.next).await?;
            self.take(&chunk)?;
        }
        Ok(())
    }

    async fn follow(&mut self, stream: &DurableStream, live: Live, command: &Command) -> Result<(), Error> {
        let mut chunks = stream.follow(&self.next, live);
        let most = command.max_chunks.unwrap_or(100);
        while let Some(chunk) = chunks.try_next().await? {
            self.take(&chunk)?;
            let is_level = command.wait_for_up_to_date && self.reach != Reach::Further;
            if is_level || self.chunks.len() >= most {
                break;
            }
        }
        Ok(())
    }

    fn take(&mut self, chunk: &Chunk) -> Result<(), Error> {
        (self.next, self.reach) = (chunk.next.clone(), chunk.reach);
        if chunk.data.is_empty() {
            return Ok(());
        }
        let data = if self.is_json {
            let values: Vec<Box<RawValue>> = chunk.json()?;
            let texts: Vec<_> = values.iter().map(|value| value.get()).collect();
            format!("[{}]", texts.join(","))
        } else {
            String::from_utf8_lossy(&chunk.data).into_owned()
        };
        self.status = 200;
        self.chunks.push(json!({ "data": data, "offset": chunk.next.as_str() }));
        Ok(())
    }

    /// The fields of the answer.
    pub(crate) fn fields(self) -> Value {
        json!({
            "status": self.status,
            "chunks": self.chunks,
            "offset": self.next.as_str(),
            "upToDate": self.reach != Reach::Further,
            "streamClosed": self.reach == Reach::Closed,
        })
    }
}
