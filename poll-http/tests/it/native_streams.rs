//! Streams of the native dialect, as chunks on the wire: lines, server-sent events, jobs, and their ends.

use poll_core::Retention;
use poll_http::ServiceSettings;
use serde_json::{Value, json};

use crate::world::{Wire, World, pass};

const EVENTS: (&str, &str) = ("accept", "text/event-stream");

fn keys(line: &Value) -> Vec<&str> {
    line.as_object().unwrap().keys().map(String::as_str).collect()
}

async fn opened(world: &World, target: &str, fields: &[(&str, &str)]) -> Wire {
    let mut wire = world.connect();
    wire.open(target, fields).await;
    wire
}

#[tokio::test(start_paused = true)]
async fn one_message_is_one_chunk_and_one_line() {
    let world = World::new();
    let old = world.publish("default", "before").await;
    let mut wire = opened(&world, "/api/stream", &[]).await;
    let connected = wire.json_line().await;
    assert_eq!(keys(&connected), ["client_id", "cursor", "timestamp", "type"]);
    assert_eq!((&connected["type"], &connected["cursor"]), (&json!("connected"), &old["cursor"]));
    let stamp = world.publish("default", "now").await;
    let cursor = stamp["cursor"].as_str().unwrap();
    let expected = format!(
        "{{\"type\":\"update\",\"counter\":2,\"id\":2,\"message\":\"now\",\"cursor\":\"{cursor}\",\"timestamp\":{}}}\n",
        stamp["timestamp"]
    );
    assert_eq!(wire.chunk().await.unwrap(), expected, "a stream without a position starts at now");
    // Several at once are still a chunk each.
    world.post("/api/message", "application/x-ndjson", "{\"a\":\"\\n\"}\n4\n5\n").await;
    for id in 3..=5 {
        assert_eq!(wire.json_line().await["id"], id);
    }
    world.ask("POST", "/api/message", &[], b"\xff").await;
    let bytes = wire.json_line().await;
    assert_eq!((&bytes["message"], &bytes["encoding"]), (&json!("/w=="), &json!("base64")));

    let mut backlog = opened(&world, "/api/stream?last_id=0", &[]).await;
    assert_eq!(backlog.json_line().await["cursor"].as_str().unwrap()[16..], *"0".repeat(16));
    for id in 1..=6 {
        assert_eq!(backlog.json_line().await["id"], id);
    }
    let mut resumed = opened(&world, &format!("/api/stream?cursor={cursor}"), &[]).await;
    resumed.json_line().await;
    assert_eq!(resumed.json_line().await["id"], 3);
}

#[tokio::test(start_paused = true)]
async fn silence_is_broken_by_heartbeats() {
    let world = World::new();
    let cursor = world.publish("default", "x").await["cursor"].as_str().unwrap().to_owned();
    let mut wire = opened(&world, "/api/stream", &[]).await;
    wire.chunk().await;
    let mut sse = opened(&world, "/api/stream", &[EVENTS]).await;
    sse.chunk().await;
    let begun = world.millis();
    for beat in 1..=3u64 {
        let line = wire.chunk().await.unwrap();
        assert_eq!(line, format!("{{\"type\":\"heartbeat\",\"cursor\":\"{cursor}\"}}\n"));
        let late = world.millis() - begun - beat * 15_000;
        assert!(late < 10 * beat, "{late}");
        // A blank line would make an empty message of it for some.
        assert_eq!(sse.chunk().await.unwrap(), ": heartbeat\n");
    }
    pass(10_000).await;
    world.publish("default", "y").await;
    let told = world.millis();
    assert_eq!(wire.json_line().await["type"], "update");
    assert_eq!(wire.json_line().await["type"], "heartbeat");
    assert!(world.millis() - told >= 15_000, "only where nothing was sent for so long");
}

#[tokio::test(start_paused = true)]
async fn events_are_framed_for_an_eventsource() {
    let world = World::new();
    let mut wire = world.connect();
    let head = wire.open("/api/stream", &[("accept", "text/html, text/event-stream;q=0.9")]).await;
    assert_eq!(head.field("content-type"), Some("text/event-stream"));
    assert_eq!(head.field("cache-control"), Some("no-cache, no-transform"));
    let first = wire.chunk().await.unwrap();
    assert!(first.starts_with("retry: "), "{first:?}");
    assert!(first.contains("\nevent: connected\n") && first.ends_with("}\n\n"), "{first:?}");
    let stamp = world.publish("default", "a\nb").await;
    let cursor = stamp["cursor"].as_str().unwrap();
    let data = format!(
        r#"{{"type":"update","counter":1,"id":1,"message":"a\nb","cursor":"{cursor}","timestamp":{}}}"#,
        stamp["timestamp"]
    );
    assert_eq!(wire.chunk().await.unwrap(), format!("id: {cursor}\ndata: {data}\n\n"), "no event field");
    world.publish("default", "c").await;

    let ways: [(&str, &[(&str, &str)]); 4] = [
        ("/api/stream", &[EVENTS, ("last-event-id", cursor)]),
        (&format!("/api/stream?lastEventId={cursor}"), &[EVENTS]),
        (&format!("/api/stream?last_id=0&lastEventId={cursor}"), &[EVENTS]),
        (&format!("/api/stream?cursor={cursor}"), &[EVENTS]),
    ];
    for (target, fields) in ways {
        let mut resumed = opened(&world, target, fields).await;
        resumed.chunk().await;
        assert!(resumed.chunk().await.unwrap().contains(r#""id":2,"message":"c""#), "{target}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_is_a_line_of_its_own() {
    let world = World::retaining(Retention { messages: 2, ..Retention::default() });
    let first = world.publish("default", "1").await["cursor"].as_str().unwrap().to_owned();
    for text in ["2", "3", "4", "5"] {
        world.publish("default", text).await;
    }
    let at = |seq: u64| format!("{}{seq:016x}", &first[..16]);
    let mut wire = opened(&world, &format!("/api/stream?cursor={first}"), &[]).await;
    assert_eq!(wire.json_line().await["cursor"], at(1));
    assert_eq!(
        wire.chunk().await.unwrap(),
        format!("{{\"type\":\"reset\",\"missed\":2,\"cursor\":\"{}\"}}\n", at(3))
    );
    assert_eq!(wire.json_line().await["id"], 4);

    let other = format!("{:032x}", 1u128 << 64 | 9);
    let mut wire = opened(&world, &format!("/api/stream?cursor={other}"), &[]).await;
    wire.chunk().await;
    assert_eq!(wire.chunk().await.unwrap(), format!("{{\"type\":\"reset\",\"cursor\":\"{}\"}}\n", at(3)));
    assert_eq!(wire.json_line().await["id"], 4);

    let mut sse = opened(&world, "/api/stream?last_id=9", &[EVENTS]).await;
    sse.chunk().await;
    let data = format!("{{\"type\":\"reset\",\"cursor\":\"{}\"}}", at(3));
    assert_eq!(sse.chunk().await.unwrap(), format!("event: reset\nid: {}\ndata: {data}\n\n", at(3)));
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_channel_and_an_eventsource_stays_away() {
    let world = World::new();
    let job = "channel=progress%2Fj";
    let mut wire = opened(&world, &format!("/api/stream?{job}"), &[]).await;
    wire.chunk().await;
    let mut sse = opened(&world, &format!("/api/stream?{job}"), &[EVENTS]).await;
    sse.chunk().await;
    world.post("/api/progress/j", "application/json", r#"{"step":1,"total":1,"status":"done"}"#).await;
    let update = wire.json_line().await;
    let cursor = update["cursor"].as_str().unwrap();
    let closed = format!(r#"{{"type":"closed","reason":"ended","cursor":"{cursor}"}}"#);
    assert_eq!(wire.chunk().await.unwrap(), format!("{closed}\n"));
    assert_eq!(wire.chunk().await, None, "a clean end");
    sse.chunk().await;
    assert_eq!(sse.chunk().await.unwrap(), format!("event: closed\nid: {cursor}\ndata: {closed}\n\n"));
    assert_eq!(sse.chunk().await, None);

    for (target, fields) in [
        (format!("/api/stream?{job}"), vec![EVENTS, ("last-event-id", cursor)]),
        (format!("/api/stream?{job}&lastEventId={cursor}"), vec![EVENTS]),
        (format!("/api/push?{job}"), vec![EVENTS, ("last-event-id", cursor)]),
        (format!("/api/stream?{job}&format=sse&cursor={cursor}"), vec![]),
        ("/api/progress/j".to_owned(), vec![EVENTS, ("last-event-id", cursor)]),
    ] {
        let over = world.ask("GET", &target, &fields, b"").await;
        assert_eq!((over.status, over.body.len()), (204, 0), "{target}");
        assert_eq!(over.field("content-type"), None);
        assert_eq!(over.field("vary"), Some("Accept"), "in lines there is an answer");
        assert_eq!(over.field("cache-control"), Some("no-store"));
    }
    let zero = "0".repeat(32);
    let mut again = opened(&world, &format!("/api/stream?{job}"), &[EVENTS, ("last-event-id", &zero)]).await;
    again.chunk().await;
    assert!(again.chunk().await.unwrap().contains(r#""status":"done""#), "there is still something to give");
}

#[tokio::test(start_paused = true)]
async fn an_event_id_that_is_no_cursor_is_a_reset_from_the_oldest() {
    let world = World::new();
    let first = world.publish("default", "1").await["cursor"].as_str().unwrap().to_owned();
    world.publish("default", "2").await;
    let zero = format!("{}{:016x}", &first[..16], 0);
    let data = format!(r#"{{"type":"reset","cursor":"{zero}"}}"#);
    let reset = format!("event: reset\nid: {zero}\ndata: {data}\n\n");
    let ways: [(&str, &[(&str, &str)]); 5] = [
        ("/api/stream", &[EVENTS, ("last-event-id", "17")]),
        ("/api/stream", &[EVENTS, ("last-event-id", "\u{e9}")]),
        ("/api/stream?lastEventId=other-server&last_id=1", &[EVENTS]),
        ("/api/push?lastEventId=other-server", &[EVENTS]),
        (&format!("/api/stream?cursor={first}"), &[EVENTS, ("last-event-id", "x")]),
    ];
    for (target, fields) in ways {
        let mut wire = opened(&world, target, fields).await;
        let connected = wire.chunk().await.unwrap();
        assert!(
            !connected.contains("\nid: "),
            "a client that is cut off here comes back to be told: {connected}"
        );
        assert_eq!(wire.chunk().await.unwrap(), reset, "{target} {fields:?}");
        for id in [1, 2] {
            assert!(wire.chunk().await.unwrap().contains(&format!(r#""id":{id},"#)), "{target}");
        }
    }
    // Of a channel or a job that is still to come as well.
    let mut unborn = opened(&world, "/api/stream?channel=new", &[EVENTS, ("last-event-id", "x")]).await;
    unborn.chunk().await;
    assert!(unborn.chunk().await.unwrap().starts_with("event: reset\n"));
    world.publish("new", "first").await;
    assert!(unborn.chunk().await.unwrap().contains(r#""message":"first""#));
    world.post("/api/progress/j", "application/json", r#"{"step":1,"total":1,"status":"done"}"#).await;
    let mut job = opened(&world, "/api/progress/j", &[EVENTS, ("last-event-id", "x")]).await;
    assert!(job.chunk().await.unwrap().starts_with("event: reset\n"));
    assert!(job.chunk().await.unwrap().contains(r#""status":"done""#));
    assert_eq!(job.chunk().await, None);
}

#[tokio::test(start_paused = true)]
async fn what_stays_open_is_framed_as_it_is_asked_for() {
    let world = World::new();
    world.publish("default", "x").await;
    world.post("/api/progress/j", "application/json", r#"{"step":1,"total":2}"#).await;
    let (lines, events) = ("application/x-ndjson", "text/event-stream");
    let asked: [(&str, Option<&str>, &str); 14] = [
        ("", None, lines),
        ("", Some("*/*"), lines),
        ("", Some("application/json, text/plain, */*"), lines),
        ("", Some("text/event-stream"), events),
        ("", Some("text/event-stream, */*"), events),
        ("", Some("Text/Event-Stream; q=0.2, text/html"), events),
        ("", Some("text/*"), events),
        ("", Some("text/event-stream;q=0.5, application/x-ndjson"), lines),
        ("", Some("application/x-ndjson;q=0.5, text/event-stream;q=0.9"), events),
        ("", Some("text/event-stream;q=0, */*"), lines),
        ("", Some("text/*;q=0.9, text/event-stream;q=0.1, */*;q=0.5"), lines),
        ("format=sse", None, events),
        ("format=sse", Some("application/x-ndjson"), events),
        ("format=lines", Some("text/event-stream"), lines),
    ];
    for target in ["/api/stream?last_id=0", "/api/push?last_id=0", "/api/progress/j?", "/api/progress?"] {
        for (query, accept, media) in asked {
            let fields: Vec<_> = accept.map(|accept| ("accept", accept)).into_iter().collect();
            let target = format!("{target}&{query}");
            let mut wire = world.connect();
            let head = wire.open(&target, &fields).await;
            assert_eq!(head.field("content-type"), Some(media), "{target} {accept:?}");
            assert_eq!(head.field("vary"), Some("Accept"), "{target} {accept:?}");
            let first = wire.chunk().await.unwrap();
            assert_eq!(first.starts_with('{'), media == lines, "{target} {accept:?}: {first}");
            let headed = world.ask("HEAD", &target, &fields, b"").await;
            assert_eq!(headed.field("content-type"), Some(media), "HEAD {target} {accept:?}");
        }
    }
    for malformed in
        ["stream?format=xml", "push?format=", "progress?format=SSE", "progress/j?format=sse&format=sse"]
    {
        let mut wire = world.connect();
        wire.send("GET", &format!("/api/{malformed}"), &[], b"").await;
        let head = wire.head().await;
        assert_eq!(head.status, 400, "{malformed}");
        let problem = wire.body_of(head).await.json();
        assert!(problem["detail"].to_string().contains("`format`"), "{malformed}: {problem}");
    }
    // Elsewhere it means nothing.
    assert_eq!(world.get("/api/poll?format=x&format=y").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_job_is_told_from_its_first_step_to_its_last() {
    let world = World::new();
    let mut early = opened(&world, "/api/progress/j", &[]).await;
    let report = async |body: &str| {
        assert_eq!(world.post("/api/progress/j", "application/json", body).await.status, 202);
    };
    report(r#"{"step":1,"total":4,"message":"one"}"#).await;
    let one = "{\"step\":1,\"total\":4,\"percentage\":25,\"message\":\"one\",\"timestamp\":\"2026-11-20T22:49:38.000000Z\"}\n";
    assert_eq!(early.chunk().await.unwrap(), one, "a job not yet reported on waits");
    report(r#"{"step":2,"total":4,"status":"busy"}"#).await;
    let mut late = opened(&world, "/api/progress/j", &[]).await;
    assert_eq!(late.chunk().await.unwrap(), one, "all past steps first");
    let mut sse = opened(&world, "/api/progress/j", &[EVENTS]).await;
    assert!(sse.chunk().await.unwrap().contains(&format!("data: {}\n", one.trim_end())));
    for wire in [&mut early, &mut late] {
        let two = wire.json_line().await;
        assert_eq!((&two["percentage"], &two["status"]), (&json!(50), &json!("busy")));
    }
    report(r#"{"step":4,"total":4,"status":"done"}"#).await;
    for wire in [&mut early, &mut late] {
        let last = wire.json_line().await;
        assert_eq!((&last["percentage"], &last["status"]), (&json!(100), &json!("done")));
        assert_eq!(wire.chunk().await, None, "a clean end after the line with the status");
    }
    assert_eq!(world.waiters(), 0);
}

/// Anybody who may publish can put anything into a job's channel, through any door.
#[tokio::test(start_paused = true)]
async fn what_is_no_step_neither_ends_a_job_nor_speaks_for_the_stream() {
    let world = World::new();
    let report = async |body: &str| {
        assert_eq!(world.post("/api/progress/j", "application/json", body).await.status, 202);
    };
    let foreign = async || {
        for (content_type, body) in [
            ("application/json", r#"{"status":"done"}"#),
            ("application/json", r#"{"type":"closed","reason":"draining","cursor":"x"}"#),
            ("application/json", r#"[{"step":1,"total":2}]"#),
            ("text/plain", "{\"step\":1,\"total\":2}"),
            ("application/x-ndjson", "1\n{\"step\":2}\nnull"),
            ("", "bytes"),
        ] {
            let answer = world.post("/api/message?channel=progress%2Fj", content_type, body).await;
            assert_eq!(answer.status, 201);
        }
        let event = r#"{"category":"progress/j","data":{"status":"failed"}}"#;
        assert_eq!(world.post("/publish", "", event).await.status, 200);
        assert_eq!(world.post("/api/publish/progress%2Fj", "", r#"{"status":"done"}"#).await.status, 200);
    };
    // One alone, and two who are written to together.
    let mut readers = vec![opened(&world, "/api/progress/j", &[]).await];
    foreign().await;
    report(r#"{"step":1,"total":4}"#).await;
    for _ in 0..2 {
        readers.push(opened(&world, "/api/progress/j", &[]).await);
    }
    let mut sse = opened(&world, "/api/progress/j", &[EVENTS]).await;
    assert!(sse.chunk().await.unwrap().contains(r#"data: {"step":1,"#), "{}", "past what is no step");
    for wire in &mut readers {
        assert_eq!(wire.json_line().await["step"], 1);
    }
    pass(10).await;
    foreign().await;
    // A step like any other but for its door: it does not end the channel, so it is not the last.
    let spoof = r#"{"type":"closed","step":2,"total":4,"percentage":9,"message":"two","status":"done"}"#;
    world.post("/api/message?channel=progress%2Fj", "application/json", spoof).await;
    for wire in &mut readers {
        let line = wire.json_line().await;
        assert_eq!(keys(&line), ["message", "percentage", "step", "timestamp", "total"]);
        assert_eq!((&line["step"], &line["percentage"]), (&json!(2), &json!(50)));
    }
    // Nothing was said to them meanwhile, so they hear that the stream lives as if nothing had been published.
    for _ in 0..4 {
        pass(4_000).await;
        foreign().await;
    }
    for wire in &mut readers {
        assert_eq!(wire.json_line().await["type"], "heartbeat");
    }
    report(r#"{"step":4,"total":4,"status":"done"}"#).await;
    for wire in &mut readers {
        assert_eq!(wire.json_line().await["status"], "done");
        assert_eq!(wire.chunk().await, None);
    }
    let mut late = opened(&world, "/api/progress/j", &[]).await;
    for (step, status) in [(1, Value::Null), (2, Value::Null), (4, json!("done"))] {
        let line = late.json_line().await;
        assert_eq!((&line["step"], &line["status"]), (&json!(step), &status));
    }
    assert_eq!(late.chunk().await, None);
    let all = world.get("/api/poll?channel=progress%2Fj&limit=1000").await.json();
    assert_eq!(all["count"], 3 + 6 * 10, "a poll of the channel sees everything");
}

#[tokio::test(start_paused = true)]
async fn the_demonstration_is_ten_steps_a_second_apart_and_complete() {
    let world = World::new();
    let begun = world.millis();
    let mut wire = opened(&world, "/api/progress", &[]).await;
    for step in 1..=10u64 {
        let line = wire.json_line().await;
        let at = world.millis() - begun;
        assert!((1_000 * (step - 1)..1_000 * (step - 1) + 20).contains(&at), "step {step} at {at}");
        assert_eq!(keys(&line), ["message", "percentage", "step", "timestamp", "total"]);
        assert_eq!(
            (&line["step"], &line["total"], &line["percentage"]),
            (&json!(step), &json!(10), &json!(step * 10))
        );
        assert_eq!(line["message"], format!("Processing step {step} of 10"));
    }
    let last = wire.chunk().await.unwrap();
    let (before, _) = last.split_once(",\"timestamp\"").unwrap();
    assert_eq!(before, r#"{"step":10,"total":10,"percentage":100,"message":"Complete!","status":"done""#);
    assert_eq!(wire.chunk().await, None);

    let world = World::set(ServiceSettings { demo_jobs: 2, ..ServiceSettings::default() });
    let _running = [opened(&world, "/api/progress", &[]).await, opened(&world, "/api/progress", &[]).await];
    let refused = world.get("/api/progress").await;
    assert_eq!((refused.status, refused.field("retry-after").is_some()), (429, true));
    pass(11_100).await;
    opened(&world, "/api/progress", &[]).await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_falls_behind_is_told_how_far() {
    let world = World::retaining(Retention { messages: 10, ..Retention::default() });
    let mut wire = opened(&world, "/api/stream?last_id=0", &[]).await;
    wire.chunk().await;
    let large = "x".repeat(60_000);
    // More than the pipe and the server's buffers hold, so that the reader's place is overtaken.
    for _ in 0..200 {
        world.publish("default", &large).await;
    }
    let (mut last, mut missed) = (0, 0);
    while last < 200 {
        let line = wire.json_line().await;
        match line["type"].as_str().unwrap() {
            "reset" => missed += line["missed"].as_u64().unwrap(),
            _ => {
                let id = line["id"].as_u64().unwrap();
                assert_eq!(id, last + missed + 1, "in order, and every hole told");
                (last, missed) = (id, 0);
            }
        }
    }
}
