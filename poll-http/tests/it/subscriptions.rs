//! Subscriptions over HTTP, in memory and on paused time, with a receiver that the test plays.

mod records;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::StatusCode;
use poll_core::{Retention, Selection, Store, Timestamp};
use poll_http::{
    Authority, Denied, Grant, KeepPresence, Loopback, Pattern, Scope, ServiceSettings, Signer, Webhook,
    WebhookAnswer, WebhookClient,
};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use crate::world::{Answer, World};

const ROOT: &str = "/v1/stream/__ds/subscriptions";

/// Takes webhooks, and answers each with what was set for it, or 202; with [`NEVER`] not at all.
#[derive(Clone, Default)]
struct Receiver {
    taken: Arc<Mutex<Vec<(Instant, Value)>>>,
    answers: Arc<Mutex<VecDeque<(u16, &'static str)>>>,
    /// `traceparent` of each webhook.
    traces: Arc<Mutex<Vec<Option<String>>>>,
}

const NEVER: u16 = 0;

struct PlainSigner;

impl Signer for PlainSigner {
    fn key_id(&self) -> String {
        "ds_test".to_owned()
    }

    fn public_key(&self) -> [u8; 32] {
        [1; 32]
    }

    fn sign(&self, _: &[u8]) -> [u8; 64] {
        [2; 64]
    }

    fn authenticate(&self, content: &[u8]) -> [u8; 32] {
        let mut code = [0; 32];
        for (index, byte) in content.iter().enumerate() {
            code[index % 32] ^= byte;
        }
        code
    }
}

impl WebhookClient for Receiver {
    fn loopback(&self) -> Loopback {
        Loopback::Refused
    }

    fn signer(&self, _: &[u8; 32]) -> Arc<dyn Signer> {
        Arc::new(PlainSigner)
    }

    fn send(&self, webhook: Webhook) -> Pin<Box<dyn Future<Output = Result<WebhookAnswer, String>> + Send>> {
        let body = serde_json::from_slice(&webhook.content).unwrap();
        self.traces.lock().unwrap().push(webhook.trace.map(|trace| trace.to_string()));
        self.taken.lock().unwrap().push((Instant::now(), body));
        let (status, content) = self.answers.lock().unwrap().pop_front().unwrap_or((202, ""));
        Box::pin(async move {
            if status == NEVER {
                std::future::pending::<()>().await;
            }
            let status = StatusCode::from_u16(status).unwrap();
            Ok(WebhookAnswer { status, content: Bytes::from_static(content.as_bytes()) })
        })
    }
}

impl Receiver {
    fn answering(answers: &[(u16, &'static str)]) -> Self {
        let receiver = Self::default();
        receiver.answers.lock().unwrap().extend(answers);
        receiver
    }

    /// The webhook of this number, as soon as there is one.
    async fn taken(&self, number: usize) -> (Instant, Value) {
        let given_up = Instant::now() + Duration::from_secs(600);
        loop {
            if let Some(taken) = self.taken.lock().unwrap().get(number) {
                return taken.clone();
            }
            assert!(Instant::now() < given_up, "no webhook {number}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn count(&self) -> usize {
        self.taken.lock().unwrap().len()
    }
}

fn world(receiver: &Receiver) -> World {
    World::subscribed(ServiceSettings::default(), Store::in_memory(Retention::default()), receiver.clone())
}

async fn say(world: &World, method: &str, path: &str, token: &str, body: &Value) -> Answer {
    let bearer = format!("Bearer {token}");
    let fields = [("content-type", "application/json"), ("authorization", &*bearer)];
    let fields = if token.is_empty() { &fields[..1] } else { &fields[..] };
    world.ask(method, &format!("{ROOT}/{path}"), fields, body.to_string().as_bytes()).await
}

async fn put(world: &World, id: &str, more: Value) -> Answer {
    let mut body = json!({ "lease_ttl_ms": 1000 });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut answer = say(world, "PUT", id, "", &body).await;
    while answer.status == 503 {
        answer = say(world, "PUT", id, "", &body).await;
    }
    answer
}

fn webhook() -> Value {
    json!({ "type": "webhook", "pattern": "events/*", "webhook": { "url": "https://w.example/" } })
}

fn pull() -> Value {
    json!({ "type": "pull-wake", "pattern": "events/*", "wake_stream": "wake" })
}

async fn stream(world: &World, name: &str, body: &str) {
    let fields = [("content-type", "application/json")];
    world.ask("PUT", &format!("/v1/stream/{name}"), &fields, body.as_bytes()).await;
}

async fn append(world: &World, name: &str) {
    let fields = [("content-type", "application/json")];
    assert_eq!(world.ask("POST", &format!("/v1/stream/{name}"), &fields, b"1").await.status, 204);
}

fn offset(seq: u64) -> String {
    format!("{seq:016}_{:016}", 0)
}

fn code(answer: &Answer) -> (u16, Value) {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    (answer.status, body["error"]["code"].clone())
}

#[tokio::test(start_paused = true)]
async fn what_was_there_before_wakes_no_worker_and_what_comes_after_does_through_any_endpoint() {
    let receiver = Receiver::answering(&[(200, r#"{"done":true}"#), (200, r#"{"done":true}"#)]);
    let world = world(&receiver);
    stream(&world, "events/a", "[1, 2]").await;
    stream(&world, "other", "[1]").await;
    let made = put(&world, "s", webhook()).await;
    assert_eq!(made.status, 201);
    assert_eq!(
        made.json()["streams"],
        json!([
            { "path": "events/a", "link_type": "glob", "acked_offset": offset(2) }
        ])
    );
    append(&world, "other").await;
    append(&world, "events/a").await;
    let (_, first) = receiver.taken(0).await;
    assert_eq!(
        first["streams"],
        json!([{
            "path": "events/a", "link_type": "glob", "acked_offset": offset(2), "tail_offset": offset(3), "has_pending": true
        }])
    );
    assert_eq!(first["callback_url"], format!("http://poll.test{ROOT}/s/callback"));
    // A channel that is born by a publish is a stream, too.
    world.publish("events/b", "text").await;
    let (_, second) = receiver.taken(1).await;
    assert_eq!((&second["streams"][1]["path"], &second["generation"]), (&json!("events/b"), &json!(2)));
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(receiver.count(), 2, "everything is acknowledged");
    let shown = say(&world, "GET", "s", "", &Value::Null).await.json();
    let acked: Vec<_> =
        shown["streams"].as_array().unwrap().iter().map(|one| one["acked_offset"].clone()).collect();
    assert_eq!(acked, [json!(offset(3)), json!(offset(1))]);
}

#[tokio::test(start_paused = true)]
async fn a_webhook_carries_on_the_trace_of_the_publish_that_led_to_it() {
    let done = (200, r#"{"done":true}"#);
    let receiver = Receiver::answering(&[done, (500, ""), done, done, done]);
    let world = world(&receiver);
    assert_eq!(put(&world, "s", webhook()).await.status, 201);
    let trace = |number: u8| format!("00-{:032x}-{:016x}-01", 0xabc_u32, number);
    let publish = async |path: &str, trace: &str| {
        let fields = [("content-type", "application/json"), ("traceparent", trace)];
        assert!(world.ask("POST", path, &fields, b"1").await.status < 300, "{path}");
    };
    publish("/api/message?channel=events%2Fa", &trace(1)).await;
    receiver.taken(0).await;
    // Sent again, it carries on the same.
    publish("/v1/stream/events/a", &trace(2)).await;
    receiver.taken(2).await;
    publish("/api/message?channel=events%2Fa", "00-malformed").await;
    receiver.taken(3).await;
    // Of a publish that was refused nothing is left for the next one.
    let fields = [("content-type", "application/json"), ("traceparent", &*trace(3))];
    assert_eq!(world.ask("POST", "/v1/stream/events/a", &fields, b"{").await.status, 400);
    append(&world, "events/a").await;
    receiver.taken(4).await;
    let expected = [Some(trace(1)), Some(trace(2)), Some(trace(2)), None, None];
    assert_eq!(*receiver.traces.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_fails_is_asked_again_after_growing_pauses_and_one_that_is_silent_after_its_lease() {
    let receiver = Receiver::answering(&[(500, ""), (503, "x"), (202, "")]);
    let world = world(&receiver);
    put(&world, "s", webhook()).await;
    stream(&world, "events/a", "[1]").await;
    let (first, body) = receiver.taken(0).await;
    let shown = say(&world, "GET", "s", "", &Value::Null).await.json();
    assert_eq!(shown["status"], "failed");
    let (second, again) = receiver.taken(1).await;
    let (third, _) = receiver.taken(2).await;
    assert_eq!((&body["wake_id"], &body["generation"]), (&again["wake_id"], &json!(1)));
    let seconds = |from: Instant, to: Instant| (to - from).as_secs_f64();
    assert!((0.8..1.3).contains(&seconds(first, second)) && (1.6..2.5).contains(&seconds(second, third)));
    let (fourth, next) = receiver.taken(3).await;
    assert!((1.0..1.1).contains(&seconds(third, fourth)));
    assert_eq!(next["generation"], 2);
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_a_webhook_that_took_the_place_of_a_silent_one_is_heard() {
    let receiver = Receiver::answering(&[(NEVER, ""), (200, r#"{"done":true}"#)]);
    let world = world(&receiver);
    put(&world, "s", webhook()).await;
    stream(&world, "events/a", "[1]").await;
    receiver.taken(1).await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(receiver.count(), 2, "everything is acknowledged");
}

#[tokio::test(start_paused = true)]
async fn a_callback_counts_with_the_token_of_its_wake_only() {
    let receiver = Receiver::default();
    let world = world(&receiver);
    put(&world, "s", webhook()).await;
    put(&world, "t", webhook()).await;
    stream(&world, "events/a", "[1]").await;
    let (_, one) = receiver.taken(0).await;
    let (_, two) = receiver.taken(1).await;
    let (mine, others) = if one["subscription_id"] == "s" { (one, two) } else { (two, one) };
    let ack = |offset: String| {
        json!({
            "wake_id": mine["wake_id"], "generation": mine["generation"], "done": true,
            "acks": [{ "stream": "events/a", "offset": offset }]
        })
    };
    let call = async |token: &Value, body: &Value| {
        code(&say(&world, "POST", "s/callback", token.as_str().unwrap(), body).await)
    };
    let invalid = (401, json!("TOKEN_INVALID"));
    for token in [&others["callback_token"], &json!(""), &json!("dst_1_x"), &json!("x")] {
        assert_eq!(call(token, &ack(offset(1))).await, invalid, "{token}");
    }
    let token = &mine["callback_token"];
    assert_eq!(call(token, &ack(offset(2))).await, (409, json!("INVALID_OFFSET")));
    assert_eq!(call(token, &ack("-1".to_owned())).await, (409, json!("INVALID_OFFSET")));
    assert_eq!(call(token, &json!({ "wake_id": "w_0", "generation": 1 })).await, (409, json!("FENCED")));
    assert_eq!(call(token, &json!({})).await, (400, json!("INVALID_REQUEST")));
    assert_eq!(call(token, &ack(offset(1))).await, (200, Value::Null));
    assert_eq!(call(token, &ack(offset(1))).await, (409, json!("FENCED")));
    let other_way = say(&world, "POST", "s/ack", token.as_str().unwrap(), &ack(offset(1))).await;
    assert_eq!(code(&other_way), (400, json!("INVALID_REQUEST")));
}

#[tokio::test(start_paused = true)]
async fn one_worker_has_a_wake_until_its_lease_ends() {
    let receiver = Receiver::default();
    let world = world(&receiver);
    stream(&world, "wake", "[]").await;
    put(&world, "s", pull()).await;
    let claim = async |worker: &str| say(&world, "POST", "s/claim", "", &json!({ "worker": worker })).await;
    assert_eq!(code(&claim("one").await), (409, json!("NO_PENDING_WORK")));
    stream(&world, "events/a", "[1]").await;
    let claimed = claim("one").await.json();
    assert_eq!(claimed["streams"][0]["tail_offset"], offset(1));
    assert_eq!(code(&claim("two").await), (409, json!("ALREADY_CLAIMED")));
    tokio::time::sleep(Duration::from_millis(1_001)).await;
    let again = claim("two").await.json();
    assert_eq!(again["generation"], 2);
    let said = |wake: &Value| {
        json!({
            "wake_id": wake["wake_id"], "generation": wake["generation"], "done": true,
            "acks": [{ "stream": "events/a", "offset": offset(1) }]
        })
    };
    let ack = async |wake: &Value| {
        let answer = say(&world, "POST", "s/ack", wake["token"].as_str().unwrap(), &said(wake)).await;
        (code(&answer), answer.json()["next_wake"].clone())
    };
    assert_eq!(ack(&claimed).await, ((409, json!("FENCED")), Value::Null));
    append(&world, "events/a").await;
    assert_eq!(ack(&again).await, ((200, Value::Null), json!(true)), "more came meanwhile");
    let third = claim("one").await.json();
    assert_eq!(third["generation"], 3);
    let released = say(&world, "POST", "s/release", third["token"].as_str().unwrap(), &said(&third)).await;
    assert_eq!(released.status, 204);
    // Each wake that waited for a worker is a message in the stream of wakes.
    let mut generations: Vec<Value> = Vec::new();
    while generations.last() != Some(&json!(4)) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let events = world.get("/v1/stream/wake").await.json();
        generations = events.as_array().unwrap().iter().map(|event| event["generation"].clone()).collect();
    }
    assert_eq!(say(&world, "DELETE", "s", "", &Value::Null).await.status, 204);
    assert_eq!(code(&claim("one").await), (404, json!("SUBSCRIPTION_NOT_FOUND")));
    assert_eq!(ack(&third).await.0, (404, json!("SUBSCRIPTION_NOT_FOUND")));
    // Of the same id, and nothing of the old one.
    put(&world, "s", pull()).await;
    append(&world, "events/a").await;
    let anew = claim("one").await.json();
    assert_eq!(anew["generation"], 1);
    let old = json!({ "wake_id": anew["wake_id"], "generation": 1, "done": true });
    tokio::time::sleep(Duration::from_millis(10)).await;
    let answer = say(&world, "POST", "s/ack", claimed["token"].as_str().unwrap(), &old).await;
    assert_eq!(code(&answer), (401, json!("TOKEN_INVALID")));
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_name_ends_with_a_slash_is_acknowledged_like_any_other() {
    let world = world(&Receiver::default());
    stream(&world, "wake", "[]").await;
    put(&world, "s", pull()).await;
    stream(&world, "events/", "[1]").await;
    stream(&world, "events/a", "[1]").await;
    let claimed = say(&world, "POST", "s/claim", "", &json!({ "worker": "one" })).await.json();
    assert_eq!(claimed["streams"][0]["path"], "events/");
    // Around another name slashes do not count.
    let acks = ["events/", "/events/a/"].map(|stream| json!({ "stream": stream, "offset": offset(1) }));
    let done = json!({ "wake_id": claimed["wake_id"], "generation": 1, "acks": acks, "done": true });
    let answer = say(&world, "POST", "s/ack", claimed["token"].as_str().unwrap(), &done).await;
    assert_eq!((code(&answer), &answer.json()["next_wake"]), ((200, Value::Null), &json!(false)));
}

#[tokio::test(start_paused = true)]
async fn the_wake_stream_cannot_be_added() {
    let world = world(&Receiver::default());
    stream(&world, "wake", "[]").await;
    put(&world, "s", pull()).await;
    let added = say(&world, "POST", "s/streams", "", &json!({ "streams": ["other", "/wake/"] })).await;
    assert_eq!(code(&added), (400, json!("INVALID_REQUEST")));
    let shown = say(&world, "GET", "s", "", &Value::Null).await.json();
    assert_eq!(shown["streams"], json!([]), "all or none");
}

#[tokio::test(start_paused = true)]
async fn the_records_of_presence_wake_no_worker() {
    let settings = ServiceSettings { presence: KeepPresence::On, ..ServiceSettings::default() };
    let store = Store::in_memory(Retention::default());
    let world = World::subscribed(settings, store, Receiver::default());
    tokio::spawn(world.service.keep_presence());
    put(&world, "s", json!({ "type": "pull-wake", "pattern": "presence/*", "wake_stream": "wake" })).await;
    world.ask("GET", "/api/longpoll?channel=c&timeout=1", &[("x-client-id", "ann")], b"").await;
    let shown = say(&world, "GET", "s", "", &Value::Null).await.json();
    let paths: Vec<_> = shown["streams"].as_array().unwrap().iter().map(|one| &one["path"]).collect();
    assert_eq!(paths, ["presence/c"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_before_there_is_a_subscription() {
    let receiver = Receiver::default();
    let world = world(&receiver);
    while world.get("/v1/stream/__ds/jwks.json").await.status == 503 {}
    let all = || Selection { prefix: None, after: None, limit: 10 };
    assert!(world.store.list(world.now(), all()).await.unwrap().channels.is_empty());
    put(&world, "s", webhook()).await;
    let kept = world.store.list(world.now(), all()).await.unwrap().channels;
    let names: Vec<&str> = kept.iter().map(|listed| listed.channel.as_str()).collect();
    assert_eq!(names, ["__ds/index/1", "__ds/secret/1", "__ds/subscriptions/s/1"]);
}

#[tokio::test(start_paused = true)]
async fn the_servers_own_channels_are_reached_by_no_endpoint() {
    let receiver = Receiver::default();
    let world = world(&receiver);
    put(&world, "s", webhook()).await;
    for (method, target) in [
        ("GET", "/api/poll?channel=__ds/secret/1"),
        ("GET", "/api/stream?channel=__ds/subscriptions/s/1"),
        ("GET", "/api/poll?channel=__ds/secret/0&channel=__ds/secret/1"),
        ("GET", "/api/messages/__ds%2Fsecret%2F1/1"),
        ("GET", "/events?category=__ds/secret/1&timeout=1&since_time=1"),
        ("GET", "/api/poll/__ds%2Fsecret%2F1"),
        ("POST", "/api/message?channel=__ds/secret/1"),
        ("POST", "/api/publish/__ds%2Fsecret%2F1"),
    ] {
        let answer = world.ask(method, target, &[("content-type", "application/json")], b"{}").await;
        assert_eq!(answer.status, 403, "{method} {target}: {}", answer.text());
    }
    for (method, target) in [("GET", "/v1/stream/__ds/secret/1"), ("PUT", "/v1/stream/__ds/secret/1")] {
        assert_eq!(world.ask(method, target, &[], b"").await.status, 404, "{method} {target}");
    }
    let fork = [("stream-forked-from", "/v1/stream/__ds/secret/1")];
    assert!(world.ask("PUT", "/v1/stream/fork", &fork, b"").await.status >= 400);
    let mixed = world.get("/api/poll?channel=news&channel=__ds/secret/1").await.json();
    assert_eq!(mixed["refused"], json!(["__ds/secret/1"]));
}

/// Grants what the token's name says.
struct ByName;

impl Authority for ByName {
    fn anyone(&self) -> Arc<Grant> {
        Arc::new(Grant::default())
    }

    fn judge(&self, token: &str, _: Timestamp) -> Result<Arc<Grant>, Denied> {
        let patterns =
            |texts: &[&str]| Scope::Patterns(texts.iter().map(|text| Pattern::new(text)).collect());
        let (publish, subscribe) = match token {
            "all" => (Scope::All, Scope::All),
            "reads" => (Scope::Nothing, patterns(&["events/**", "wake"])),
            "one" => (Scope::Nothing, patterns(&["events/a"])),
            _ => return Err(Denied::Wrong("unknown")),
        };
        Ok(Arc::new(Grant { publish, subscribe, ..Grant::default() }))
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscription_wants_the_right_to_all_that_may_wake_it_and_to_write_where_it_wakes() {
    let receiver = Receiver::default();
    let world = world(&receiver);
    put(&world, "made", pull()).await;
    world.service.replace_authority(ByName);
    let streams =
        json!({ "type": "webhook", "streams": ["events/a"], "webhook": { "url": "https://w.example/" } });
    for (token, id, body, status) in [
        ("", "a", webhook(), 401),
        ("none", "a", webhook(), 401),
        ("one", "a", webhook(), 403),
        ("one", "a", streams.clone(), 201),
        ("reads", "b", webhook(), 201),
        ("reads", "c", pull(), 403),
        ("all", "c", pull(), 201),
    ] {
        assert_eq!(say(&world, "PUT", id, token, &body).await.status, status, "{token} {id}");
    }
    for (token, method, path, status) in [
        ("one", "GET", "b", 403),
        ("one", "DELETE", "b", 403),
        ("one", "POST", "c/claim", 403),
        ("one", "GET", "missing", 404),
        ("reads", "GET", "b", 200),
        ("reads", "POST", "c/claim", 409),
        ("", "POST", "c/claim", 401),
        ("reads", "DELETE", "b", 204),
    ] {
        let body = json!({ "worker": "w", "streams": ["x"] });
        assert_eq!(say(&world, method, path, token, &body).await.status, status, "{token} {method} {path}");
    }
    let more = json!({ "streams": ["private"] });
    assert_eq!(say(&world, "POST", "a/streams", "one", &more).await.status, 403);
    assert_eq!(world.get("/v1/stream/__ds/jwks.json").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn the_rights_to_streams_that_were_added_are_wanted_as_well() {
    let before = world(&Receiver::default());
    let streams =
        json!({ "type": "webhook", "streams": ["events/a"], "webhook": { "url": "https://w.example/" } });
    before.service.replace_authority(ByName);
    while say(&before, "PUT", "s", "one", &streams).await.status == 503 {}
    let added = json!({ "streams": ["private"], "worker": "w" });
    assert_eq!(say(&before, "POST", "s/streams", "all", &added).await.status, 204);
    let after = World::subscribed(ServiceSettings::default(), before.store.clone(), Receiver::default());
    after.service.replace_authority(ByName);
    for (world, what) in [(&before, "before a restart"), (&after, "after it")] {
        while say(world, "GET", "s", "all", &Value::Null).await.status == 503 {}
        for (method, path, body) in [
            ("GET", "s", &Value::Null),
            ("PUT", "s", &streams),
            ("POST", "s/claim", &added),
            ("POST", "s/streams", &json!({ "streams": ["events/a"] })),
            ("DELETE", "s/streams/private", &Value::Null),
            ("DELETE", "s", &Value::Null),
        ] {
            assert_eq!(say(world, method, path, "one", body).await.status, 403, "{method} {path} {what}");
        }
    }
    assert_eq!(say(&after, "DELETE", "s/streams/private", "all", &Value::Null).await.status, 204);
    assert_eq!(say(&after, "GET", "s", "one", &Value::Null).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn without_a_client_there_are_none_and_a_page_of_another_origin_changes_none() {
    let plain = World::new();
    assert_eq!(say(&plain, "PUT", "s", "", &webhook()).await.status, 501);
    assert_eq!(plain.get("/v1/stream/__ds/jwks.json").await.status, 501);
    let receiver = Receiver::default();
    let world = world(&receiver);
    put(&world, "s", webhook()).await;
    let foreign = [("origin", "https://evil.test"), ("sec-fetch-site", "cross-site")];
    for (method, path) in [("PUT", "t"), ("DELETE", "s"), ("POST", "s/streams"), ("DELETE", "s/streams/x")] {
        assert_eq!(
            world.ask(method, &format!("{ROOT}/{path}"), &foreign, b"{}").await.status,
            403,
            "{method} {path}"
        );
    }
    let same = put(&world, "s", webhook()).await;
    let other = put(
        &world,
        "s",
        json!({ "type": "webhook", "pattern": "x", "webhook": { "url": "https://w.example/" } }),
    );
    assert_eq!((same.status, code(&other.await)), (200, (409, json!("SUBSCRIPTION_ALREADY_EXISTS"))));
}
