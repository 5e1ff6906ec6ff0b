//! The rules that every request comes under, as tables: methods, statuses, fields, parameters, names.

use serde_json::json;

use crate::world::{World, pass};

const ZERO: &str = "00000000000000000000000000000000";

#[tokio::test(start_paused = true)]
async fn each_path_has_its_methods_and_tells_them() {
    let world = World::new();
    let read = "GET, HEAD, OPTIONS";
    let write = "POST, OPTIONS";
    let both = "GET, HEAD, POST, OPTIONS";
    let message = format!("/api/messages/c/{ZERO}");
    let paths = [
        ("/api/message", write),
        (message.as_str(), read),
        ("/api/poll", read),
        ("/api/longpoll", read),
        ("/api/stream", read),
        ("/api/push", read),
        ("/api/progress", read),
        ("/api/progress/job", both),
        ("/healthz", read),
        ("/readyz", read),
        ("/metrics", read),
        ("/events", read),
        ("/publish", write),
        ("/messages", both),
        ("/api/poll/c", read),
        ("/api/publish/c", write),
    ];
    for (path, allow) in paths {
        let options = world.ask("OPTIONS", path, &[], b"").await;
        assert_eq!((options.status, options.field("allow")), (204, Some(allow)), "OPTIONS {path}");
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "BREW"] {
            let has = allow.split(", ").any(|other| other == method);
            // The golongpoll door answers its clients whatever their method.
            if has || path == "/events" {
                continue;
            }
            let refused = world.ask(method, path, &[], b"").await;
            assert_eq!((refused.status, refused.field("allow")), (405, Some(allow)), "{method} {path}");
        }
    }
    let star = world.ask("OPTIONS", "*", &[], b"").await;
    assert_eq!(star.status, 204, "the server as a whole has options too (RFC 9110, section 9.3.7)");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_404_as_a_problem() {
    let world = World::new();
    for path in
        ["/", "/api", "/api/", "/api/polls", "/api/progress/a/b", "/api/poll/a/b", "/x", "/api/messages/a"]
    {
        for method in ["GET", "POST", "OPTIONS"] {
            let answer = world.ask(method, path, &[], b"").await;
            assert_eq!(answer.status, 404, "{method} {path}");
        }
    }
    let answer = world.get("/nothing").await;
    assert_eq!(answer.field("content-type"), Some("application/problem+json"));
    let problem = answer.json();
    assert_eq!(problem["type"], "about:blank");
    assert_eq!(problem["title"], "Not Found");
    assert_eq!(problem["status"], 404);
    assert!(problem["detail"].is_string());
}

#[tokio::test(start_paused = true)]
async fn every_answer_has_its_common_fields() {
    let world = World::new();
    world.publish("default", "x").await;
    let cases = [
        ("GET", "/api/poll", 200),
        ("GET", "/api/longpoll", 200),
        ("GET", "/api/messages/default/1", 200),
        ("GET", "/nothing", 404),
        ("PUT", "/api/poll", 405),
        ("GET", "/api/poll?limit=0", 400),
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/metrics", 200),
        ("GET", "/events", 200),
        ("GET", "/messages", 200),
        ("GET", "/api/poll/default", 200),
        ("GET", "/publish", 405),
        ("OPTIONS", "/api/poll", 204),
    ];
    for (method, target, status) in cases {
        let answer = world.ask(method, target, &[], b"").await;
        assert_eq!(answer.status, status, "{method} {target}: {}", answer.text());
        assert_eq!(answer.field("x-content-type-options"), Some("nosniff"), "{target}");
        assert!(answer.field("date").is_some_and(|date| date.ends_with(" GMT")), "{target}");
        let has_body = status != 204;
        assert_eq!(answer.field("content-type").is_some(), has_body, "{target}");
        assert_eq!(answer.field("keep-alive"), Some("timeout=75"), "{target}");
    }
    for target in ["/api/stream", "/api/push", "/api/progress/j", "/api/progress"] {
        let mut wire = world.connect();
        let head = wire.open(target, &[]).await;
        assert_eq!(head.field("x-content-type-options"), Some("nosniff"), "{target}");
        assert_eq!(head.field("content-type"), Some("application/x-ndjson"), "{target}");
        assert_eq!(head.field("x-accel-buffering"), Some("no"), "{target}");
        assert_eq!(head.field("cache-control"), Some("no-cache, no-transform"), "{target}");
        assert_eq!(head.field("vary"), Some("Accept"), "{target}");
        assert!(head.field("date").is_some(), "{target}");
    }
}

#[tokio::test(start_paused = true)]
async fn health_is_plain_text() {
    let world = World::new();
    for (target, text) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let answer = world.get(target).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, text));
        assert_eq!(answer.field("content-type"), Some("text/plain; charset=utf-8"), "{target}");
    }
    let metrics = world.get("/metrics").await;
    assert_eq!(metrics.field("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
}

#[tokio::test(start_paused = true)]
async fn head_answers_like_get_without_waiting_consuming_or_starting() {
    let world = World::new();
    let message = world.publish("default", "x").await;
    let cursor = message["cursor"].as_str().unwrap();
    let behind = format!("/api/longpoll?cursor={cursor}&timeout=60");
    let one = format!("/api/messages/default/{cursor}");
    let cases = [
        "/api/poll",
        "/api/longpoll",
        &behind,
        &one,
        "/api/stream",
        "/api/push",
        "/api/progress/j",
        "/api/progress",
        "/messages",
        "/api/poll/c?timeout=60",
        "/events?timeout=60&category=c",
        "/healthz",
        "/metrics",
        "/nothing",
    ];
    let begun = world.now();
    for target in cases {
        let head = world.ask("HEAD", target, &[], b"").await;
        assert_eq!(head.status, if target == "/nothing" { 404 } else { 200 }, "{target}");
        assert!(head.field("content-type").is_some(), "{target}");
        assert!(head.body.is_empty());
    }
    assert_eq!(world.now(), begun, "nobody waited");
    assert_eq!(world.waiters(), 0);
    assert_eq!(world.store.channels(), 1, "asking for the head starts no job");
    assert_eq!(world.metric("poll_messages_delivered_total"), 0, "nothing was given");
    let (get, head) = (world.get("/api/poll").await, world.ask("HEAD", "/api/poll", &[], b"").await);
    for field in ["content-length", "content-type", "etag", "cache-control"] {
        assert_eq!(get.field(field), head.field(field), "{field}");
    }
}

#[tokio::test(start_paused = true)]
async fn malformed_questions_name_their_parameter() {
    let world = World::new();
    let cases = [
        ("/api/poll?limit=0", "limit"),
        ("/api/poll?limit=x", "limit"),
        ("/api/poll?limit=-1", "limit"),
        ("/api/poll?limit=1.5", "limit"),
        ("/api/poll?limit=1&limit=1", "limit"),
        ("/api/poll?last_id=x", "last_id"),
        ("/api/poll?last_id=-1", "last_id"),
        ("/api/poll?last_id=", "last_id"),
        ("/api/poll?last_id=1&last_id=1", "last_id"),
        ("/api/poll?cursor=x", "cursor"),
        ("/api/poll?cursor=0000000000000001000000000000000G", "cursor"),
        ("/api/longpoll?timeout=inf", "timeout"),
        ("/api/longpoll?timeout=-inf", "timeout"),
        ("/api/longpoll?timeout=nan", "timeout"),
        ("/api/longpoll?timeout=NaN", "timeout"),
        ("/api/longpoll?timeout=infinity", "timeout"),
        ("/api/longpoll?timeout=", "timeout"),
        ("/api/longpoll?timeout=1s", "timeout"),
        ("/api/longpoll?timeout=+1", "timeout"),
        ("/api/longpoll?timeout=1&timeout=2", "timeout"),
        ("/api/stream?last_id=x", "last_id"),
        ("/api/stream?lastEventId=&lastEventId=", "lastEventId"),
        ("/api/stream?lastEventId=%ff", "lastEventId"),
        ("/api/push?cursor=x", "cursor"),
        ("/api/poll?channel=", "channel"),
        ("/api/poll?channel=%00", "channel"),
        ("/api/poll?channel=%ff", "channel"),
        ("/api/poll?channel=%7", "channel"),
        ("/api/poll?channel=a&channel=b&channel=", "channel"),
        ("/api/poll?channel=a&channel=b&last_id=1", "last_id"),
        ("/api/messages/%0a/1", "channel"),
        ("/api/messages/%zz/1", "channel"),
    ];
    for (target, name) in cases {
        let answer = world.get(target).await;
        assert_eq!(answer.status, 400, "{target}: {}", answer.text());
        assert_eq!(answer.field("content-type"), Some("application/problem+json"), "{target}");
        let detail = answer.json()["detail"].to_string();
        assert!(detail.contains(&format!("`{name}`")), "{target}: {detail}");
    }
    for name in ["content", "channel"] {
        let target = format!("/api/message?content=x&{name}=a&{name}=b");
        let answer = world.ask("POST", &target, &[], b"").await;
        assert_eq!(answer.status, 400, "{target}");
        assert!(answer.text().contains(name));
    }
    assert_eq!(
        world.get("/api/poll?other=1&other=2&x=%zz&%ff").await.status,
        200,
        "unknown ones are ignored"
    );
}

#[tokio::test(start_paused = true)]
async fn channel_names_are_any_text_of_1024_bytes() {
    let world = World::new();
    let longest = "é".repeat(512);
    for (written, name) in [
        ("a%2Fb", "a/b"),
        ("a+b", "a b"),
        ("%E2%98%83", "☃"),
        ("a%3Fb%23%26%3D%25%2B", "a?b#&=%+"),
        (&"%C3%A9".repeat(512), longest.as_str()),
    ] {
        let answer = world.ask("POST", &format!("/api/message?channel={written}&content=x"), &[], b"").await;
        assert_eq!(answer.status, 201, "{written}");
        assert_eq!(answer.json()["channel"], name);
        let location = answer.field("location").unwrap().to_owned();
        let message = world.get(&location).await;
        assert_eq!(message.json()["content"], "x", "{location}");
        assert_eq!(world.get(&format!("/api/poll?channel={written}")).await.contents(), [json!("x")]);
    }
    let long = "a".repeat(1025);
    for bad in [long.as_str(), "", "a%0Ab", "%7f", "%c2%85"] {
        let answer = world.ask("POST", &format!("/api/message?channel={bad}&content=x"), &[], b"").await;
        assert_eq!(answer.status, 400, "{bad}");
    }
}

#[tokio::test(start_paused = true)]
async fn heads_too_broken_or_too_large_get_a_bare_status() {
    let world = World::new();
    let large = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(17 * 1024));
    for (head, status) in [("GET\r\n\r\n", 400), ("GET / HTTP/1.1\r\nHost a\r\n\r\n", 400), (&large, 431)] {
        let mut wire = world.connect();
        wire.send_raw(head.as_bytes()).await;
        assert_eq!(wire.head().await.status, status);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_is_408_and_a_large_one_413() {
    let world = World::new();
    let mut wire = world.connect();
    wire.send_raw(b"POST /api/message HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab").await;
    let begun = world.millis();
    assert_eq!(wire.head().await.status, 408);
    assert!((10_000..10_020).contains(&(world.millis() - begun)));

    let body = "x".repeat(64 * 1024);
    for target in ["/api/message", "/publish", "/api/publish/c"] {
        let over = match target {
            "/api/message" => format!("{body}x"),
            "/publish" => format!(r#"{{"category":"c","data":"{body}"}}"#),
            _ => format!(r#"{{"a":"{body}"}}"#),
        };
        assert_eq!(world.post(target, "text/plain", &over).await.status, 413, "{target}");
    }
    assert_eq!(world.post("/api/message", "text/plain", &body).await.status, 201, "the limit itself is fine");
    let chunked = b"POST /api/message HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut wire = world.connect();
    wire.send_raw(chunked).await;
    wire.send_raw(format!("{:x}\r\n{body}\r\n1\r\nx\r\n0\r\n\r\n", body.len()).as_bytes()).await;
    assert_eq!(wire.head().await.status, 413);
}

#[tokio::test(start_paused = true)]
async fn a_draining_server_says_so_and_answers_those_that_wait() {
    let world = World::new();
    let cursor = world.publish("default", "x").await["cursor"].as_str().unwrap().to_owned();
    let poll = world.later(&format!("/api/longpoll?cursor={cursor}&timeout=60"));
    let events = world.later("/events?category=default&timeout=60");
    let mut kept = world.connect();
    kept.send("GET", "/healthz", &[], b"").await;
    kept.answer().await;
    let mut stream = world.connect();
    stream.open("/api/stream", &[]).await;
    assert_eq!(stream.json_line().await["type"], "connected");
    let mut sse = world.connect();
    sse.open("/api/stream", &[("accept", "text/event-stream")]).await;
    sse.chunk().await;
    world.until_waiting(4).await;

    world.drain.begin_unready();
    let unready = world.get("/readyz").await;
    assert_eq!((unready.status, unready.field("retry-after").is_some()), (503, true));
    assert_eq!(unready.field("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(unready.text(), "the server is going down\n");
    assert_eq!(world.metric("poll_refused_total{reason=\"unavailable\"}"), 1);
    assert_eq!(world.get("/api/poll").await.status, 200, "all else is served");

    let mut late = world.connect();
    late.send_raw(b"POST /api/message HTTP/1.1\r\nHost: a\r\nContent-Le").await;
    pass(1).await;
    let begun = world.millis();
    world.drain.begin(std::time::Duration::from_secs(5));
    late.send_raw(b"ngth: 1\r\n\r\nx").await;
    let refused = late.answer().await;
    assert_eq!((refused.status, refused.field("retry-after").is_some()), (503, true), "{}", refused.text());
    assert_eq!(refused.field("content-type"), Some("application/problem+json"));

    let poll = poll.await.unwrap();
    assert_eq!((poll.contents(), poll.cursor()), (vec![], cursor.clone()));
    assert_eq!(poll.field("connection"), Some("close"));
    assert!(
        events.await.unwrap().text().starts_with(r#"{"timeout":"no events before timeout","timestamp":"#)
    );
    let closed = stream.json_line().await;
    assert_eq!(closed, json!({"type": "closed", "reason": "draining", "cursor": cursor}));
    assert_eq!(stream.chunk().await, None);
    let data = format!(r#"{{"type":"closed","reason":"draining","cursor":"{cursor}"}}"#);
    assert_eq!(sse.chunk().await.unwrap(), format!("event: closed\nid: {cursor}\ndata: {data}\n\n"));
    assert_eq!(sse.chunk().await, None);
    assert!(world.millis() - begun <= 5_010, "all within the spread");
    assert_eq!(world.waiters(), 0);
    assert!(kept.is_closed().await);
}
