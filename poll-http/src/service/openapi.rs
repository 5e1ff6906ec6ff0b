//! `/openapi.json`: the OpenAPI 3.1 document of everything that the service answers.
//!
//! Paths, methods and rights are the router's, so none can be missing here or be here alone. What each operation takes and
//! returns stands in `operations`, what they share in `components.json`; a test compares the parameters with those that
//! are really read. Limits are those of the running server.

mod administration;
mod operation;
mod operations;
mod publishing;
mod reading;
mod streams;
mod subscriptions;
#[cfg(test)]
mod tests;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use poll_core::Timestamp;
use serde_json::{Map, Value, json};

use self::operation::{Answer, Operation};
use crate::access::authority::{Grant, Right, Scope};
use crate::dialect::durable_streams::subscriptions::ROOT as SUBSCRIPTIONS;
use crate::message::body::Body;
use crate::message::head::{Field, Head};
use crate::message::reply::Reply;
use crate::message::respond;
use crate::message::unchanged::{is_unchanged, not_modified};
use crate::service::router::{Action, Dialect, PATHS, Target, is_served};
use crate::service::site::Site;
use crate::worker::settings::{MaxChannels, ServiceSettings};

const COMPONENTS: &str = include_str!("openapi/components.json");

const ABOUT: &str = "Publish messages to channels and read them by any pattern: short poll, long poll, stream, server-sent \
events and HTTP/2 push. All read the same log: a message published through one path is readable through every other, and \
the `cursor` of one response is where the next request starts.\n\nErrors are problem details (RFC 9457), or \
`{\"error\": …}` in the dialects golongpoll, chat and channel. Unknown query parameters are ignored. Where the server asks \
for tokens, each operation needs the right that `x-right` names.\n\nThe schema of \
`application/x-ndjson` is that of its lines as an array, the schema of `text/event-stream` that of one event.";

/// In a request's extensions: the path that the service is mounted at.
#[derive(Clone)]
pub(super) struct Prefix(Arc<str>);

impl Prefix {
    pub(super) fn new(path: &Arc<str>) -> Self {
        Self(Arc::clone(path))
    }

    pub(super) fn of(head: Head<'_>) -> Option<&str> {
        let Head::Parsed(parts) = head else { return None };
        parts.extensions.get::<Self>().map(|prefix| &*prefix.0)
    }
}

/// The document, and the tag that tells it from another server's.
pub(super) struct Document {
    body: Bytes,
    tag: Box<[u8]>,
}

/// What the document is of.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) settings: &'a ServiceSettings,
    pub(super) site: &'a Site,
    /// What needs no token.
    pub(super) anyone: &'a Grant,
}

/// The documents of a server, each made when it is first asked for: what needs a token may change.
#[derive(Default)]
pub(super) struct Shared([OnceLock<Document>; 4]);

impl Shared {
    pub(super) fn get(&self, subject: Subject<'_>) -> &Document {
        let [publish, subscribe] = [Right::Publish, Right::Subscribe].map(|right| subject.is_open(right));
        let index = 2 * usize::from(publish) + usize::from(subscribe);
        self.0[index].get_or_init(|| Document::new(subject, "/"))
    }
}

impl Subject<'_> {
    /// Whether a right is everyone's.
    fn is_open(&self, right: Right) -> bool {
        *self.anyone.scope(right) == Scope::All
    }
}

impl Document {
    /// The document of a service whose paths are below `base`.
    pub(super) fn new(subject: Subject<'_>, base: &str) -> Self {
        let body = document(subject, base).to_string();
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        let tag = format!("\"{:016x}\"", hasher.finish());
        Self { body: body.into(), tag: tag.into_bytes().into() }
    }

    pub(super) fn answer(&self, head: Head<'_>, now: Timestamp) -> Reply {
        if head.field(Field::IfNoneMatch).is_some_and(|seen| is_unchanged(seen, &self.tag)) {
            return not_modified(&self.tag, now);
        }
        let body = Body::full(self.body.clone()).sharing(self.body.len());
        let reply = respond::whole(StatusCode::OK, respond::JSON, respond::NO_CACHE, body);
        Reply { tag: Some(self.tag.clone()), ..reply }
    }
}

fn document(subject: Subject<'_>, base: &str) -> Value {
    let Subject { settings, site, .. } = subject;
    let mut writer = Writer { subject, responses: Map::new() };
    let mut paths: Map<String, Value> =
        spoken(settings).map(|path| ((*path).to_owned(), writer.path_item(path, &target(path)))).collect();
    // The page of operators is not among the paths of everyone, and in a browser it finds its own way.
    for file in site.all().filter(|file| !file.path.starts_with("/admin/")) {
        let media = file.headers.get(CONTENT_TYPE).and_then(|media| media.to_str().ok()).unwrap_or_default();
        let media = media.split(';').next().unwrap_or_default();
        paths.insert(file.path.clone(), writer.file_item(&file.path, media));
    }
    let mut components = components(settings);
    if let Some(components) = components.as_object_mut() {
        components.insert("responses".to_owned(), Value::Object(writer.responses));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "poll", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": base }],
        "x-limits": limits(settings),
        "tags": operation::TAGS.map(|(name, about)| json!({ "name": name, "description": about })),
        "paths": paths,
        "components": components,
    })
}

/// The paths of the dialects that the service speaks, and those of operators where there are any.
fn spoken(settings: &ServiceSettings) -> impl Iterator<Item = &'static &'static str> {
    let is_there = |path: &str| settings.administration.is_on() || !path.starts_with("/admin/");
    PATHS.iter().filter(move |path| is_served(path, settings) && is_there(path))
}

/// The target of a path with names in braces.
fn target(path: &str) -> Target {
    let named = path
        .replace("{name}", "s")
        .replace("{id}", "i")
        .replace("{channel}", "c")
        .replace("{cursor}", "1")
        .replace("{job}", "j");
    Target::of(&named).unwrap_or(Target::File)
}

fn limits(settings: &ServiceSettings) -> Value {
    json!({
        "max_payload_bytes": settings.max_payload_bytes,
        "max_poll_seconds": settings.max_poll.as_secs_f64(),
        "golongpoll_max_timeout_seconds": settings.golongpoll_most_seconds,
        "heartbeat_seconds": settings.heartbeat.as_secs_f64(),
        "body_seconds": settings.body.as_secs_f64(),
        "max_channels_per_request": most_channels(settings),
        "max_connections": settings.limits.total,
        "max_per_channel": settings.limits.per_channel,
        "max_per_client": settings.limits.per_client,
        "max_per_address": settings.limits.per_address,
        "messages_per_response": 1_000,
        "bytes_per_response": 1 << 20,
    })
}

/// 0: as many as fit into the head.
fn most_channels(settings: &ServiceSettings) -> usize {
    match settings.max_channels_per_request {
        MaxChannels::At(most) => most.get(),
        MaxChannels::Unlimited => 0,
    }
}

/// What operations refer to, with the server's limits in it.
fn components(settings: &ServiceSettings) -> Value {
    let channels = match most_channels(settings) {
        0 => "any number of".to_owned(),
        most => most.to_string(),
    };
    let text = COMPONENTS
        .replace("{{max_channels}}", &channels)
        .replace("{{max_poll_seconds}}", &settings.max_poll.as_secs_f64().to_string())
        .replace("{{max_payload_bytes}}", &settings.max_payload_bytes.to_string())
        .replace("{{golongpoll_max_seconds}}", &settings.golongpoll_most_seconds.to_string());
    serde_json::from_str(&text).unwrap_or_default()
}

/// Writes the paths of a document.
struct Writer<'a> {
    subject: Subject<'a>,
    /// The refusals so far, by name.
    responses: Map<String, Value>,
}

impl Writer<'_> {
    /// The operations of a path: one for each method that the router allows there.
    fn path_item(&mut self, path: &str, target: &Target) -> Value {
        let mut item = Map::new();
        item.insert("parameters".to_owned(), json!([reference("parameters", "X-Request-Id")]));
        for method in target.allow().split(", ") {
            let action = match method {
                "GET" => Action::Get,
                "HEAD" => Action::Head,
                "POST" => Action::Post,
                "PUT" => Action::Put,
                "DELETE" => Action::Delete,
                _ => Action::Options,
            };
            let Some(operation) = operations::of(target, action) else { continue };
            let right = target.right(action);
            item.insert(method.to_lowercase(), self.operation_object(path, action, &operation, right));
        }
        Value::Object(item)
    }

    fn operation_object(&mut self, path: &str, action: Action, operation: &Operation, right: Right) -> Value {
        let mut answers = Map::new();
        for answer in &operation.answers {
            answers.insert(answer.status.to_string(), answer_object(answer, action));
        }
        for status in operation.failures {
            let form = Form::of(path, *status, action);
            let name = self.failure(*status, form);
            answers.insert(status.to_string(), reference("responses", &name));
        }
        let parameters: Vec<Value> =
            operation.parameters.iter().map(|name| reference("parameters", name)).collect();
        let mut object = json!({
            "operationId": id(operation.name, action), "tags": [operation.tag], "summary": operation.summary,
            "parameters": parameters, "responses": answers,
        });
        if operation.asks_for_tokens() {
            let mut security = vec![json!({ "bearer": [] }), json!({ "access_token": [] })];
            if self.subject.is_open(right) {
                security.insert(0, json!({}));
            }
            object["security"] = security.into();
            object["x-right"] = match right {
                Right::Publish => "publish",
                Right::Subscribe => "subscribe",
            }
            .into();
        }
        if let Some(body) = operation.body {
            object["requestBody"] = reference("requestBodies", body);
        }
        object
    }

    /// The name of the response with an error status.
    fn failure(&mut self, status: u16, form: Form) -> String {
        let name = format!("{form:?}{status}");
        self.responses.entry(&*name).or_insert_with(|| {
            let (description, headers) = operation::meaning(status);
            let answer = Answer { status, description, headers, content: form.content() };
            answer_object(&answer, Action::Get)
        });
        name
    }

    /// A file of the site.
    fn file_item(&mut self, path: &str, media: &str) -> Value {
        let mut item = self.path_item(path, &Target::File);
        let name: String = path.chars().filter(|letter| letter.is_alphanumeric()).collect();
        let name = if name.is_empty() { "index".to_owned() } else { name };
        for (method, action) in [("get", Action::Get), ("head", Action::Head), ("options", Action::Options)] {
            item[method]["operationId"] = id(&format!("file_{name}"), action).into();
        }
        item["get"]["responses"]["200"]["content"] = json!({ media: { "schema": { "type": "string" } } });
        item
    }
}

/// What is in a refusal.
#[derive(Debug, Clone, Copy)]
enum Form {
    Problem,
    Error,
    /// A problem, or why the protocol refuses it.
    Subscription,
    /// Nothing.
    Bare,
}

impl Form {
    fn of(path: &str, status: u16, action: Action) -> Self {
        match Dialect::of(path) {
            // The connection answers what it cannot read, without content.
            _ if action == Action::Head || status == 431 => Self::Bare,
            Dialect::DurableStreams if path.starts_with(SUBSCRIPTIONS) => Self::Subscription,
            Dialect::Native | Dialect::DurableStreams => Self::Problem,
            Dialect::Golongpoll | Dialect::Chat | Dialect::Channel => Self::Error,
        }
    }

    fn content(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Problem => &[("application/problem+json", "Problem")],
            Self::Error => &[(respond::JSON, "Error")],
            Self::Subscription => {
                &[("application/problem+json", "Problem"), (respond::JSON, "SubscriptionError")]
            }
            Self::Bare => &[],
        }
    }
}

/// `pollHead` for the HEAD of `poll`.
fn id(name: &str, action: Action) -> String {
    match action {
        Action::Get | Action::Post | Action::Put | Action::Delete => name.to_owned(),
        Action::Head => format!("{name}Head"),
        Action::Options => format!("{name}Options"),
    }
}

fn answer_object(answer: &Answer, action: Action) -> Value {
    let headers: Map<String, Value> = ["X-Content-Type-Options", "X-Request-Id"]
        .iter()
        .chain(answer.headers)
        .map(|name| ((*name).to_owned(), reference("headers", name)))
        .collect();
    let mut object = json!({ "description": answer.description, "headers": headers });
    if action != Action::Head && !answer.content.is_empty() {
        let content = answer.content.iter().map(|(media, schema)| {
            let schema =
                if schema.is_empty() { json!({ "type": "string" }) } else { reference("schemas", schema) };
            ((*media).to_owned(), json!({ "schema": schema }))
        });
        object["content"] = Value::Object(content.collect());
    }
    object
}

fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}
