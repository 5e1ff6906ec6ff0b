//! Publishing through the native dialect: forms of content, lines, keys, single messages, the end of a job.

use poll_core::Retention;
use poll_http::{Demo, ServiceSettings};
use serde_json::{Value, json};

use crate::world::{World, pass};

#[tokio::test(start_paused = true)]
async fn a_message_is_answered_with_its_stamp_and_its_place() {
    let world = World::new();
    let answer = world.ask("POST", "/api/message?content=Hello+%E2%98%83%2B", &[], b"").await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.field("content-type"), Some("application/json"));
    let stamp = answer.json();
    let (uuid, cursor) = (stamp["uuid"].as_str().unwrap(), stamp["cursor"].as_str().unwrap());
    let expected = format!(
        r#"{{"channel":"default","id":1,"uuid":"{uuid}","cursor":"{cursor}","timestamp":"2026-11-20T22:49:38.000000Z"}}"#
    );
    assert_eq!(answer.text(), expected);
    assert_eq!(uuid::Uuid::parse_str(uuid).unwrap().get_version_num(), 7);
    let location = answer.field("location").unwrap();
    assert_eq!(location, format!("/api/messages/default/{cursor}"));

    let message = world.get(location).await;
    let expected = format!(
        r#"{{"id":1,"uuid":"{uuid}","content":"Hello ☃+","timestamp":"2026-11-20T22:49:38.000000Z"}}"#
    );
    assert_eq!(message.text(), expected);
    assert_eq!(message.field("cache-control"), Some("private, max-age=300, immutable"));
    pass(100_500).await;
    let later = world.get(location).await;
    assert_eq!(later.field("cache-control"), Some("private, max-age=199, immutable"));
    let bare = world.get("/api/messages/default/1").await;
    assert_eq!((bare.text(), bare.field("cache-control")), (expected, Some("no-cache")));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_not_there_never_was_or_is_gone() {
    let world = World::retaining(Retention { messages: 2, ..Retention::default() });
    let first = world.publish("default", "1").await["cursor"].as_str().unwrap().to_owned();
    world.publish("default", "2").await;
    world.publish("default", "3").await;
    let (other, next) = (format!("{:032x}", 1u128 << 64 | 2), format!("{}{:016x}", &first[..16], 4));
    let zero = "0".repeat(32);
    let cases = [
        (first.as_str(), 410),
        ("1", 410),
        ("2", 200),
        ("4", 404),
        ("0", 404),
        (&next, 404),
        (&other, 404),
        (&zero, 404),
        ("x", 404),
        ("18446744073709551616", 404),
    ];
    for (place, status) in cases {
        let answer = world.get(&format!("/api/messages/default/{place}")).await;
        assert_eq!(answer.status, status, "{place}");
        assert_eq!(answer.field("content-type") == Some("application/problem+json"), status != 200);
    }
    assert_eq!(world.get("/api/messages/never/1").await.status, 404);
    pass(301_000).await;
    assert_eq!(world.get("/api/messages/default/3").await.status, 410, "too old");
}

#[tokio::test(start_paused = true)]
async fn content_is_what_its_type_says() {
    let world = World::new();
    let cases: [(&str, &str, Value); 15] = [
        ("application/json", " { \"a\" : [1, 2] } ", json!({"a": [1, 2]})),
        ("application/json; charset=utf-8", "\"x\"", json!("x")),
        ("application/json", "null", json!(null)),
        ("text/plain", "null", json!("null")),
        ("text/plain; charset=utf-8", "a\nb", json!("a\nb")),
        ("application/x-www-form-urlencoded", "other=1&content=a+b%26&x=y", json!("a b&")),
        ("application/x-www-form-urlencoded", "hello", json!("hello")),
        ("application/x-www-form-urlencoded", "a=b&c=d", json!("a=b&c=d")),
        ("application/x-www-form-urlencoded; charset=UTF-8", "100% {\"a\":1}", json!("100% {\"a\":1}")),
        ("application/x-www-form-urlencoded", "content", json!("content")),
        ("application/json", "\"\"", json!("")),
        ("application/octet-stream", "text after all", json!("text after all")),
        ("", "untyped", json!("untyped")),
        ("text/markdown", "# x", json!("# x")),
        ("application/json", "1e3", json!(1e3)),
    ];
    for (number, (content_type, body, content)) in cases.into_iter().enumerate() {
        let answer = world.post("/api/message", content_type, body).await;
        assert_eq!(answer.status, 201, "{content_type} {body}: {}", answer.text());
        let message = world.get(&format!("/api/messages/default/{}", number + 1)).await.json();
        assert_eq!(message["content"], content, "{content_type} {body}");
        assert!(message.get("encoding").is_none());
    }
    world.ask("POST", "/api/message?channel=bytes", &[], b"\xff\x00\xfe").await;
    let message = world.get("/api/messages/bytes/1").await.json();
    assert_eq!((&message["content"], &message["encoding"]), (&json!("/wD+"), &json!("base64")));

    let refused = [
        ("application/json", "{", 400),
        ("application/json", "1 2", 400),
        ("application/json", "", 400),
        ("application/x-www-form-urlencoded", "content=", 400),
        ("application/x-www-form-urlencoded", "content=a&content=b", 400),
        ("application/x-www-form-urlencoded", "", 400),
        ("multipart/form-data", "x", 400),
        ("text/plain", "", 400),
    ];
    for (content_type, body, status) in refused {
        let answer = world.post("/api/message", content_type, body).await;
        assert_eq!(answer.status, status, "{content_type} {body}");
        assert_eq!(answer.field("content-type"), Some("application/problem+json"));
    }
    assert_eq!(
        world.ask("POST", "/api/message", &[("content-type", "text/plain")], b"\xff").await.status,
        400
    );
    for (target, remedy) in [
        ("/api/message", "`content` is missing or empty: give it as a parameter or as the body"),
        ("/api/message?content=", "an empty text is `\"\"` as application/json"),
        ("/api/message?content=x&channel=", "name one, or leave it out for `default`"),
        ("/api/message?content=x&content=y", "parameter `content` is given more than once: give it once"),
        ("/api/message?content=x&channel=a&channel=b", "parameter `channel` is given more than once"),
        ("/api/message?content=x&channel=%00", "`channel`: a channel name must not hold control characters"),
    ] {
        let answer = world.ask("POST", target, &[], b"").await;
        assert_eq!(answer.status, 400, "{target}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(remedy), "{target}: {detail}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_form_with_files_is_its_content_or_its_one_file() {
    let world = World::new();
    let post = async |parts: &[(&str, &[u8])]| {
        let mut body = Vec::new();
        for (head, bytes) in parts {
            body.extend_from_slice(
                format!("--B\r\nContent-Disposition: form-data; {head}\r\n\r\n").as_bytes(),
            );
            body.extend_from_slice(bytes);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--B--\r\n");
        let fields = [("content-type", "multipart/form-data; boundary=B")];
        world.ask("POST", "/api/message", &fields, &body).await
    };
    let file = |media: &str| format!("name=\"f\"; filename=\"f\"\r\nContent-Type: {media}");
    let (json, bytes, text) = (file("application/json"), file("image/png"), file("text/plain"));
    type Parts<'a> = &'a [(&'a str, &'a [u8])];
    let cases: [(Parts<'_>, Value); 6] = [
        (&[("name=\"x\"", b"y"), ("name=\"content\"", "h\u{e9}".as_bytes())], json!("h\u{e9}")),
        (&[(&json, b" [1, 2]")], json!([1, 2])),
        (&[(&text, b"[1]"), ("name=\"x\"", b"y")], json!("[1]")),
        (&[(&bytes, b"\xff\x00\xfe")], json!("/wD+")),
        (&[("name=\"f\"; filename=\"f\"", b"untyped")], json!("untyped")),
        (&[(&json, b"[1]"), (&json, b"[2]"), ("name=\"content\"", b"x")], json!("x")),
    ];
    for (number, (parts, content)) in cases.into_iter().enumerate() {
        let answer = post(parts).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let message = world.get(&format!("/api/messages/default/{}", number + 1)).await.json();
        assert_eq!(message["content"], content);
        assert_eq!(message.get("encoding").is_some(), content == "/wD+");
    }
    let large = vec![b'x'; 64 * 1024];
    assert_eq!(post(&[("name=\"content\"", &large)]).await.status, 201);
    let refused: [(Parts<'_>, u16); 8] = [
        (&[], 415),
        (&[("name=\"x\"", b"y")], 415),
        (&[(&json, b"1"), (&json, b"2")], 415),
        (&[(&file("application/x-ndjson"), b"1")], 415),
        (&[("name=\"content\"", b"")], 400),
        (&[(&json, b"{")], 400),
        (&[("name=\"content\"", &[&large[..], b"x"].concat())], 413),
        (&[("name=\"content\"", b"x"), ("name=\"x\"", &[&large[..], &large].concat())], 413),
    ];
    for (parts, status) in refused {
        let answer = post(parts).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.field("content-type"), Some("application/problem+json"));
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_demonstration_publishes_without_content() {
    let world = World::set(ServiceSettings { demo: Demo::On, ..ServiceSettings::default() });
    assert_eq!(world.ask("POST", "/api/message", &[], b"").await.status, 201);
    assert_eq!(world.get("/api/poll").await.contents(), [json!("Test message")]);
    // An empty text is content, which no demonstration replaces.
    assert_eq!(world.post("/api/message", "application/json", "\"\"").await.status, 201);
    assert_eq!(world.get("/api/poll?last_id=1").await.contents(), [json!("")]);
    assert_eq!(World::new().ask("POST", "/api/message", &[], b"").await.status, 400);
}

#[tokio::test(start_paused = true)]
async fn lines_are_published_all_or_none() {
    let world = World::new();
    let ndjson = "application/x-ndjson";
    let answer = world.post("/api/message?channel=c", ndjson, "{\"a\":1}\n\n\"two\"\r\n3").await;
    assert_eq!(answer.status, 201);
    let batch = answer.json();
    assert_eq!((&batch["channel"], &batch["count"]), (&json!("c"), &json!(3)));
    let keys: Vec<_> = batch["messages"][0].as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["cursor", "id", "timestamp", "uuid"]);
    assert_eq!(answer.text().find(r#"{"channel":"c","count":3,"messages":[{"id":1,"uuid":""#), Some(0));
    let poll = world.get("/api/poll?channel=c").await;
    assert_eq!(poll.contents(), [json!({"a": 1}), json!("two"), json!(3)]);
    assert_eq!(poll.cursor(), batch["messages"][2]["cursor"]);

    let broken = world.post("/api/message?channel=d", ndjson, "1\n2\n{\n").await;
    assert_eq!(broken.status, 400);
    assert!(broken.json()["detail"].to_string().contains("line 3"), "{}", broken.text());
    assert_eq!(world.get("/api/poll?channel=d").await.contents().len(), 0, "none");
    assert_eq!(world.post("/api/message", ndjson, "\n \n").await.status, 400);
    assert_eq!(world.post("/api/message", ndjson, &"1\n".repeat(1_000)).await.status, 201);
    assert_eq!(world.post("/api/message", ndjson, &"1\n".repeat(1_001)).await.status, 413);
    let line = format!("\"{}\"\n", "x".repeat(32 * 1024 - 3));
    assert_eq!(line.len(), 1 << 15);
    assert_eq!(world.post("/api/message", ndjson, &line.repeat(32)).await.status, 201, "1 MiB");
    assert_eq!(world.post("/api/message", ndjson, &format!("{}\n", line.repeat(32))).await.status, 413);
    let over = format!("\"{}\"\n", "x".repeat(64 * 1024));
    assert_eq!(world.post("/api/message", ndjson, &over).await.status, 413, "each has the limit of one");
}

#[tokio::test(start_paused = true)]
async fn a_key_publishes_once_within_its_window() {
    let world = World::new();
    let publish = async |channel: &str, key: &str, text: &str| {
        let target = format!("/api/message?channel={channel}");
        world.ask("POST", &target, &[("idempotency-key", key)], text.as_bytes()).await
    };
    let first = publish("c", "k", "x").await;
    assert_eq!(first.status, 201);
    let again = publish("c", "k", "x").await;
    assert_eq!((again.status, again.text()), (200, first.text()));
    assert_eq!(again.field("location"), first.field("location"));
    assert_eq!(publish("c", "k", "other").await.status, 422);
    assert_eq!(publish("d", "k", "other").await.status, 201, "a key is of its channel");
    assert_eq!(world.get("/api/poll?channel=c").await.contents(), [json!("x")]);
    assert_eq!(world.metric("poll_messages_published_total"), 2);
    assert_eq!(publish("c", &"k".repeat(255), "x").await.status, 201);
    assert_eq!(publish("c", &"k".repeat(256), "x").await.status, 400);
    assert_eq!(publish("c", "", "x").await.status, 400);
    let fields = [("idempotency-key", "a"), ("idempotency-key", "b")];
    assert_eq!(world.ask("POST", "/api/message", &fields, b"x").await.status, 400);
    pass(301_000).await;
    assert_eq!(publish("c", "k", "other").await.status, 201, "its window is over");

    let twins = (0..8).map(|_| {
        let world = world.clone();
        tokio::spawn(async move {
            world.ask("POST", "/api/message?channel=t", &[("idempotency-key", "k")], b"[1]").await
        })
    });
    let mut statuses = Vec::new();
    let mut texts = Vec::new();
    for twin in twins.collect::<Vec<_>>() {
        let answer = twin.await.unwrap();
        statuses.push(answer.status);
        texts.push(answer.text());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 200, 201]);
    texts.dedup();
    assert_eq!(texts.len(), 1);
    assert_eq!(world.get("/api/poll?channel=t").await.contents().len(), 1);
    let lines = async |body: &str| {
        let fields = [("idempotency-key", "k"), ("content-type", "application/x-ndjson")];
        world.ask("POST", "/api/message?channel=l", &fields, body.as_bytes()).await
    };
    let (first, again) = (lines("1\n2\n").await, lines("1\n2").await);
    assert_eq!((first.status, again.status, first.text()), (201, 200, again.text()));
}

#[tokio::test(start_paused = true)]
async fn of_a_repeated_publish_what_is_no_longer_retained_has_number_and_cursor() {
    let world = World::retaining(Retention { messages: 1, ..Retention::default() });
    let lines = async |body: &str| {
        let fields = [("idempotency-key", "k"), ("content-type", "application/x-ndjson")];
        world.ask("POST", "/api/message?channel=l", &fields, body.as_bytes()).await.json()
    };
    let (mut first, again) = (lines("1\n2\n").await, lines("1\n2\n").await);
    let gone = first["messages"][0].as_object_mut().unwrap();
    gone.retain(|name, _| name == "id" || name == "cursor");
    assert_eq!(again, first);

    let one = async || world.ask("POST", "/api/message?channel=o", &[("idempotency-key", "k")], b"x").await;
    let first = one().await;
    world.publish("o", "y").await;
    let again = one().await;
    assert_eq!((again.status, again.field("location")), (200, first.field("location")));
    let (id, cursor) = (&first.json()["id"], &first.json()["cursor"]);
    assert_eq!(again.json(), json!({"channel": "o", "id": id, "cursor": cursor}));
}

#[tokio::test(start_paused = true)]
async fn a_job_takes_reports_until_it_ends() {
    let world = World::new();
    let report = async |body: &str| world.post("/api/progress/a%2Fb", "application/json", body).await;
    assert_eq!(report(r#"{"step":1,"total":3}"#).await.status, 202);
    assert_eq!(report(r#"{"step":2,"total":3,"message":"two","status":"busy"}"#).await.status, 202);
    for bad in ["", "[]", "{}", r#"{"step":1}"#, r#"{"step":"1","total":2}"#, r#"{"step":-1,"total":2}"#] {
        assert_eq!(report(bad).await.status, 400, "{bad}");
    }
    assert_eq!(report(r#"{"step":3,"total":3,"status":"failed"}"#).await.status, 202);
    let late = report(r#"{"step":3,"total":3}"#).await;
    assert_eq!((late.status, late.field("content-type")), (409, Some("application/problem+json")));
    for (target, body) in [
        ("/api/message?channel=progress%2Fa%2Fb", "x"),
        ("/api/publish/progress%2Fa%2Fb", "{}"),
        ("/publish", r#"{"category":"progress/a/b","data":1}"#),
    ] {
        assert_eq!(world.post(target, "text/plain", body).await.status, 409, "{target}");
    }
    let steps = world.get("/api/poll?channel=progress%2Fa%2Fb").await.contents();
    assert_eq!(
        steps[0],
        json!({"step": 1, "total": 3, "percentage": 33, "message": "Processing step 1 of 3"})
    );
    assert_eq!(steps[1]["message"], "two");
    assert_eq!(steps[2]["status"], "failed");
}
