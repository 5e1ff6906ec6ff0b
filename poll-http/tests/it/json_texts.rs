//! JSON as it was published comes out of every door as it was written, whatever a parser would make of it, and no
//! answer holds a character that a reader could take for the end of a line.

use poll_http::{Receipts, ServiceSettings};
use serde_json::json;

use crate::world::{Answer, World};

const CHANNEL: &str = "messages";
/// What Python, Java and others take for the end of a line beside `\n` and `\r`, but for what JSON escapes anyway.
const SEPARATORS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];

/// JSON that is allowed and that parsers stumble over.
struct Odd {
    sent: String,
    kept: String,
    /// What the channel door shows of an object in front of its own fields.
    fields: Option<String>,
}

fn odd() -> Vec<Odd> {
    let value = |text: &str| Odd { sent: text.to_owned(), kept: text.to_owned(), fields: None };
    let object = |text: &str, fields: &str| Odd { fields: Some(fields.to_owned()), ..value(text) };
    let deep = format!("{}{}", "[".repeat(499), "]".repeat(499));
    vec![
        value("1e999"),
        value("-1e-999"),
        value("123456789012345678901234567890.10"),
        value(r#""\ud800""#),
        value(r#""\ude00 \ud83d""#),
        value(&format!("[{deep}]")),
        object(&format!(r#"{{"a":{deep}}}"#), &format!(r#""a":{deep},"#)),
        object(r#"{"\ud800":"\udfff","\u0069d":1,"timestamp":{"id":2}}"#, r#""\ud800":"\udfff","#),
        object(
            r#"{"a":{},"b":[],"a":"\\\"}{","id":[{"id":1}],"\uD800id":2}"#,
            r#""a":{},"b":[],"a":"\\\"}{","\uD800id":2,"#,
        ),
        object("{}", ""),
        object(r#"{"id":0}"#, ""),
        Odd {
            sent: "{ \"\u{2028}\" : [ \"\u{85}\", \"\u{2029}\" ] }".to_owned(),
            kept: r#"{"\u2028":["\u0085","\u2029"]}"#.to_owned(),
            fields: Some(r#""\u2028":["\u0085","\u2029"],"#.to_owned()),
        },
    ]
}

/// Reads the newest message through every door, and says where each showed it.
async fn everywhere(world: &World, number: usize) -> Vec<(&'static str, String)> {
    let before = number - 1;
    let poll = world.get(&format!("/api/poll?channel={CHANNEL}&last_id={before}")).await;
    let place = poll.json_slice("\"uuid\":\"", "\"");
    let chat_before = world.get(&format!("/api/messages/{CHANNEL}/{before}")).await;
    let id =
        if before == 0 { uuid::Uuid::nil().to_string() } else { chat_before.json_slice("\"uuid\":\"", "\"") };
    let mut seen = vec![("content", poll.text())];
    seen.push((
        "content",
        world.get(&format!("/api/longpoll?channel={CHANNEL}&last_id={before}")).await.text(),
    ));
    seen.push(("content", world.get(&format!("/api/messages/{CHANNEL}/{number}")).await.text()));
    for (target, fields) in [
        ("stream", &[][..]),
        ("stream", &[("accept", "text/event-stream")]),
        ("push", &[]),
        ("push", &[("accept", "text/event-stream")]),
    ] {
        let mut wire = world.connect();
        wire.open(&format!("/api/{target}?channel={CHANNEL}&last_id={before}"), fields).await;
        wire.chunk().await;
        seen.push(("message", wire.chunk().await.unwrap()));
    }
    let since = format!("since_time=1&last_id={id}");
    let events = world.get(&format!("/events?category={CHANNEL}&timeout=1&{since}")).await.text();
    // An id of another millisecond gives all: the last one counts.
    seen.push(("data", events[events.rfind("{\"timestamp\":").unwrap()..].to_owned()));
    seen.push(("body", world.get(&format!("/messages?after={id}")).await.text()));
    seen.push(("", world.get(&format!("/api/poll/{CHANNEL}?last_message_id={id}")).await.text()));
    assert!(seen.iter().filter(|(key, _)| *key != "message").all(|(_, text)| text.contains(&place)));
    seen
}

impl Answer {
    fn json_slice(&self, before: &str, after: &str) -> String {
        let text = self.text();
        let start = text.find(before).unwrap_or_else(|| panic!("no {before} in {text}")) + before.len();
        text[start..][..text[start..].find(after).unwrap()].to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_grammar_allows_is_given_as_it_was_written() {
    let world = World::new();
    let native = format!("/api/message?channel={CHANNEL}");
    let mut number = 0;
    for Odd { sent, kept, fields } in odd() {
        let event = format!(r#"{{"\ud800":1e999,"DATA":{sent},"category":"{CHANNEL}"}}"#);
        let mut publishes = vec![
            (native.clone(), "application/json", sent.clone()),
            (native.clone(), "application/x-ndjson", format!("{sent}\n")),
            ("/publish".to_owned(), "text/plain", event),
        ];
        if fields.is_some() {
            publishes.push((format!("/api/publish/{CHANNEL}"), "text/plain", sent.clone()));
        }
        for (target, content_type, body) in publishes {
            let answer = world.post(&target, content_type, &body).await;
            assert!(answer.status < 300, "{target} {sent}: {}", answer.text());
            number += 1;
            for (key, text) in everywhere(&world, number).await {
                let expected = match (key, &fields) {
                    ("body", _) if !kept.starts_with('"') => {
                        format!(r#""body":{}"#, serde_json::to_string(&kept).unwrap())
                    }
                    ("", Some(fields)) => format!(r#"{{{fields}"id":""#),
                    ("", None) => format!(r#"{{"data":{kept},"id":""#),
                    (key, _) => format!(r#""{key}":{kept}"#),
                };
                assert!(text.contains(&expected), "{target} {expected} in {text}");
                assert!(!text.contains(SEPARATORS), "{text}");
            }
        }
    }
    let too_deep = format!("{}{}", "[".repeat(501), "]".repeat(501));
    let refused = world.post(&native, "application/json", &too_deep).await;
    assert_eq!((refused.status, refused.text().contains("500")), (400, true), "{}", refused.text());
}

#[tokio::test(start_paused = true)]
async fn a_text_read_out_of_json_has_replacement_characters_for_lone_surrogates() {
    let world = World::new();
    let chat = world.post("/messages", "application/json", r#"{"\ud800":1,"body":"a\ud83d b\ude00"}"#).await;
    assert_eq!((chat.status, &chat.json()["body"]), (200, &json!("a\u{fffd} b\u{fffd}")));
    assert_eq!(world.get("/messages").await.json()[0]["body"], "a\u{fffd} b\u{fffd}");

    let event = r#"{"category":"\udc00\u0063","data":"\udc00"}"#;
    assert_eq!(world.post("/publish", "application/json", event).await.text(), r#"{"success": true}"#);
    let poll = world.get("/api/poll?channel=%EF%BF%BDc").await;
    assert!(poll.text().contains(r#""content":"\udc00""#), "the payload is as it was: {}", poll.text());

    let step = r#"{"step":1,"total":2,"message":"\ud800","status":"\udfff","more":"\ud800","\ud800":[]}"#;
    assert_eq!(world.post("/api/progress/j", "application/json", step).await.status, 202);
    let job = world.get("/api/poll?channel=progress%2Fj").await;
    let content = &job.json()["messages"][0]["content"];
    assert_eq!((&content["message"], &content["status"]), (&json!("\u{fffd}"), &json!("\u{fffd}")));
}

#[tokio::test(start_paused = true)]
async fn the_last_of_equal_keys_counts() {
    let world = World::new();
    let chat = world.post("/messages", "application/json", r#"{"body":1,"body":"a","x":0,"body":"b"}"#).await;
    assert_eq!((chat.status, &chat.json()["body"]), (200, &json!("b")));
    let step = r#"{"step":9,"step":1,"total":2,"total":4}"#;
    assert_eq!(world.post("/api/progress/j", "application/json", step).await.status, 202);
    let job = world.get("/api/poll?channel=progress%2Fj").await;
    assert_eq!(job.json()["messages"][0]["content"]["percentage"], 25);
    let event = r#"{"category":"b","Category":"c","data":null,"data":7}"#;
    assert_eq!(world.post("/publish", "application/json", event).await.status, 200);
    assert_eq!(world.get("/api/poll?channel=c").await.contents(), [json!(7)]);
}

#[tokio::test(start_paused = true)]
async fn no_json_text_holds_what_ends_a_line_elsewhere() {
    let receipts = ServiceSettings { receipts: Receipts::On, ..ServiceSettings::default() };
    let world = World::set(receipts);
    let (name, written) = ("a\u{2028}b\u{2029}", "a%E2%80%A8b%E2%80%A9");
    let text = "1\u{2028}2\u{2029}3\u{85}4\u{b}5\u{1e}6";
    let mut answers = Vec::new();
    let native = format!("/api/message?channel={written}");
    answers.push(world.post(&native, "text/plain", text).await);
    answers.push(world.post(&native, "application/x-ndjson", "\"\u{2028}\"\n2\n").await);
    let event = json!({"category": name, "data": {text: text}}).to_string();
    answers.push(world.post("/publish", "application/json", &event).await);
    answers.push(world.post("/messages", "application/json", &json!({"body": text}).to_string()).await);
    let step = json!({"step": 1, "total": 1, "message": text, "status": text}).to_string();
    answers.push(world.post(&format!("/api/progress/{written}"), "application/json", &step).await);
    for target in [
        format!("/api/poll?channel={written}"),
        format!("/api/poll?channel=progress%2F{written}"),
        format!("/api/longpoll?channel={written}"),
        format!("/api/messages/{written}/1"),
        format!("/events?category={written}&timeout=1&since_time=1"),
        "/messages".to_owned(),
        format!("/api/poll/{written}"),
        format!("/api/poll/{written}?last_message_id={}", uuid::Uuid::nil()),
        format!("/api/poll?cursor={written}"),
    ] {
        let answer = world.ask("GET", &target, &[("x-client-id", "me")], b"").await;
        assert!(answer.status == 200 || target.contains("cursor"), "{target}: {}", answer.status);
        answers.push(answer);
    }
    for answer in answers {
        let text = answer.text();
        assert!(!text.contains(SEPARATORS) && !text.contains(['\u{b}', '\u{1e}']), "{text}");
        assert_eq!(answer.json(), serde_json::from_str::<serde_json::Value>(&text).unwrap());
    }
    let shown = world.get(&format!("/api/poll?channel={written}")).await;
    assert_eq!(shown.contents()[..2], [json!(text), json!("\u{2028}")], "and they mean the same");
    for target in [format!("/api/stream?last_id=0&channel={written}"), format!("/api/progress/{written}")] {
        for accept in ["application/x-ndjson", "text/event-stream"] {
            let mut wire = world.connect();
            wire.open(&target, &[("accept", accept)]).await;
            for _ in 0..2 {
                if let Some(chunk) = wire.chunk().await {
                    assert!(!chunk.contains(SEPARATORS), "{chunk}");
                }
                if target.contains("progress") {
                    break;
                }
            }
        }
    }
}
