//! What a token grants: on which channels, to whom, and until when.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use poll_core::{ChannelName, Timestamp};
use poll_http::{Authority, Denied, Grant, KeyFetch, Limits, Pattern, Scope, ServiceSettings};
use serde_json::json;

use crate::world::{BEGIN, World, pass};

/// Tokens by name.
#[derive(Clone, Default)]
struct Table {
    grants: HashMap<&'static str, Arc<Grant>>,
    fetches: Arc<AtomicUsize>,
}

impl Table {
    fn of(grants: impl IntoIterator<Item = (&'static str, Grant)>) -> Self {
        let grants = grants.into_iter().map(|(token, grant)| (token, Arc::new(grant)));
        Self { grants: grants.collect(), fetches: Arc::default() }
    }
}

impl Authority for Table {
    fn anyone(&self) -> Arc<Grant> {
        Arc::default()
    }

    fn judge(&self, token: &str, now: Timestamp) -> Result<Arc<Grant>, Denied> {
        match self.grants.get(token) {
            Some(grant) if grant.expires.is_some_and(|expires| expires <= now) => Err(Denied::Expired),
            Some(grant) => Ok(grant.clone()),
            None if token.starts_with("rotated") => Err(Denied::UnknownKey),
            None => Err(Denied::Wrong("the token is not known")),
        }
    }

    fn fetch_keys(&self) -> KeyFetch {
        self.fetches.fetch_add(1, Ordering::Relaxed);
        KeyFetch::After(Box::pin(tokio::time::sleep(Duration::from_secs(1))))
    }
}

fn patterns(texts: &[&str]) -> Scope {
    Scope::Patterns(texts.iter().map(|text| Pattern::new(text)).collect())
}

fn reads(subscribe: Scope) -> Grant {
    Grant { subscribe, ..Grant::default() }
}

/// Good for half a minute.
fn short() -> Grant {
    Grant { expires: Some(Timestamp::from_millis(BEGIN + 30_000)), ..Grant::all() }
}

#[tokio::test(start_paused = true)]
async fn each_channel_is_checked_by_itself_and_the_refused_are_named() {
    let world = World::judged(
        ServiceSettings::default(),
        Table::of([
            ("all", Grant::all()),
            ("orders", reads(patterns(&["orders.*", "news"]))),
            (
                "one",
                Grant { publish: Scope::Channel(ChannelName::parse("a/b").unwrap()), ..Grant::default() },
            ),
        ]),
    );
    for channel in ["orders.eu", "news", "other"] {
        let target = format!("/api/message?channel={channel}&access_token=all");
        assert_eq!(world.post(&target, "text/plain", "x").await.status, 201);
    }
    let status =
        async |channels: &str| world.get(&format!("/api/poll?access_token=orders&{channels}")).await.status;
    assert_eq!(status("channel=orders.eu").await, 200);
    assert_eq!(status("channel=orders.eu.de").await, 403);
    assert_eq!(status("channel=other").await, 403);
    assert_eq!(status("channel=other&channel=orders").await, 403);
    let list = "channel=other&channel=news&channel=orders.eu";
    let answer = world.get(&format!("/api/longpoll?access_token=orders&{list}")).await.json();
    assert_eq!((&answer["refused"], &answer["count"]), (&json!(["other"]), &json!(2)));
    let mut stream = world.connect();
    stream.open(&format!("/api/stream?access_token=orders&{list}"), &[]).await;
    assert_eq!(stream.json_line().await["refused"], json!(["other"]));

    let publish = async |channel: &str| {
        let target = format!("/api/message?access_token=one&channel={channel}");
        world.post(&target, "text/plain", "x").await.status
    };
    assert_eq!((publish("a%2Fb").await, publish("a.b").await, publish("a").await), (201, 403, 403));
    assert_eq!(world.get("/api/poll?channel=a%2Fb&access_token=one").await.status, 403);
}

#[tokio::test(start_paused = true)]
async fn the_subject_is_the_client_of_the_limits() {
    let limits = Limits { per_client: 1, ..Limits::default() };
    let named = |name: &str| Grant { subject: Some(name.into()), ..Grant::all() };
    let world = World::judged(
        ServiceSettings { limits, ..ServiceSettings::default() },
        Table::of([("a", named("ann")), ("b", named("ann")), ("c", named("bea"))]),
    );
    let waiting = world.later("/api/longpoll?access_token=a");
    world.until_waiting(1).await;
    let refused = world.ask("GET", "/api/longpoll?access_token=b", &[("x-client-id", "made-up")], b"").await;
    assert_eq!(refused.status, 429);
    let other = world.later("/api/longpoll?access_token=c");
    world.until_waiting(2).await;
    assert_eq!((waiting.await.unwrap().status, other.await.unwrap().status), (200, 200));
}

#[tokio::test(start_paused = true)]
async fn what_waits_ends_with_its_token_and_a_message_before_that_is_given() {
    let world = World::judged(ServiceSettings::default(), Table::of([("s", short()), ("all", Grant::all())]));
    let polls = [
        "/api/longpoll?channel=a&timeout=50",
        "/api/longpoll?channel=a&channel=b&timeout=50",
        "/events?timeout=110&category=a",
        "/api/poll/a?timeout=40",
    ];
    let late = polls.map(|target| world.later(&format!("{target}&access_token=s")));
    world.until_waiting(4).await;
    pass(29_999).await;
    assert_eq!(world.waiters(), 4);
    for answer in late {
        let answer = answer.await.unwrap();
        assert_eq!(answer.status, 401);
        assert_eq!(answer.field("www-authenticate"), Some("Bearer error=\"invalid_token\""));
        assert_eq!(world.millis(), BEGIN + 30_000);
    }
    let again = world.get("/api/longpoll?channel=a&access_token=s").await;
    assert_eq!((again.status, world.waiters()), (401, 0));

    world.set_clock(-30_000_000);
    let early = world.later("/api/longpoll?channel=a&access_token=s");
    world.until_waiting(1).await;
    assert_eq!(world.post("/api/message?channel=a&access_token=all", "text/plain", "x").await.status, 201);
    assert_eq!(early.await.unwrap().json()["count"], 1);
    let short = world.get("/api/longpoll?channel=empty&timeout=2&access_token=s").await;
    assert_eq!((short.status, short.json()["count"].clone()), (200, json!(0)), "its own time is up first");
}

#[tokio::test(start_paused = true)]
async fn an_open_response_says_that_its_token_has_expired() {
    let world = World::judged(ServiceSettings::default(), Table::of([("s", short())]));
    let targets = [
        "/api/stream?channel=a",
        "/api/stream?channel=a&channel=b",
        "/api/push?channel=a",
        "/api/progress/job?",
    ];
    let mut wires = Vec::new();
    for target in targets {
        let mut wire = world.connect();
        wire.open(&format!("{target}&access_token=s"), &[]).await;
        wires.push(wire);
    }
    let mut events = world.connect();
    events.open("/api/stream?channel=a&format=sse&access_token=s", &[]).await;
    for wire in &mut wires {
        let last = loop {
            let line = wire.json_line().await;
            if line["type"] != "connected" && line["type"] != "heartbeat" {
                break line;
            }
        };
        assert_eq!((&last["type"], &last["reason"]), (&json!("closed"), &json!("unauthorized")));
        assert!(last["cursor"].is_string());
        assert_eq!(wire.chunk().await, None);
        assert_eq!(world.millis(), BEGIN + 30_000);
    }
    let mut rest = String::new();
    while let Some(chunk) = events.chunk().await {
        rest.push_str(&chunk);
    }
    let (_, closed) = rest.split_once("event: closed\n").unwrap();
    assert!(closed.contains(r#"data: {"type":"closed","reason":"unauthorized","cursor":""#), "{closed}");
    assert_eq!(world.waiters(), 0);
}

#[tokio::test(start_paused = true)]
async fn over_http2_all_that_waits_ends_with_its_token() {
    let world = World::judged(ServiceSettings::default(), Table::of([("s", short())]));
    let mut requests = world.connect_http2(&h2::client::Builder::new()).await;
    let mut responses = Vec::new();
    for target in [
        "/api/longpoll?channel=a&timeout=50",
        "/events?timeout=110&category=a",
        "/api/push?channel=a",
        "/api/stream?channel=a&channel=b",
        "/api/progress/job?",
    ] {
        let request = http::Request::get(format!("http://poll.test{target}&access_token=s"));
        std::future::poll_fn(|cx| requests.poll_ready(cx)).await.unwrap();
        responses.push(requests.send_request(request.body(()).unwrap(), true).unwrap().0);
    }
    world.until_waiting(5).await;
    let mut ends = Vec::new();
    for response in responses {
        let response = response.await.unwrap();
        let status = response.status().as_u16();
        let mut body = response.into_body();
        let mut text = Vec::new();
        while let Some(bytes) = body.data().await {
            let bytes = bytes.unwrap();
            body.flow_control().release_capacity(bytes.len()).unwrap();
            text.extend_from_slice(&bytes);
        }
        assert_eq!(body.trailers().await.unwrap(), None, "a clean end");
        ends.push((status, String::from_utf8(text).unwrap().contains(r#""reason":"unauthorized""#)));
        assert_eq!(world.millis(), BEGIN + 30_000);
    }
    assert_eq!(ends, [(401, false), (401, false), (200, true), (200, true), (200, true)]);
    assert_eq!(world.waiters(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_new_authority_judges_from_then_on_and_what_was_admitted_stays() {
    let world = World::judged(ServiceSettings::default(), Table::of([("old", Grant::all())]));
    let waiting = world.later("/api/longpoll?channel=a&access_token=old");
    world.until_waiting(1).await;
    world.service.replace_authority(Table::of([("new", Grant::all())]));
    assert_eq!(world.get("/api/poll?access_token=old").await.status, 401);
    assert_eq!(world.post("/api/message?channel=a&access_token=new", "text/plain", "x").await.status, 201);
    assert_eq!(waiting.await.unwrap().json()["count"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_of_an_unknown_key_waits_until_keys_were_fetched() {
    let limits = Limits { auth_failures: 1, ..Limits::default() };
    let table = Table::default();
    let world = World::judged(ServiceSettings { limits, ..ServiceSettings::default() }, table.clone());
    let publish = {
        let world = world.clone();
        tokio::spawn(async move {
            world.post("/api/message?channel=a&access_token=rotated", "text/plain", "x").await
        })
    };
    let read = world.later("/api/poll?channel=a&access_token=rotated-away");
    pass(500).await;
    world.service.replace_authority(Table {
        grants: HashMap::from([("rotated", Arc::new(Grant::all()))]),
        ..table.clone()
    });
    assert_eq!(publish.await.unwrap().status, 201);
    let refused = read.await.unwrap();
    assert_eq!((refused.status, table.fetches.load(Ordering::Relaxed)), (401, 3));
    assert_eq!(world.millis(), BEGIN + 1_000);
    assert_eq!(world.get("/api/poll?access_token=x").await.status, 429, "the unknown key was a wrong token");
}
