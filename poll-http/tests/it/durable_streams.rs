//! The Durable Streams dialect beside the others: what the protocol's own suite does not ask.

use poll_core::Retention;
use poll_http::{Access, Cors, DurableStreams, Limits, ServiceSettings};
use serde_json::json;

use crate::world::{Answer, World, pass};

const APP: (&str, &str) = ("origin", "https://app.test");
const TEXT: (&str, &str) = ("content-type", "text/plain");

fn offset(seq: u64) -> String {
    format!("{seq:016}_{:016}", 0)
}

async fn create(world: &World, name: &str, content_type: &str, body: &[u8]) {
    let fields = [("content-type", content_type)];
    let answer = world.ask("PUT", &format!("/v1/stream/{name}"), &fields, body).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
}

async fn append(world: &World, name: &str, content_type: &str, body: &[u8]) -> Answer {
    world.ask("POST", &format!("/v1/stream/{name}"), &[("content-type", content_type)], body).await
}

async fn read(world: &World, name: &str) -> Answer {
    let answer = world.get(&format!("/v1/stream/{name}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
}

#[tokio::test(start_paused = true)]
async fn what_is_appended_is_read_through_each_other_dialect() {
    let world = World::new();
    create(&world, "messages", "application/json", br#"[{"n": 1}, "text"]"#).await;
    assert_eq!(append(&world, "messages", "application/json", b"[[1, 2], null]").await.status, 204);
    let contents = [json!({"n": 1}), json!("text"), json!([1, 2]), json!(null)];
    assert_eq!(world.get("/api/poll?channel=messages").await.contents(), contents);
    let bodies = world.get("/messages").await.json();
    let bodies: Vec<_> = bodies.as_array().unwrap().iter().map(|message| message["body"].clone()).collect();
    assert_eq!(bodies, [json!(r#"{"n":1}"#), json!("text"), json!("[1,2]"), json!("null")]);
    let events = world.get("/events?category=messages&timeout=1&since_time=1").await.json();
    let data: Vec<_> =
        events["events"].as_array().unwrap().iter().map(|event| event["data"].clone()).collect();
    assert_eq!(data, contents);
    let polled =
        world.get("/api/poll/messages?last_message_id=00000000-0000-0000-0000-000000000000").await.json();
    assert_eq!((polled["count"].as_u64(), &polled["messages"][2]["data"]), (Some(4), &json!([1, 2])));
    // Bytes are text where they can be.
    create(&world, "bytes", "application/octet-stream", b"plain").await;
    append(&world, "bytes", "application/octet-stream", b"\xff\x00").await;
    let polled = world.get("/api/poll?channel=bytes").await;
    assert_eq!(polled.contents(), [json!("plain"), json!("/wA=")]);
    assert_eq!(read(&world, "bytes").await.body, b"plain\xff\x00");
}

#[tokio::test(start_paused = true)]
async fn what_is_published_through_another_dialect_is_content_of_the_stream() {
    let world = World::new();
    create(&world, "log", "text/plain", b"a").await;
    world.publish("log", "b").await;
    world.post("/api/message?channel=log", "application/json", r#"{"n": 1}"#).await;
    world.ask("POST", "/api/message?channel=log", &[], b"\xff").await;
    let answer = read(&world, "log").await;
    assert_eq!(
        (&answer.body[..], answer.field("stream-next-offset")),
        (&b"ab{\"n\":1}\xff"[..], Some(&*offset(4)))
    );
    // A channel that was born by a publish is JSON.
    world.publish("news", "text").await;
    world.post("/api/message?channel=news", "application/json", r#"{"n": 1}"#).await;
    world.ask("POST", "/api/message?channel=news", &[], b"\xff").await;
    let answer = read(&world, "news").await;
    assert_eq!(
        (answer.text(), answer.field("content-type")),
        (r#"["text",{"n":1},"/w=="]"#.to_owned(), Some("application/json"))
    );
    assert_eq!(append(&world, "news", "application/json", b"4").await.status, 204);
    assert_eq!(append(&world, "news", "text/plain", b"5").await.status, 409);
    assert_eq!(world.get("/api/poll?channel=news").await.contents().len(), 4);
    // And one that is closed is closed to all.
    assert_eq!(world.ask("POST", "/v1/stream/news", &[("stream-closed", "true")], b"").await.status, 204);
    assert_eq!(world.post("/api/message?channel=news", "text/plain", "x").await.status, 409);
    assert_eq!(world.get("/api/poll?channel=news").await.json()["closed"], true);
}

#[tokio::test(start_paused = true)]
async fn an_offset_is_the_number_of_the_message_in_a_cursor() {
    let world = World::new();
    create(&world, "a", "application/json", b"[1,2,3]").await;
    let answer = world.get(&format!("/v1/stream/a?offset={}", offset(1))).await;
    assert_eq!(answer.text(), "[2,3]");
    let cursor = world.get("/api/poll?channel=a&last_id=2").await.cursor();
    assert_eq!(u64::from_str_radix(&cursor[16..], 16), Ok(3));
    // The tag names the incarnation, so that what is made anew is not taken for the same.
    let tag = answer.field("etag").unwrap().to_owned();
    assert!(tag.contains(&cursor[..16]), "{tag}");
    assert_eq!(world.ask("DELETE", "/v1/stream/a", &[], b"").await.status, 204);
    assert_eq!(world.get("/v1/stream/a").await.status, 404);
    create(&world, "a", "application/json", b"[4,5,6]").await;
    let again = world
        .ask("GET", &format!("/v1/stream/a?offset={}", offset(1)), &[("if-none-match", &tag)], b"")
        .await;
    assert_eq!((again.status, again.text()), (200, "[5,6]".to_owned()));
    let moved = world.get(&format!("/api/poll?channel=a&cursor={cursor}")).await.json();
    assert_eq!(moved["reset"], true);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_longer_retained_is_told() {
    let world = World::retaining(Retention { messages: 2, ..Retention::default() });
    for text in ["1", "2", "3"] {
        world.publish("news", text).await;
    }
    let all = read(&world, "news").await;
    assert_eq!((all.text(), all.field("poll-missed")), (r#"["2","3"]"#.to_owned(), Some("1")));
    let live = world.get("/v1/stream/news?offset=-1&live=long-poll").await;
    assert_eq!((live.text(), live.field("poll-missed")), (r#"["2","3"]"#.to_owned(), Some("1")));
    for mode in ["", "&live=long-poll", "&live=sse"] {
        assert_eq!(
            world.get(&format!("/v1/stream/news?offset={}{mode}", offset(0))).await.status,
            410,
            "{mode}"
        );
        assert_eq!(
            world.get(&format!("/v1/stream/news?offset={}{mode}", offset(4))).await.status,
            400,
            "{mode}"
        );
    }
    assert_eq!(world.get(&format!("/v1/stream/news?offset={}", offset(1))).await.text(), r#"["2","3"]"#);
}

#[tokio::test(start_paused = true)]
async fn large_appends_are_kept_in_pieces_and_are_one_to_their_readers() {
    let settings = ServiceSettings { max_payload_bytes: 1_000, ..ServiceSettings::default() };
    let world = World::set(settings);
    let text = "ä☃x".repeat(2_000);
    create(&world, "text", "text/plain", text.as_bytes()).await;
    let answer = read(&world, "text").await;
    assert_eq!(answer.text(), text);
    let pieces = world.get("/api/poll?channel=text").await.contents();
    assert!(pieces.len() > 10 && pieces.iter().all(|piece| piece.as_str().unwrap().len() <= 1_000));
    assert_eq!(append(&world, "text", "text/plain", &vec![b'x'; 1 << 20]).await.status, 204);
    assert_eq!(append(&world, "text", "text/plain", &vec![b'x'; (1 << 20) + 1]).await.status, 413);
    create(&world, "json", "application/json", b"").await;
    let values = format!("[{}]", vec![format!("{:?}", "x".repeat(900)); 20].join(","));
    assert_eq!(append(&world, "json", "application/json", values.as_bytes()).await.status, 204);
    assert_eq!(
        append(&world, "json", "application/json", format!("[1,{:?}]", "x".repeat(999)).as_bytes())
            .await
            .status,
        413
    );
    assert_eq!(read(&world, "json").await.json().as_array().unwrap().len(), 20, "all or none");
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_ends_early_and_a_stream_after_a_minute() {
    for (most, millis) in [(50, 19_333), (6, 5_800)] {
        let max_poll = std::time::Duration::from_secs(most);
        let world = World::set(ServiceSettings { max_poll, ..ServiceSettings::default() });
        create(&world, "a", "text/plain", b"").await;
        let begun = world.millis();
        let answer = world.get("/v1/stream/a?offset=now&live=long-poll").await;
        assert_eq!((answer.status, answer.field("cache-control")), (204, Some("no-store")));
        assert!((millis..millis + 10).contains(&(world.millis() - begun)), "{most}");
    }
    let world = World::new();
    create(&world, "a", "text/plain", b"x").await;
    let begun = world.millis();
    let mut wire = world.connect();
    let head = wire.open("/v1/stream/a?offset=-1&live=sse", &[]).await;
    assert_eq!(head.field("content-type"), Some("text/event-stream"));
    assert_eq!(wire.chunk().await.unwrap(), "event: data\ndata:x\n\n");
    let control = format!("event: control\ndata:{{\"streamNextOffset\":\"{}\",", offset(1));
    let mut controls = 0;
    while let Some(chunk) = wire.chunk().await {
        assert!(chunk.starts_with(&control), "{chunk}");
        controls += 1;
    }
    assert!(controls > 1, "one at once, and one now and then");
    assert!((60_000..60_010).contains(&(world.millis() - begun)));
}

#[tokio::test(start_paused = true)]
async fn readers_of_a_stream_that_is_deleted_are_told() {
    let world = World::new();
    create(&world, "a", "text/plain", b"x").await;
    let mut events = world.connect();
    events.open("/v1/stream/a?offset=now&live=sse", &[]).await;
    let poll = world.later("/v1/stream/a?offset=now&live=long-poll");
    world.until_registered(2).await;
    assert_eq!(world.ask("DELETE", "/v1/stream/a", &[], b"").await.status, 204);
    assert_eq!(poll.await.unwrap().status, 404);
    assert!(events.chunk().await.unwrap().starts_with("event: control"));
    assert_eq!(events.chunk().await, None, "it ends, and who comes back gets 404");
    assert_eq!(world.get("/v1/stream/a?offset=now&live=sse").await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn head_waits_for_nothing_and_says_what_a_stream_is() {
    let world = World::new();
    let fields = [TEXT, ("stream-ttl", "60")];
    assert_eq!(world.ask("PUT", "/v1/stream/a/b%20c", &fields, b"x").await.status, 201);
    let answer = world.ask("HEAD", "/v1/stream/a/b%20c?offset=now&live=sse", &[], b"").await;
    assert_eq!(answer.status, 200);
    let expected = [
        ("content-type", "text/plain"),
        ("stream-next-offset", &offset(1)),
        ("stream-ttl", "60"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-resource-policy", "same-origin"),
    ];
    for (name, value) in expected {
        assert_eq!(answer.field(name), Some(value), "{name}");
    }
    assert_eq!(world.get("/api/poll?channel=a/b+c").await.contents(), [json!("x")]);
    for (target, status) in
        [("/v1/stream/none", 404), ("/v1/stream/", 404), ("/v1/stream", 404), ("/v1/stream/%", 400)]
    {
        assert_eq!(world.ask("HEAD", target, &[], b"").await.status, status, "{target}");
    }
    let other = world.ask("PATCH", "/v1/stream/a", &[], b"").await;
    assert_eq!((other.status, other.field("allow")), (405, Some("GET, HEAD, POST, PUT, DELETE, OPTIONS")));
}

#[tokio::test(start_paused = true)]
async fn it_is_not_spoken_where_it_is_off() {
    let settings = ServiceSettings { durable_streams: DurableStreams::Off, ..ServiceSettings::default() };
    let world = World::set(settings);
    for method in ["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"] {
        assert_eq!(world.ask(method, "/v1/stream/a", &[TEXT], b"").await.status, 404, "{method}");
    }
    let document = world.get("/openapi.json").await.json();
    assert!(document["paths"].as_object().unwrap().keys().all(|path| !path.starts_with("/v1/")));
}

#[tokio::test(start_paused = true)]
async fn pages_of_other_origins_read_and_write_where_they_are_named() {
    let exposed = [
        "stream-next-offset",
        "stream-up-to-date",
        "stream-cursor",
        "stream-closed",
        "etag",
        "location",
        "stream-ttl",
        "stream-expires-at",
        "producer-epoch",
        "producer-seq",
        "producer-expected-seq",
        "producer-received-seq",
        "stream-sse-data-encoding",
    ];
    let preflight = [APP, ("access-control-request-method", "PUT")];
    for (cors, allowed) in [
        (Cors::Off, None),
        (Cors::Any, Some("*")),
        (Cors::Origins(vec!["https://app.test".to_owned()]), Some("https://app.test")),
        (Cors::Origins(vec!["https://other.test".to_owned()]), None),
    ] {
        let world = World::set(ServiceSettings { cors: cors.clone(), ..ServiceSettings::default() });
        let answer = world.ask("OPTIONS", "/v1/stream/a", &preflight, b"").await;
        assert_eq!((answer.status, answer.field("access-control-allow-origin")), (204, allowed), "{cors:?}");
        assert!(answer.field("access-control-allow-headers").unwrap().contains("If-None-Match"));
        assert_eq!(answer.field("access-control-allow-methods"), answer.field("allow"));
        for method in ["PUT", "POST", "DELETE"] {
            let answer = world.ask(method, "/v1/stream/a", &[APP, TEXT], b"x").await;
            assert_eq!(answer.status == 403, allowed.is_none(), "{cors:?} {method}");
            let policy = if cors == Cors::Off { "same-origin" } else { "cross-origin" };
            assert_eq!(answer.field("cross-origin-resource-policy"), Some(policy), "{cors:?} {method}");
        }
        create(&world, "a", "text/plain", b"x").await;
        let answer = world.ask("GET", "/v1/stream/a", &[APP], b"").await;
        let listed = answer.field("access-control-expose-headers").unwrap_or_default().to_ascii_lowercase();
        for field in exposed {
            assert_eq!(listed.split(", ").any(|other| other == field), allowed.is_some(), "{cors:?} {field}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn writing_takes_the_right_to_publish_and_reading_that_to_subscribe() {
    let access = Access { publish: vec!["w".to_owned()], subscribe: vec!["r".to_owned()] };
    let world = World::set(ServiceSettings { access, ..ServiceSettings::default() });
    let ask = async |method: &str, token: &str| {
        let token = format!("Bearer {token}");
        world.ask(method, "/v1/stream/a", &[TEXT, ("authorization", &token)], b"x").await
    };
    for (method, good) in [("PUT", "w"), ("POST", "w"), ("GET", "r"), ("HEAD", "r"), ("DELETE", "w")] {
        let other = if good == "w" { "r" } else { "w" };
        assert_eq!(ask(method, "x").await.status, 401, "{method}");
        assert_eq!(ask(method, other).await.status, 403, "{method}");
        let answer = ask(method, good).await;
        assert!(answer.status < 300, "{method} {}", answer.status);
        if method == "GET" {
            let cache = answer.field("cache-control");
            assert_eq!(cache, Some("private, max-age=60, stale-while-revalidate=300"));
        }
    }
}

/// Or a name that may be read would open one that may not.
#[tokio::test(start_paused = true)]
async fn a_fork_takes_the_right_to_subscribe_to_its_source() {
    let access =
        Access { publish: vec!["w".to_owned(), "both".to_owned()], subscribe: vec!["both".to_owned()] };
    let world = World::set(ServiceSettings { access, ..ServiceSettings::default() });
    let fork = async |token: &str| {
        let fields = [("authorization", &*format!("Bearer {token}")), ("stream-forked-from", "/v1/stream/a")];
        world.ask("PUT", "/v1/stream/b", &fields, b"").await.status
    };
    let fields = [TEXT, ("authorization", "Bearer w")];
    assert_eq!(world.ask("PUT", "/v1/stream/a", &fields, b"x").await.status, 201);
    assert_eq!(fork("w").await, 403);
    assert_eq!(fork("both").await, 201);
}

#[tokio::test(start_paused = true)]
async fn waiting_readers_are_counted_and_no_more_than_allowed_may_wait() {
    let limits = Limits { total: 1, ..Limits::default() };
    let world = World::set(ServiceSettings { limits, ..ServiceSettings::default() });
    create(&world, "a", "text/plain", b"").await;
    let poll = world.later("/v1/stream/a?offset=now&live=long-poll");
    world.until_waiting(1).await;
    assert_eq!(world.get("/v1/stream/a?offset=now&live=sse").await.status, 429);
    pass(1_000).await;
    append(&world, "a", "text/plain", b"x").await;
    assert_eq!(poll.await.unwrap().text(), "x");
    assert_eq!(world.waiters(), 0);
    create(&world, "b", "application/json", b"[1,2]").await;
    assert_eq!(world.metric("poll_messages_published_total"), 3);
    assert_eq!(world.metric("poll_messages_delivered_total"), 1);
}
