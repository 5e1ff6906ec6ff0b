//! Every door is a door to the same log: published through each, read through each, by each pattern.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::world::{Answer, World, pass};

/// The chat dialect has this one channel.
const CHANNEL: &str = "messages";

/// What is published: how the native door, and how the chat and the channel door show it.
#[derive(Clone)]
struct Shown {
    native: Value,
    encoding: bool,
    chat: String,
    channel: Value,
}

fn json_value(value: Value) -> Shown {
    let text = serde_json::to_string(&value).unwrap();
    let chat = value.as_str().map_or(text, str::to_owned);
    let channel = if value.is_object() { value.clone() } else { json!({"data": value}) };
    Shown { native: value, encoding: false, chat, channel }
}

/// Publishes through one door after the other, and says what all readers should see, in order.
async fn published(world: &World) -> Vec<Shown> {
    let native = format!("/api/message?channel={CHANNEL}");
    let mut all = Vec::new();
    for value in [json!({"a": [1, {"b": null}]}), json!("text in JSON"), json!(5), json!(null), json!([true])]
    {
        assert_eq!(world.post(&native, "application/json", &value.to_string()).await.status, 201);
        all.push(json_value(value));
    }
    assert_eq!(world.ask("POST", &format!("{native}&content=in+the+address"), &[], b"").await.status, 201);
    all.push(json_value(json!("in the address")));
    assert_eq!(world.post(&native, "text/plain", "{\"a\":1} ☃\n").await.status, 201);
    all.push(json_value(json!("{\"a\":1} ☃\n")));
    let bytes = b"\xff\x00\xfe";
    assert_eq!(world.ask("POST", &native, &[], bytes).await.status, 201);
    let base64 = base64::engine::general_purpose::STANDARD.encode(bytes);
    let channel = json!({"data": base64, "encoding": "base64"});
    all.push(Shown { native: json!(base64), encoding: true, chat: base64, channel });
    assert_eq!(world.post(&native, "application/x-ndjson", "{\"n\":1}\n[2]\n").await.status, 201);
    all.extend([json_value(json!({"n": 1})), json_value(json!([2]))]);
    for data in [json!({"k": "v"}), json!("event"), json!(false)] {
        let body = json!({"category": CHANNEL, "data": data}).to_string();
        assert_eq!(world.post("/publish", "application/json", &body).await.status, 200);
        all.push(json_value(data));
    }
    assert_eq!(world.post("/messages", "application/json", r#"{"body":"said"}"#).await.status, 200);
    all.push(json_value(json!("said")));
    let own = json!({"x": 1, "id": "its own", "timestamp": "its own"});
    let answer = world.post(&format!("/api/publish/{CHANNEL}"), "application/json", &own.to_string()).await;
    assert_eq!(answer.status, 200);
    all.push(Shown { channel: json!({"x": 1}), ..json_value(own) });
    all
}

fn list<'a>(answer: &'a Value, key: &str) -> &'a [Value] {
    answer[key].as_array().unwrap_or_else(|| panic!("no {key} in {answer}"))
}

/// The same message at every door: the id that each gave.
#[derive(Default)]
struct Ids(BTreeMap<usize, String>);

impl Ids {
    fn same(&mut self, index: usize, id: &Value) {
        let id = id.as_str().unwrap().to_owned();
        assert_eq!(*self.0.entry(index).or_insert_with(|| id.clone()), id, "message {index}");
    }
}

fn check_native(shown: &[Shown], messages: &[Value], content: &str, ids: Option<&mut Ids>) {
    assert_eq!(messages.len(), shown.len());
    for (message, shown) in messages.iter().zip(shown) {
        assert_eq!(message[content], shown.native);
        assert_eq!(message.get("encoding").is_some(), shown.encoding, "{message}");
    }
    let Some(ids) = ids else { return };
    for (index, message) in messages.iter().enumerate() {
        ids.same(index, &message["uuid"]);
    }
}

fn check_events(shown: &[Shown], answer: &Answer, ids: &mut Ids) {
    let answer = answer.json();
    assert_eq!(list(&answer, "events").len(), shown.len());
    for (index, (event, shown)) in list(&answer, "events").iter().zip(shown).enumerate() {
        assert_eq!((&event["data"], &event["category"]), (&shown.native, &json!(CHANNEL)));
        assert!(event.get("encoding").is_none());
        ids.same(index, &event["id"]);
    }
}

fn check_channel(shown: &Shown, index: usize, message: &Value, ids: &mut Ids) {
    let mut message = message.clone();
    let fields = message.as_object_mut().unwrap();
    ids.same(index, &fields.remove("id").unwrap());
    assert!(fields.remove("timestamp").unwrap().is_f64());
    assert_eq!(message, shown.channel);
}

#[tokio::test(start_paused = true)]
async fn published_through_each_read_through_each_in_each_pattern() {
    let world = World::new();
    // Some read as it comes, others find it there.
    let mut live = Vec::new();
    let open = async |target: &str, fields: &[(&str, &str)]| {
        let mut wire = world.connect();
        wire.open(target, fields).await;
        wire
    };
    for pattern in ["stream", "push"] {
        live.push(open(&format!("/api/{pattern}?channel={CHANNEL}"), &[]).await);
    }
    let shown = published(&world).await;
    pass(10).await;
    for pattern in ["stream", "push"] {
        live.push(open(&format!("/api/{pattern}?channel={CHANNEL}&last_id=0"), &[]).await);
    }
    let mut ids = Ids::default();
    for pattern in ["poll", "longpoll"] {
        let answer = world.get(&format!("/api/{pattern}?channel={CHANNEL}")).await.json();
        check_native(&shown, list(&answer, "messages"), "content", Some(&mut ids));
    }
    for mut wire in live {
        assert_eq!(wire.json_line().await["type"], "connected");
        let mut lines = Vec::new();
        for _ in &shown {
            lines.push(wire.json_line().await);
        }
        check_native(&shown, &lines, "message", None);
    }
    let mut sse =
        open(&format!("/api/stream?channel={CHANNEL}&last_id=0"), &[("accept", "text/event-stream")]).await;
    sse.chunk().await;
    let mut lines = Vec::new();
    for _ in &shown {
        let event = sse.chunk().await.unwrap();
        let data = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
        lines.push(serde_json::from_str(data).unwrap());
    }
    check_native(&shown, &lines, "message", None);
    for index in 0..shown.len() {
        let message = world.get(&format!("/api/messages/{CHANNEL}/{}", index + 1)).await.json();
        check_native(&shown[index..=index], &[message], "content", None);
    }
    let steps = open("/api/progress/j", &[]).await;
    drop(steps);

    check_events(
        &shown,
        &world.get(&format!("/events?category={CHANNEL}&timeout=1&since_time=1")).await,
        &mut ids,
    );
    let said = world.get("/messages").await.json();
    assert_eq!(said.as_array().unwrap().len(), shown.len());
    for (index, (message, shown)) in said.as_array().unwrap().iter().zip(&shown).enumerate() {
        assert_eq!(message["body"], shown.chat);
        ids.same(index, &message["id"]);
    }
    let nil = uuid::Uuid::nil();
    let all = world.get(&format!("/api/poll/{CHANNEL}?last_message_id={nil}")).await.json();
    for (index, message) in list(&all, "messages").iter().enumerate() {
        check_channel(&shown[index], index, message, &mut ids);
    }
    let mut since = json!(0);
    for (index, shown) in shown.iter().enumerate() {
        let one = world.get(&format!("/api/poll/{CHANNEL}?since={since}")).await.json();
        assert_eq!(one["messages"], json!([one["data"]]));
        check_channel(shown, index, &one["data"], &mut ids);
        since = one["timestamp"].clone();
    }
    assert_eq!(ids.0.len(), shown.len());
}

/// One place of a reader, as each door names it.
struct Place {
    cursor: String,
    id: String,
    millis: u64,
    seconds: String,
}

#[tokio::test(start_paused = true)]
async fn a_client_that_changes_doors_keeps_its_place() {
    let world = World::new();
    let mut places = Vec::new();
    for number in 0..6 {
        let stamp = world.publish(CHANNEL, &number.to_string()).await;
        let seconds = world.get(&format!("/api/poll/{CHANNEL}?last_message_id={}", uuid::Uuid::nil())).await;
        let text = seconds.text();
        let seconds = text[text.rfind(':').unwrap() + 1..].trim_end_matches('}').to_owned();
        places.push(Place {
            cursor: stamp["cursor"].as_str().unwrap().to_owned(),
            id: stamp["uuid"].as_str().unwrap().to_owned(),
            millis: world.millis(),
            seconds,
        });
        // Some share a millisecond.
        pass(number % 2).await;
    }
    for (at, place) in places.iter().enumerate().take(5) {
        let next: Vec<String> = (at + 1..6).map(|number| number.to_string()).collect();
        let Place { cursor, id, millis, seconds } = place;
        let texts = |values: &[Value], key: &str| {
            values.iter().map(|value| value[key].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        for target in [
            format!("/api/poll?channel={CHANNEL}&cursor={cursor}"),
            format!("/api/longpoll?channel={CHANNEL}&last_id={}", at + 1),
        ] {
            assert_eq!(
                texts(list(&world.get(&target).await.json(), "messages"), "content"),
                next,
                "{target}"
            );
        }
        let events = format!("/events?category={CHANNEL}&timeout=1&since_time={millis}&last_id={id}");
        assert_eq!(texts(list(&world.get(&events).await.json(), "events"), "data"), next);
        let chat = world.get(&format!("/messages?after={id}")).await.json();
        assert_eq!(texts(chat.as_array().unwrap(), "body"), next);
        let by_id = world.get(&format!("/api/poll/{CHANNEL}?last_message_id={id}")).await.json();
        assert_eq!(texts(list(&by_id, "messages"), "data"), next);
        let by_time = world.get(&format!("/api/poll/{CHANNEL}?since={seconds}")).await.json();
        assert_eq!(by_time["data"]["data"], next[0]);
        let mut stream = world.connect();
        stream.open(&format!("/api/stream?channel={CHANNEL}&cursor={cursor}"), &[]).await;
        stream.json_line().await;
        assert_eq!(stream.json_line().await["message"], next[0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_at_any_door_is_woken_through_any_other() {
    let publishes = [
        (format!("/api/message?channel={CHANNEL}"), r#"{"n":1}"#.to_owned()),
        ("/publish".to_owned(), format!(r#"{{"category":"{CHANNEL}","data":{{"n":1}}}}"#)),
        ("/messages".to_owned(), r#"{"body":"{\"n\":1}"}"#.to_owned()),
        (format!("/api/publish/{CHANNEL}"), r#"{"n":1}"#.to_owned()),
    ];
    for (target, body) in publishes {
        let world = World::new();
        let waits = [
            format!("/api/longpoll?channel={CHANNEL}&timeout=60"),
            format!("/events?category={CHANNEL}&timeout=60"),
            format!("/events?category={CHANNEL}&timeout=60&since_time=1&last_id={}", uuid::Uuid::nil()),
            "/messages".to_owned(),
            format!("/api/poll/{CHANNEL}?timeout=60"),
            format!("/api/poll/{CHANNEL}?timeout=60&last_message_id={}", uuid::Uuid::nil()),
        ];
        let polls: Vec<_> = waits.iter().map(|wait| world.later(wait)).collect();
        world.until_waiting(waits.len() as u64).await;
        let begun = world.millis();
        assert!(world.post(&target, "application/json", &body).await.status < 300);
        for (wait, poll) in waits.iter().zip(polls) {
            let answer = poll.await.unwrap();
            assert!(
                answer.text().contains("n\\\":1") || answer.text().contains("\"n\":1"),
                "{target} to {wait}"
            );
        }
        assert!(world.millis() - begun <= 10);
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_channel_is_409_through_every_door_in_its_own_shape() {
    let world = World::new();
    for name in [CHANNEL, "progress/j"] {
        let name = poll_core::ChannelName::parse(name).unwrap();
        world.store.close(world.now(), &name).await.unwrap();
    }
    let ended = "the channel has ended";
    let (problem, error) = ("application/problem+json", format!(r#"{{"error": "{ended}"}}"#));
    let native = format!("/api/message?channel={CHANNEL}");
    let cases = [
        (format!("{native}&content=x"), "", "", problem, None),
        (native.clone(), "text/plain", "x", problem, None),
        (native.clone(), "application/json", "1", problem, None),
        (native.clone(), "application/x-ndjson", "1\n2\n", problem, None),
        (native, "application/x-www-form-urlencoded", "x", problem, None),
        ("/api/progress/j".to_owned(), "", r#"{"step":1,"total":2}"#, problem, None),
        ("/publish".to_owned(), "", r#"{"category":"messages","data":1}"#, "application/json", Some(&error)),
        ("/messages".to_owned(), "", r#"{"body":"x"}"#, "application/json", Some(&error)),
        (
            format!("/api/publish/{CHANNEL}"),
            "",
            "{}",
            "application/json",
            Some(&format!(r#"{{"error":"{ended}"}}"#)),
        ),
    ];
    for (target, content_type, body, media, shape) in cases {
        let answer = world.post(&target, content_type, body).await;
        assert_eq!((answer.status, answer.field("content-type")), (409, Some(media)), "{target}");
        match shape {
            Some(shape) => assert_eq!(answer.text(), *shape, "{target}"),
            None => {
                let told = json!({
                    "type": "about:blank", "title": "Conflict", "status": 409, "detail": ended
                });
                assert_eq!(answer.json(), told, "{target}");
            }
        }
    }
    assert_eq!(world.metric("poll_refused_total{reason=\"conflict\"}"), 9);
}
