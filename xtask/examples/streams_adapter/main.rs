//! Puts `poll-client` through the client conformance suite of Durable Streams: takes its commands from standard input and
//! answers on standard output, a line of JSON each.
//!
//! `cargo xtask streams --client` runs the suite with it. It is as thin as it can be, so that the client is what is tested.
#![expect(clippy::print_stdout, reason = "its output is read by the suite")]

mod command;
mod reading;

use std::collections::{BTreeMap, HashMap};
use std::io::BufRead as _;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use poll_client::durable_streams::{
    Append, AppendError, Birth, Claim, Create, DurableStream, Offset, Producer,
};
use poll_client::{BackoffSettings, Client, Error};
use serde_json::{Value, json};

use crate::command::{Command, Failure, success};

/// Tests wait for retries, and for them to be used up.
const BACKOFF: BackoffSettings =
    BackoffSettings { base: Duration::from_millis(50), cap: Duration::from_secs(1), max_retries: Some(5) };
/// A stream of whose type nothing is known.
const BYTES: &str = "application/octet-stream";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut adapter = None;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let answer = match serde_json::from_str::<Command>(&line) {
            Ok(command) if command.kind == "init" => {
                adapter = Some(Adapter::new(&command.server_url)?);
                let features = json!({ "batching": true, "sse": true, "longPoll": true, "auto": true, "streaming": true, "dynamicHeaders": true });
                let version = env!("CARGO_PKG_VERSION");
                success(
                    "init",
                    json!({ "clientName": "poll-client", "clientVersion": version, "features": features }),
                )
            }
            Ok(command) if command.kind == "shutdown" => {
                println!("{}", success("shutdown", json!({})));
                break;
            }
            Ok(command) => {
                let adapter = adapter.as_mut().context("the first command is init")?;
                let done = adapter.run(&command).await;
                done.map_or_else(
                    |failure| failure.into_answer(&command.kind),
                    |fields| success(&command.kind, fields),
                )
            }
            // A number that none of the client's types can hold.
            Err(error) => Failure::new("INVALID_ARGUMENT", error.to_string()).into_answer("validate"),
        };
        println!("{answer}");
    }
    Ok(())
}

struct Adapter {
    client: Client,
    content_types: HashMap<String, String>,
    /// By path, id and epoch.
    producers: HashMap<(String, String, u64), Producer>,
    headers: BTreeMap<String, Dynamic>,
    parameters: BTreeMap<String, Dynamic>,
}

/// A value that is another one in each request.
enum Dynamic {
    Counter(u64),
    Time,
    Token(String),
}

impl Dynamic {
    fn of(command: &Command) -> Self {
        match command.value_type.as_str() {
            "counter" => Self::Counter(0),
            "timestamp" => Self::Time,
            _ => Self::Token(command.initial_value.clone()),
        }
    }

    fn next(&mut self) -> String {
        match self {
            Self::Counter(count) => {
                *count += 1;
                count.to_string()
            }
            Self::Time => {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                now.as_millis().to_string()
            }
            Self::Token(token) => token.clone(),
        }
    }
}

fn next_values(dynamic: &mut BTreeMap<String, Dynamic>) -> BTreeMap<String, String> {
    dynamic.iter_mut().map(|(name, value)| (name.clone(), value.next())).collect()
}

impl Adapter {
    fn new(server: &str) -> Result<Self> {
        let client = Client::builder(server).backoff(BACKOFF).build()?;
        let (content_types, producers) = (HashMap::new(), HashMap::new());
        Ok(Self { client, content_types, producers, headers: BTreeMap::new(), parameters: BTreeMap::new() })
    }

    async fn run(&mut self, command: &Command) -> Result<Value, Failure> {
        let path = &command.path;
        let failure = |error: Error| Failure::of(&error.into(), path, None);
        match command.kind.as_str() {
            "create" => self.create(command).await.map_err(failure),
            "connect" | "head" => self.head(command).await.map_err(failure),
            "delete" => self.delete(command).await.map_err(failure),
            "read" => self.read(command).await,
            "append" => self.append(command).await,
            "close" => self.close(command).await.map_err(|error| Failure::of(&error, path, None)),
            "idempotent-append" | "idempotent-append-batch" | "idempotent-close" => {
                self.produce(command).await.map_err(|error| Failure::of(&error, path, None))
            }
            "idempotent-detach" => {
                self.producers.remove(&key(command));
                Ok(json!({}))
            }
            "set-dynamic-header" => {
                self.headers.insert(command.name.clone(), Dynamic::of(command));
                Ok(json!({}))
            }
            "set-dynamic-param" => {
                self.parameters.insert(command.name.clone(), Dynamic::of(command));
                Ok(json!({}))
            }
            "clear-dynamic" => {
                self.headers.clear();
                self.parameters.clear();
                Ok(json!({}))
            }
            "validate" => validate(command),
            other => Err(Failure::new("NOT_SUPPORTED", other)),
        }
    }

    fn stream(&self, command: &Command) -> Result<DurableStream, Error> {
        with_headers(DurableStream::new(&self.client, &command.path)?, &command.headers)
    }

    fn content_type(&self, path: &str) -> &str {
        self.content_types.get(path).map_or(BYTES, String::as_str)
    }

    async fn create(&mut self, command: &Command) -> Result<Value, Error> {
        let content_type = command.content_type.as_deref().unwrap_or(BYTES);
        let mut create = Create::new(content_type).body(command.data.clone().unwrap_or_default());
        if let Some(seconds) = command.ttl_seconds {
            create = create.ttl(Duration::from_secs(seconds));
        }
        if let Some(time) = &command.expires_at {
            create = create.expires_at(time);
        }
        if command.closed {
            create = create.closed();
        }
        let created = self.stream(command)?.create(&create).await?;
        self.content_types.insert(command.path.clone(), content_type.to_owned());
        let status = if created.birth == Birth::New { 201 } else { 200 };
        Ok(json!({ "status": status, "offset": created.end.as_str() }))
    }

    async fn head(&mut self, command: &Command) -> Result<Value, Error> {
        let known = self.stream(command)?.head().await?;
        if let Some(content_type) = &known.content_type {
            self.content_types.insert(command.path.clone(), content_type.clone());
        }
        Ok(json!({
            "offset": known.end.as_str(),
            "contentType": known.content_type,
            "streamClosed": known.closed,
            "ttlSeconds": known.ttl.map(|ttl| ttl.as_secs()),
            "expiresAt": known.expires_at,
        }))
    }

    async fn delete(&mut self, command: &Command) -> Result<Value, Error> {
        self.stream(command)?.delete().await?;
        self.content_types.remove(&command.path);
        Ok(json!({}))
    }

    async fn read(&mut self, command: &Command) -> Result<Value, Failure> {
        let failure = |error: Error| Failure::of(&error.into(), &command.path, None);
        let (headers, parameters) = (next_values(&mut self.headers), next_values(&mut self.parameters));
        let query: Vec<_> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let path = match query.is_empty() {
            true => command.path.clone(),
            false => format!("{}?{}", command.path, query.join("&")),
        };
        let stream = DurableStream::new(&self.client, &path)
            .and_then(|stream| with_headers(stream, &headers))
            .and_then(|stream| with_headers(stream, &command.headers))
            .map_err(failure)?;
        let from = match &command.offset {
            Some(text) => text.parse().map_err(|error| Failure::new("INVALID_OFFSET", format!("{error}")))?,
            None => Offset::START,
        };
        let is_json = self.content_type(&command.path).starts_with("application/json");
        let mut fields = reading::read(&stream, &from, is_json, command).await.map_err(failure)?.fields();
        (fields["headersSent"], fields["paramsSent"]) = (json!(headers), json!(parameters));
        Ok(fields)
    }

    /// With a place in its writer's order it is sent once; any other through a producer, as the client repeats no other.
    async fn append(&mut self, command: &Command) -> Result<Value, Failure> {
        let (headers, parameters) = (next_values(&mut self.headers), next_values(&mut self.parameters));
        let data = command.data.clone().unwrap_or_default();
        let body = match command.binary {
            true => {
                STANDARD.decode(data).map_err(|error| Failure::new("INVALID_ARGUMENT", error.to_string()))?
            }
            false => data.into_bytes(),
        };
        let stream = with_headers(self.stream(command)?, &headers)?;
        let append = Append::new(self.content_type(&command.path), body)?;
        let end = match command.seq {
            Some(seq) => stream.append(append.seq(&seq.to_string())?).await.map(Some),
            None => {
                Producer::new(&stream, &format!("append-{:x}", rand::random::<u128>()))?.append(append).await
            }
        };
        let end = end.map_err(|error| Failure::of(&error, &command.path, command.seq))?;
        let offset = end.as_ref().map(Offset::as_str);
        Ok(json!({ "offset": offset, "headersSent": headers, "paramsSent": parameters }))
    }

    async fn close(&mut self, command: &Command) -> Result<Value, AppendError> {
        let stream = self.stream(command)?;
        let content_type = command.content_type.as_deref().unwrap_or(self.content_type(&command.path));
        let end = match &command.data {
            Some(data) => stream.append_and_close(Append::new(content_type, data.clone())?).await?,
            None => stream.close().await?,
        };
        Ok(json!({ "finalOffset": end.as_str() }))
    }

    async fn produce(&mut self, command: &Command) -> Result<Value, AppendError> {
        let content_type = self.content_type(&command.path).to_owned();
        let append = |items: &[String]| match content_type.starts_with("application/json") {
            true => Append::new(&content_type, format!("[{}]", items.join(","))),
            false => Append::new(&content_type, items.concat()),
        };
        if command.kind == "idempotent-append-batch" {
            let mut producer = self.producer(command)?;
            // The client batches nothing by itself and has one append on its way: the program says what goes together.
            let at_once = if command.max_in_flight.unwrap_or(1) > 1 { 1 } else { command.items.len().max(1) };
            for items in command.items.chunks(at_once) {
                producer.append(append(items)?).await?;
            }
            return Ok(json!({}));
        }
        let mut producer = match self.producers.remove(&key(command)) {
            Some(producer) => producer,
            None => self.producer(command)?,
        };
        let last = command.data.clone().map(|data| append(&[data])).transpose()?;
        let end = match (command.kind.as_str(), last) {
            ("idempotent-append", Some(last)) => producer.append(last).await,
            (_, last) => producer.close(last).await,
        };
        self.producers.insert(key(command), producer);
        let end = end?.map(|end| end.to_string());
        Ok(json!({ "offset": end, "finalOffset": end }))
    }

    fn producer(&self, command: &Command) -> Result<Producer, Error> {
        let claim = if command.auto_claim { Claim::Next } else { Claim::Never };
        let producer = Producer::new(&self.stream(command)?, &command.producer_id)?;
        Ok(producer.epoch(command.epoch).claim(claim))
    }
}

fn key(command: &Command) -> (String, String, u64) {
    (command.path.clone(), command.producer_id.clone(), command.epoch)
}

fn with_headers(stream: DurableStream, headers: &BTreeMap<String, String>) -> Result<DurableStream, Error> {
    headers.iter().try_fold(stream, |stream, (name, value)| stream.header(name, value))
}

/// What the client's types cannot hold is refused here, as a compiler would.
fn validate(command: &Command) -> Result<Value, Failure> {
    for name in ["epoch", "maxBatchBytes"] {
        if command.target.get(name).is_some_and(|value| value.as_u64().is_none()) {
            return Err(Failure::new("INVALID_ARGUMENT", format!("{name} is no number that can be")));
        }
    }
    Ok(json!({}))
}
