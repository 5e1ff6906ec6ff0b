//! The channel dialect to the letter: by id all, by time one; seconds that lose nothing; receipts.

use poll_http::{Receipts, ServiceSettings};
use serde_json::json;

use crate::world::{BEGIN, World, pass};

async fn publish(world: &World, body: &str) -> String {
    let answer = world.post("/api/publish/c", "application/json", body).await;
    let id = answer.json()["message_id"].as_str().unwrap().to_owned();
    assert_eq!(
        (answer.status, answer.text()),
        (200, format!(r#"{{"status":"published","message_id":"{id}"}}"#))
    );
    id
}

#[tokio::test(start_paused = true)]
async fn by_time_one_and_by_id_all() {
    let world = World::new();
    let mut ids = Vec::new();
    for number in 1..=3 {
        ids.push(publish(&world, &format!(r#"{{"n":{number},"id":0,"timestamp":1}}"#)).await);
    }
    let second = BEGIN / 1_000;
    let message = |number: usize| {
        format!(r#"{{"n":{number},"id":"{}","timestamp":{second}.{:06}}}"#, ids[number - 1], number - 1)
    };
    let one = |number: usize| {
        let message = message(number);
        format!(
            r#"{{"status":"message","data":{message},"messages":[{message}],"count":1,"timestamp":{second}.{:06}}}"#,
            number - 1
        )
    };
    let first = world.get("/api/poll/c").await;
    assert_eq!((first.text(), first.field("content-type")), (one(1), Some("application/json")));
    for (since, number) in [
        ("0".to_owned(), 1),
        ("-1.5".to_owned(), 1),
        (format!("{second}"), 2),
        (format!("{second}.000000"), 2),
        (format!("{second}.000001"), 3),
        (format!("{second}.0000005&since=x"), 3),
        ("1.795214977e9".to_owned(), 1),
    ] {
        assert_eq!(world.get(&format!("/api/poll/c?since={since}")).await.text(), one(number), "{since}");
    }
    let all = |first: usize| {
        let messages: Vec<String> = (first..=3).map(message).collect();
        format!(
            r#"{{"status":"messages","messages":[{}],"count":{},"timestamp":{second}.000002}}"#,
            messages.join(","),
            messages.len()
        )
    };
    let nil = uuid::Uuid::nil().to_string();
    for (last, first) in [(&ids[0], 2), (&ids[1], 3), (&nil, 1)] {
        let answer = world.get(&format!("/api/poll/c?last_message_id={last}&since=9e9")).await;
        assert_eq!(answer.text(), all(first), "{last}");
    }
    let poll = world.later(&format!("/api/poll/c?last_message_id={}", ids[2]));
    world.until_waiting(1).await;
    publish(&world, "{}").await;
    let next = poll.await.unwrap().json();
    assert_eq!((&next["status"], &next["count"]), (&json!("messages"), &json!(1)), "or the next");
}

#[tokio::test(start_paused = true)]
async fn a_timeout_gives_back_the_time_that_was_used() {
    let world = World::new();
    for (query, wait, since) in [
        // A thirtieth early, at most a second.
        ("timeout=0.3", 290, "0.000000"),
        ("", 29_000, "0.000000"),
        ("timeout=99&since=1795214000.123457", 49_000, "1795214000.123457"),
        ("timeout=-1", 0, "0.000000"),
        ("timeout=&since=", 29_000, "0.000000"),
    ] {
        let begun = world.millis();
        let answer = world.get(&format!("/api/poll/c?{query}")).await;
        let expected = format!(r#"{{"status":"timeout","messages":[],"count":0,"timestamp":{since}}}"#);
        assert_eq!((answer.status, answer.text()), (200, expected), "{query}");
        assert!((wait..wait + 10).contains(&(world.millis() - begun)), "{query}");
    }
}

#[tokio::test(start_paused = true)]
async fn mistakes_are_told() {
    let world = World::new();
    for query in
        ["timeout=x", "timeout=inf", "timeout=nan", "since=x", "since=inf", "since=nan", "last_message_id=x"]
    {
        let answer = world.get(&format!("/api/poll/c?{query}")).await;
        assert_eq!((answer.status, answer.field("content-type")), (400, Some("application/json")), "{query}");
        assert!(answer.text().starts_with(r#"{"error":""#));
        let name = query.split('=').next().unwrap();
        assert!(answer.text().contains(name), "{}", answer.text());
    }
    for body in ["", "x", "[]", "1", "\"x\"", "null", "{"] {
        let answer = world.post("/api/publish/c", "application/json", body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.text().starts_with(r#"{"error":""#));
    }
    for target in ["/api/poll/", "/api/poll/%ff", "/api/poll/%00"] {
        let answer = world.get(target).await;
        assert_eq!(answer.status, 400, "{target}");
        assert!(answer.text().starts_with(r#"{"error":""#));
    }
}

#[tokio::test(start_paused = true)]
async fn receipts_say_who_was_given_a_message() {
    let world = World::set(ServiceSettings { receipts: Receipts::On, ..ServiceSettings::default() });
    publish(&world, r#"{"n":1}"#).await;
    let none = world.get("/api/messages/c/1").await;
    assert_eq!(none.json()["delivered_to"], json!([]));
    for (method, target, name) in [
        ("HEAD", "/api/poll?channel=c", "head"),
        ("HEAD", "/api/poll/c", "head"),
        ("GET", "/api/poll/c", "ann"),
        ("GET", "/api/poll?channel=c", "bob"),
        ("GET", "/api/longpoll?channel=c", "ann"),
        ("GET", "/events?category=c&timeout=1&since_time=1", "cid \"c\""),
        ("GET", "/api/poll?channel=c&last_id=1", "nothing"),
    ] {
        world.ask(method, target, &[("x-client-id", name)], b"").await;
    }
    world.get("/api/poll?channel=c").await;
    let mut stream = world.connect();
    stream.open("/api/stream?channel=c&last_id=0", &[("x-client-id", "dan")]).await;
    stream.chunk().await;
    stream.chunk().await;
    let message = world.get("/api/messages/c/1").await;
    assert_eq!(message.json()["delivered_to"], json!(["ann", "bob", "cid \"c\"", "dan"]));
    assert_eq!(message.field("cache-control"), Some("no-cache"), "it grows");
    for number in 0..1_200 {
        world.ask("GET", "/api/poll?channel=c", &[("x-client-id", &format!("n{number}"))], b"").await;
    }
    assert_eq!(world.get("/api/messages/c/1").await.json()["delivered_to"].as_array().unwrap().len(), 1_000);
    let off = World::new();
    publish(&off, "{}").await;
    off.ask("GET", "/api/poll/c", &[("x-client-id", "ann")], b"").await;
    assert!(off.get("/api/messages/c/1").await.json().get("delivered_to").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_broken_client_name_is_a_mistake() {
    let world = World::new();
    let long = "x".repeat(257);
    let answer = world.ask("GET", "/api/poll/c", &[("x-client-id", &long)], b"").await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("X-Client-ID"));
    pass(1).await;
}
