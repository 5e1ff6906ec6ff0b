//! The chat dialect to the letter.

use poll_core::Retention;
use poll_http::ServiceSettings;
use serde_json::{Value, json};

use crate::world::{BEGIN, World, pass};

async fn say(world: &World, body: &str) -> String {
    let answer = world.post("/messages", "application/json", &json!({"body": body}).to_string()).await;
    assert_eq!(answer.status, 200);
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn bodies(answer: &crate::world::Answer) -> Vec<Value> {
    assert_eq!((answer.status, answer.field("content-type")), (200, Some("application/json; charset=UTF-8")));
    answer.json().as_array().unwrap().iter().map(|message| message["body"].clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_said_is_read_in_order_and_after_an_id() {
    let world = World::new();
    let answer = world.post("/messages", "text/plain", r#"{"body":"Hello \"World\"","x":1}"#).await;
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let expected =
        format!(r#"{{"id":"{id}","created_at":"2026-11-20T22:49:38.000000Z","body":"Hello \"World\""}}"#);
    assert_eq!((answer.status, answer.text()), (200, expected.clone()));
    assert_eq!(world.get("/messages").await.text(), format!("[{expected}]"));
    pass(10).await;
    let second = say(&world, "2").await;
    say(&world, "3").await;
    let zero = "00000000-0000-0000-0000-000000000000";
    let never = |millis: u64| format!("{:08x}-{:04x}-7000-8000-000000000000", millis >> 16, millis & 0xffff);
    let cases = [
        ("".to_owned(), 3),
        ("?after=".to_owned(), 3),
        (format!("?after={zero}"), 3),
        (format!("?after={id}"), 2),
        (format!("?after={second}"), 1),
        (format!("?after={}", never(BEGIN - 1)), 3),
        (format!("?after={}", never(BEGIN + 5)), 2),
        (format!("?after={id}&after=x"), 2),
    ];
    for (query, count) in cases {
        assert_eq!(bodies(&world.get(&format!("/messages{query}")).await).len(), count, "{query}");
    }
    let begun = world.millis();
    let late = world.get(&format!("/messages?after={}", never(BEGIN + 60_000))).await;
    assert_eq!(late.text(), "[]", "sorts where its time puts it");
    assert!((10_000..10_010).contains(&(world.millis() - begun)), "ten seconds");
}

#[tokio::test(start_paused = true)]
async fn a_question_waits_for_the_next() {
    let world = World::new();
    let poll = world.later("/messages");
    world.until_waiting(1).await;
    pass(5_000).await;
    say(&world, "news").await;
    assert_eq!(bodies(&poll.await.unwrap()), [json!("news")]);
}

#[tokio::test(start_paused = true)]
async fn mistakes_are_told() {
    let world = World::new();
    for body in ["", "x", "[]", "{}", r#"{"body":1}"#, r#"{"body":null}"#] {
        let answer = world.post("/messages", "application/json", body).await;
        assert_eq!((answer.status, answer.field("content-type")), (400, Some("application/json")), "{body}");
        assert!(answer.text().starts_with(r#"{"error": ""#), "{}", answer.text());
        assert_eq!(answer.json().as_object().unwrap().len(), 1);
    }
    for after in ["x", "1", "zero"] {
        let answer = world.get(&format!("/messages?after={after}")).await;
        assert_eq!(answer.status, 400);
        assert!(answer.text().starts_with(r#"{"error": ""#));
    }
    let large = |bytes: usize| format!(r#"{{"body":"{}"}}"#, "x".repeat(bytes - 11));
    assert_eq!(large(10_000).len(), 10_000);
    assert_eq!(world.post("/messages", "application/json", &large(10_000)).await.status, 200);
    let over = world.post("/messages", "application/json", &large(10_001)).await;
    assert_eq!(over.status, 413);
    assert!(over.text().starts_with(r#"{"error": ""#));
    assert_eq!(world.ask("PUT", "/messages", &[], b"").await.status, 405);
    let small = World::set(ServiceSettings { max_payload_bytes: 8, ..ServiceSettings::default() });
    assert_eq!(small.post("/messages", "", r#"{"body":"12345678"}"#).await.status, 200);
    assert_eq!(
        small.post("/messages", "", r#"{"body":"123456789"}"#).await.status,
        413,
        "the limit of all doors"
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_stands_in_a_field() {
    let world = World::retaining(Retention { messages: 1, ..Retention::default() });
    let first = say(&world, "1").await;
    pass(1).await;
    say(&world, "2").await;
    pass(1).await;
    say(&world, "3").await;
    assert_eq!(world.get("/messages").await.field("poll-missed"), Some("2"));
    assert_eq!(world.get(&format!("/messages?after={first}")).await.field("poll-missed"), Some("1"));
}
