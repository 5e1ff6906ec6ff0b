//! What clients say: a configuration, streams, a claim, an acknowledgement.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use poll_core::ChannelName;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::fault::Fault;
use super::glob::Glob;
use super::webhook_url::{Loopback, WebhookUrl};
use crate::dialect::durable_streams::name::RESERVED;
use crate::dialect::durable_streams::offset::Offset;
use crate::presence::is_records;

/// Most bytes of a body.
pub(crate) const MOST_BYTES: usize = 256 * 1024;
/// Most streams of a subscription.
pub(crate) const MOST_STREAMS: usize = 1_000;
/// Most bytes of a description, and of a worker's name.
const MOST_TEXT: usize = 1_024;
/// Bounds and default of a lease, in milliseconds.
const LEASE: std::ops::RangeInclusive<u64> = 1_000..=600_000;
const USUAL_LEASE: u64 = 30_000;

/// Why the wake stream is not among the streams of its subscription.
pub(super) const CANNOT_WAKE: Fault = Fault::Invalid(Cow::Borrowed("the wake stream cannot wake"));

/// What a subscription is for. Two are the same if all of it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Configuration {
    pub(crate) delivery: Delivery,
    pub(crate) pattern: Option<Glob>,
    /// The streams that it begins with, besides those that match the pattern.
    pub(crate) streams: BTreeSet<Box<str>>,
    pub(crate) lease: Duration,
    pub(crate) description: Option<Box<str>>,
}

/// How workers hear of new content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// By a request to this URL.
    Webhook(WebhookUrl),
    /// By a message in this stream.
    PullWake(ChannelName),
}

/// A worker that takes a wake.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) worker: Box<str>,
}

/// An acknowledgement, a heartbeat or a release: what a worker says of the wake that it has.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) wake_id: Box<str>,
    pub(crate) generation: u64,
    /// Streams as the worker [names](super::Subscription::meant) them, and up to where each was processed.
    pub(crate) acks: Vec<(Box<str>, Offset)>,
    pub(crate) progress: Progress,
}

/// Whether a worker goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It does: its lease is lengthened.
    Working,
    Done,
}

#[derive(Deserialize)]
struct Acknowledgement {
    #[serde(alias = "path")]
    stream: String,
    offset: String,
}

#[derive(Deserialize)]
struct Said {
    wake_id: String,
    generation: u64,
    #[serde(default)]
    acks: Vec<Acknowledgement>,
    #[serde(default)]
    done: bool,
}

impl Configuration {
    /// Reads the body of a PUT, and what was kept of one.
    ///
    /// # Errors
    /// [`Fault::Invalid`], and [`Fault::UrlRejected`] for a webhook's URL.
    pub(crate) fn parse(content: &[u8], loopback: Loopback) -> Result<Self, Fault> {
        let given: Map<String, Value> = object(content)?;
        let text = |name: &'static str| match given.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(&**text)),
            Some(_) => Err(Fault::Invalid(format!("`{name}` is not a string").into())),
        };
        let delivery = match text("type")? {
            Some("webhook") => {
                let url = given.get("webhook").and_then(|webhook| webhook.get("url")).and_then(Value::as_str);
                let url = url.ok_or(invalid("a webhook needs `webhook.url`"))?;
                Delivery::Webhook(WebhookUrl::parse(url, loopback).map_err(Fault::UrlRejected)?)
            }
            Some("pull-wake") => {
                let stream = text("wake_stream")?.ok_or(invalid("a pull-wake needs `wake_stream`"))?;
                Delivery::PullWake(stream_name(stream)?)
            }
            _ => return Err(invalid("`type` is neither `webhook` nor `pull-wake`")),
        };
        let pattern = match text("pattern")?.filter(|pattern| !pattern.is_empty()) {
            Some(pattern) => Some(Glob::parse(pattern).ok_or(invalid("`pattern` can match no stream"))?),
            None => None,
        };
        let streams = names(given.get("streams").unwrap_or(&Value::Null))?;
        if pattern.is_none() && streams.is_empty() {
            return Err(invalid("there is neither a `pattern` nor a stream"));
        }
        if let Delivery::PullWake(stream) = &delivery
            && streams.contains(stream.as_str())
        {
            return Err(CANNOT_WAKE);
        }
        let lease = match given.get("lease_ttl_ms") {
            None | Some(Value::Null) => USUAL_LEASE,
            Some(lease) => lease
                .as_u64()
                .filter(|lease| LEASE.contains(lease))
                .ok_or(invalid("`lease_ttl_ms` is not a whole number from 1000 to 600000"))?,
        };
        let description = text("description")?;
        if description.is_some_and(|text| text.len() > MOST_TEXT) {
            return Err(invalid("`description` has more than 1024 bytes"));
        }
        Ok(Self {
            delivery,
            pattern,
            streams,
            lease: Duration::from_millis(lease),
            description: description.map(Box::from),
        })
    }

    /// The same as JSON: what an answer says of it, and what is kept.
    pub(crate) fn to_json(&self) -> Map<String, Value> {
        let (kind, webhook, wake_stream) = match &self.delivery {
            Delivery::Webhook(url) => ("webhook", json!({ "url": url.as_str() }), Value::Null),
            Delivery::PullWake(stream) => ("pull-wake", Value::Null, json!(stream.as_str())),
        };
        let mut fields = Map::new();
        fields.insert("type".into(), kind.into());
        fields.insert("pattern".into(), json!(self.pattern.as_ref().map(Glob::as_str)));
        fields.insert("streams".into(), json!(self.streams));
        fields.insert("webhook".into(), webhook);
        fields.insert("wake_stream".into(), wake_stream);
        fields.insert("lease_ttl_ms".into(), self.lease_millis().into());
        fields.insert("description".into(), json!(self.description));
        fields
    }

    pub(crate) fn lease_millis(&self) -> u64 {
        u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether a stream matches the pattern, and may wake.
    pub(crate) fn matches(&self, name: &str) -> bool {
        self.pattern.as_ref().is_some_and(|glob| glob.matches(name)) && self.may_wake(name)
    }

    /// Whether a stream may wake a worker at all. The wake stream may not, because it would wake itself, and neither may the
    /// server's own records, which clients cannot read.
    pub(crate) fn may_wake(&self, name: &str) -> bool {
        let wakes = matches!(&self.delivery, Delivery::PullWake(stream) if stream.as_str() == name);
        let is_servers_own =
            name.starts_with(RESERVED) || ChannelName::parse(name).is_ok_and(|name| is_records(&name));
        !wakes && !is_servers_own
    }
}

impl Claim {
    /// # Errors
    /// [`Fault::Invalid`].
    pub(crate) fn parse(content: &[u8]) -> Result<Self, Fault> {
        let given: Map<String, Value> = object(content)?;
        let worker = given.get("worker").and_then(Value::as_str).unwrap_or_default();
        let fits = (1..=MOST_TEXT).contains(&worker.len());
        fits.then(|| Self { worker: worker.into() })
            .ok_or(invalid("`worker` is not a string of 1 to 1024 bytes"))
    }
}

impl Turn {
    /// # Errors
    /// [`Fault::Invalid`], and [`Fault::InvalidOffset`] for an offset that cannot be acknowledged.
    pub(crate) fn parse(content: &[u8]) -> Result<Self, Fault> {
        let Said { wake_id, generation, acks, done } = object(content)?;
        let ack = |Acknowledgement { stream, offset }: Acknowledgement| match Offset::parse(&offset) {
            Some(after @ Offset::After(_)) => Ok((stream.into(), after)),
            _ => Err(Fault::InvalidOffset("it is not an offset that the server gave")),
        };
        let acks = acks.into_iter().map(ack).collect::<Result<_, _>>()?;
        let progress = if done { Progress::Done } else { Progress::Working };
        Ok(Self { wake_id: wake_id.into(), generation, acks, progress })
    }
}

/// The streams in the body of a POST.
///
/// # Errors
/// [`Fault::Invalid`].
pub(crate) fn streams(content: &[u8]) -> Result<BTreeSet<Box<str>>, Fault> {
    let given: Map<String, Value> = object(content)?;
    let names = names(given.get("streams").unwrap_or(&Value::Null))?;
    if names.is_empty() { Err(invalid("`streams` names no stream")) } else { Ok(names) }
}

fn names(value: &Value) -> Result<BTreeSet<Box<str>>, Fault> {
    let not_names = || invalid("`streams` is not an array of at most 1000 strings");
    let list = match value {
        Value::Null => return Ok(BTreeSet::new()),
        Value::Array(list) if list.len() <= MOST_STREAMS => list,
        _ => return Err(not_names()),
    };
    let name = |value: &Value| Ok(stream_name(value.as_str().ok_or_else(not_names)?)?.as_str().into());
    list.iter().map(name).collect()
}

/// The name of a stream; slashes around it do not count.
fn stream_name(text: &str) -> Result<ChannelName, Fault> {
    let text = text.trim_matches('/');
    if text.starts_with(RESERVED) {
        return Err(invalid("names that begin with `__ds/` are no streams"));
    }
    ChannelName::parse(text).map_err(|error| Fault::Invalid(format!("a stream's name: {error}").into()))
}

/// Content as an object; none is an empty one.
fn object<'a, T: Deserialize<'a>>(content: &'a [u8]) -> Result<T, Fault> {
    let content = if content.is_empty() { b"{}" } else { content };
    serde_json::from_slice(content).map_err(|error| Fault::Invalid(format!("the content: {error}").into()))
}

fn invalid(why: &'static str) -> Fault {
    Fault::Invalid(why.into())
}
