//! Answers that are not read: what they hold is on the account, and goes when they do.

use poll_core::Kind;
use poll_http::{Limits, ServiceSettings};
use serde_json::{Value, json};

use crate::world::{ADDRESS, Answer, Wire, World, settle};

/// Asks and does not read.
async fn unread(world: &World, target: &str, capacity: usize) -> Wire {
    let mut wire = world.connect_through(capacity, ADDRESS);
    wire.send("GET", target, &[], b"").await;
    settle().await;
    wire
}

/// What a poll's answer lists.
type Listed = fn(&Value) -> Vec<String>;

/// A large list through each door, and where its messages are.
const LISTS: [(&str, Listed); 5] = [
    ("/api/poll?channel=messages", |answer| texts(&answer["messages"], "content")),
    ("/api/longpoll?channel=messages", |answer| texts(&answer["messages"], "content")),
    ("/events?category=messages&timeout=5&since_time=1", |answer| texts(&answer["events"], "data")),
    ("/messages", |answer| texts(answer, "body")),
    ("/api/poll/messages?last_message_id=00000000-0000-0000-0000-000000000000", |answer| {
        texts(&answer["messages"], "data")
    }),
];

fn texts(list: &Value, key: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|message| message[key].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_large_list_comes_in_pieces_and_says_what_a_small_one_would() {
    let world = World::new();
    let text = "\u{1}\"x".repeat(400);
    world.fill("messages", 300, &text).await;
    crate::world::pass(5).await;
    for (target, list) in LISTS {
        let mut wire = world.connect();
        wire.send("GET", target, &[], b"").await;
        let head = wire.head().await;
        assert_eq!((head.status, head.field("transfer-encoding")), (200, Some("chunked")), "{target}");
        assert_eq!(head.field("content-length"), None);
        let (mut body, mut chunks) = (String::new(), 0);
        while let Some(chunk) = wire.chunk().await {
            assert!(chunk.len() < 24 * 1024, "{} bytes at once", chunk.len());
            body.push_str(&chunk);
            chunks += 1;
        }
        assert!(chunks > 10, "{target}: {chunks}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(list(&answer), vec![text.clone(); 300], "{target}");
        if let Some(count) = answer.get("count") {
            assert_eq!(count, 300);
        }
        // What is asked next on the connection is answered.
        wire.send("GET", "/healthz", &[], b"").await;
        assert_eq!(wire.answer().await.status, 200);
    }
    let small = world.get("/api/poll?channel=messages&limit=2").await;
    assert_eq!(small.field("content-length"), Some(&*small.body.len().to_string()));
    let whole = world.get("/api/poll?channel=messages").await;
    let unchanged = [("if-none-match", whole.field("etag").unwrap())];
    assert_eq!(world.ask("GET", "/api/poll?channel=messages", &unchanged, b"").await.status, 304);
    let head = world.ask("HEAD", "/api/poll?channel=messages", &[], b"").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[tokio::test(start_paused = true)]
async fn a_large_list_ends_with_the_connection_in_http_1_0() {
    let world = World::new();
    world.fill("messages", 300, &"x".repeat(1_000)).await;
    let mut wire = world.connect();
    wire.send_raw(b"GET /api/poll?channel=messages HTTP/1.0\r\nHost: poll.test\r\n\r\n").await;
    let answer = String::from_utf8(wire.rest().await).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "{head}");
    assert_eq!(serde_json::from_str::<Value>(body).unwrap()["count"], 300);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_holds_messages_and_one_piece_of_their_rendering() {
    let world = World::budgeted(1 << 30);
    // A mebibyte of what is rendered six times as long.
    world.fill("messages", 256, &"\u{1}".repeat(4_096)).await;
    let before = world.used(Kind::Answers);
    // From different places, so that neither is given what the other is.
    let wires = [unread(&world, "/api/poll?channel=messages&last_id=1", 512).await, {
        let mut wire = world.connect_through(512, ADDRESS);
        wire.send_raw(
            b"GET /api/poll?channel=messages HTTP/1.1\r\nHost: poll.test\r\nConnection: close\r\n\r\n",
        )
        .await;
        settle().await;
        wire
    }];
    let each = (world.used(Kind::Answers) - before) / 2;
    assert!(each >= 1 << 20, "{each}: messages are on the account");
    assert!(each < (1 << 20) + 256 * 128 + (128 << 10), "{each}");
    for wire in wires {
        wire.leave().await;
    }
    world.until_released(Kind::Answers).await;
}

/// What is refused where there is no memory for a large answer.
fn told(answer: &Answer, target: &str) {
    assert_eq!(answer.status, 503, "{target}: {}", answer.text());
    assert_eq!(answer.field("retry-after"), Some("1"), "{target}");
    let text = answer.text();
    let shape = if target.starts_with("/events") || target == "/messages" {
        text.starts_with(r#"{"error": "#)
    } else if target.starts_with("/api/poll/") {
        text.starts_with(r#"{"error":""#)
    } else {
        answer.field("content-type") == Some("application/problem+json")
    };
    assert!(shape, "{target}: {text}");
}

#[tokio::test(start_paused = true)]
async fn over_the_budget_large_answers_are_refused_and_small_ones_given() {
    // A quarter of it is for answers.
    let world = World::budgeted(8 << 20);
    for channel in ["messages", "large"] {
        world.fill(channel, 20, &"x".repeat(60_000)).await;
    }
    world.fill("small", 20, "news").await;
    crate::world::pass(5).await;
    let mut wires = Vec::new();
    while world.store.memory().refused(Kind::Answers) == 0 {
        wires.push(unread(&world, "/api/poll?channel=large", 512).await);
        assert!(wires.len() < 100, "a bound is reached");
    }
    let peak = world.used(Kind::Answers);
    assert!(peak <= (2 << 20) + (64 << 10) * wires.len() as u64, "{peak}");
    let before = world.refused_for_memory();
    for (target, _) in LISTS {
        told(&world.get(target).await, target);
    }
    told(&world.get("/api/messages/messages/1").await, "/api/messages");
    assert_eq!(world.refused_for_memory() - before, 6);
    assert_eq!(world.get("/api/poll?channel=small").await.contents().len(), 20);
    world.publish("other", "x").await;

    // A stream breaks off, so that its reader knows there is more.
    let mut wire = world.connect();
    wire.open("/api/stream?channel=large&last_id=0", &[]).await;
    assert_eq!(wire.json_line().await["type"], "connected");
    assert!(wire.is_closed().await, "without a last chunk");
    assert_eq!(world.refused_for_memory() - before, 7);

    for wire in wires {
        wire.leave().await;
    }
    world.until_released(Kind::Answers).await;
    assert_eq!(world.get("/api/poll?channel=large").await.contents().len(), 17, "a mebibyte");
}

#[tokio::test(start_paused = true)]
async fn a_large_answer_keeps_a_place_until_it_is_read() {
    let limits = Limits { per_client: 1, ..Limits::default() };
    let world = World::set(ServiceSettings { limits, ..ServiceSettings::default() });
    world.fill("large", 100, &"x".repeat(1_000)).await;
    world.fill("small", 2, "news").await;
    let name: [(&str, &str); 1] = [("x-client-id", "one")];
    let polls = ["/api/poll?channel=large", "/api/longpoll?channel=large", "/api/longpoll?channel=later"];
    for target in polls {
        let mut wire = world.connect_through(512, ADDRESS);
        wire.send("GET", target, &name, b"").await;
        if target.ends_with("later") {
            world.until_waiting(1).await;
            world.fill("later", 1, &"x".repeat(60_000)).await;
        }
        settle().await;
        assert_eq!(world.waiters(), 0, "{target}: reading is not waiting");
        let refused = world.ask("GET", "/api/poll?channel=large", &name, b"").await;
        assert_eq!((refused.status, refused.field("retry-after")), (429, Some("1")), "{target}");
        assert_eq!(refused.json()["detail"], "Too many connections from client");
        let small = world.ask("GET", "/api/poll?channel=small", &name, b"").await;
        assert_eq!(small.contents(), [json!("news"), json!("news")]);
        assert_eq!(wire.answer().await.status, 200);
        let again = world.ask("GET", "/api/poll?channel=large", &name, b"").await;
        assert_eq!(again.contents().len(), 100, "{target}");
    }
    // A client that leaves gives its place back as well.
    let mut wire = world.connect_through(512, ADDRESS);
    wire.send("GET", "/api/poll?channel=large", &name, b"").await;
    wire.leave().await;
    assert_eq!(world.ask("GET", "/api/poll?channel=large", &name, b"").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn what_a_large_publish_is_answered_is_on_the_account() {
    let world = World::budgeted(1 << 20);
    let lines = "1\n".repeat(1_000);
    let publish = async |capacity| {
        let mut wire = world.connect_through(capacity, ADDRESS);
        wire.send(
            "POST",
            "/api/message?channel=c",
            &[("content-type", "application/x-ndjson")],
            lines.as_bytes(),
        )
        .await;
        settle().await;
        wire
    };
    let held = publish(4_096).await;
    assert!(world.used(Kind::Answers) > 100_000);
    // There is room for one: the next is told before anything is published.
    let refused = publish(1 << 20).await.answer().await;
    assert_eq!((refused.status, refused.field("retry-after")), (503, Some("1")));
    assert_eq!(world.store.published(), 1_000);
    world.publish("c", "one by one").await;
    held.leave().await;
    world.until_released(Kind::Answers).await;
    assert_eq!(publish(1 << 20).await.answer().await.status, 201);
}
