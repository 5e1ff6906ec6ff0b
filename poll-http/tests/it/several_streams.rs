//! Streams and pushes of several channels: a line a message with its channel, and one cursor over all.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use h2::client::Builder;
use http::Request;
use poll_core::Retention;
use poll_core::journal::{Fault, FaultKind, Health};
use poll_http::{Drain, Phase};
use serde_json::{Value, json};

use crate::shelf::Shelf;
use crate::world::{Wire, World, pass};

const THREE: &str = "channel=a&channel=b&channel=c";
const EVENTS: (&str, &str) = ("accept", "text/event-stream");

async fn opened(world: &World, target: &str, fields: &[(&str, &str)]) -> Wire {
    let mut wire = world.connect();
    wire.open(target, fields).await;
    wire
}

fn cursor(line: &Value) -> String {
    line["cursor"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn each_message_is_a_line_and_a_chunk_with_its_channel_and_a_cursor_over_all() {
    let world = World::new();
    world.publish("a", "before").await;
    let mut wire = opened(&world, &format!("/api/stream?{THREE}"), &[]).await;
    let connected = wire.json_line().await;
    assert_eq!(connected["type"], "connected");
    let mut cursors = vec![cursor(&connected)];
    world.until_waiting(1).await;
    assert_eq!(world.store.notifier().waiting(), 3);
    for (channel, id) in [("b", 1), ("a", 2), ("c", 1), ("a", 3)] {
        pass(1).await;
        let stamp = world.publish(channel, "x").await;
        let chunk = wire.chunk().await.unwrap();
        let line: Value = serde_json::from_str(&chunk).unwrap();
        let token = cursor(&line);
        let expected = format!(
            r#"{{"type":"update","channel":"{channel}","counter":{id},"id":{id},"message":"x","cursor":"{token}","timestamp":{}}}"#,
            stamp["timestamp"]
        );
        assert_eq!(chunk, format!("{expected}\n"));
        cursors.push(token);
    }
    // Whichever line it was cut off after, it resumes behind it.
    for (given, token) in cursors.iter().enumerate() {
        let mut resumed = opened(&world, &format!("/api/stream?{THREE}&cursor={token}"), &[]).await;
        assert_eq!(resumed.json_line().await["type"], "connected");
        for (channel, id) in [("b", 1), ("a", 2), ("c", 1), ("a", 3)].into_iter().skip(given) {
            let line = resumed.json_line().await;
            assert_eq!((&line["channel"], &line["id"]), (&json!(channel), &json!(id)));
        }
        world.until_waiting(2).await;
        resumed.leave().await;
        world.until_waiting(1).await;
    }
    wire.leave().await;
    world.until_waiting(0).await;
    world.until_registered(0).await;
}

#[tokio::test(start_paused = true)]
async fn a_backlog_comes_in_order_of_time_and_then_what_is_new() {
    let world = World::new();
    for number in 0..40 {
        world.publish(["a", "b", "c"][number % 3], &number.to_string()).await;
        pass(1).await;
    }
    let start = world.get("/api/poll?channel=x&channel=y").await.cursor();
    // A token that knows none of them: a stream starts now.
    let mut now = opened(&world, &format!("/api/stream?{THREE}&cursor={start}"), &[]).await;
    now.json_line().await;
    let zero = "0".repeat(32);
    let mut all = opened(&world, &format!("/api/stream?{THREE}&cursor={zero}"), &[]).await;
    all.json_line().await;
    for number in 0..40 {
        assert_eq!(all.json_line().await["message"], number.to_string());
    }
    world.until_waiting(2).await;
    world.publish("c", "new").await;
    for wire in [&mut all, &mut now] {
        assert_eq!(wire.json_line().await["message"], "new");
    }
}

#[tokio::test(start_paused = true)]
async fn events_are_framed_and_resumed_by_the_compound_token() {
    let world = World::new();
    let mut wire = opened(&world, &format!("/api/stream?{THREE}"), &[EVENTS]).await;
    let first = wire.chunk().await.unwrap();
    assert!(first.starts_with("retry: ") && first.contains("\nevent: connected\nid: m1-"), "{first}");
    world.publish("b", "1").await;
    let event = wire.chunk().await.unwrap();
    let (id, data) = event.trim_end().split_once("\ndata: ").unwrap();
    let token = id.strip_prefix("id: ").unwrap();
    assert_eq!(cursor(&serde_json::from_str(data).unwrap()), token);
    world.publish("c", "2").await;
    let target = format!("/api/stream?{THREE}");
    let with_id = format!("{target}&lastEventId={token}");
    let ways: [(&str, Vec<(&str, &str)>); 2] =
        [(&target, vec![EVENTS, ("last-event-id", token)]), (&with_id, vec![EVENTS])];
    for (target, fields) in ways {
        let mut resumed = opened(&world, target, &fields).await;
        resumed.chunk().await;
        assert!(resumed.chunk().await.unwrap().contains(r#""channel":"c","counter":1,"id":1,"message":"2""#));
    }
    // What is no token of ours is a reset of all.
    let mut strange = opened(&world, &target, &[EVENTS, ("last-event-id", "m1-else")]).await;
    assert!(!strange.chunk().await.unwrap().contains("\nid: "), "who is cut off here is told later");
    for channel in ["a", "b", "c"] {
        let event = strange.chunk().await.unwrap();
        assert!(event.starts_with("event: reset\nid: m1-"), "{event}");
        assert!(event.contains(&format!(r#"{{"type":"reset","channel":"{channel}","cursor":"#)), "{event}");
    }
    assert!(strange.chunk().await.unwrap().contains(r#""message":"1""#));
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_is_told_by_channel_and_never_forgotten_in_between() {
    let world = World::retaining(Retention { messages: 2, ..Retention::default() });
    world.fill("a", 1, "a").await;
    world.fill("b", 1, "b").await;
    let token = world.get("/api/poll?channel=a&channel=b").await.cursor();
    world.fill("a", 4, "a").await;
    world.fill("b", 5, "b").await;
    let mut wire = opened(&world, &format!("/api/stream?channel=a&channel=b&cursor={token}"), &[]).await;
    wire.json_line().await;
    let (first, second) = (wire.json_line().await, wire.json_line().await);
    for (line, channel, missed) in [(&first, "a", 2), (&second, "b", 3)] {
        assert_eq!((&line["type"], &line["channel"]), (&json!("reset"), &json!(channel)));
        assert_eq!(line["missed"], missed);
    }
    // Cut off between the two: only the second is told again.
    let again = format!("/api/stream?channel=a&channel=b&cursor={}", cursor(&first));
    let mut resumed = opened(&world, &again, &[]).await;
    resumed.json_line().await;
    assert_eq!(resumed.json_line().await, second);
    assert_eq!(resumed.json_line().await["type"], "update");
    // The same for resets.
    let restarted = world.restarted();
    let mut wire = opened(&restarted, &format!("/api/stream?channel=a&channel=b&cursor={token}"), &[]).await;
    let connected = wire.json_line().await;
    let first = wire.json_line().await;
    assert_eq!(
        (&first["type"], &first["channel"], first.get("missed")),
        (&json!("reset"), &json!("a"), None)
    );
    for (from, resets) in [(cursor(&connected), vec!["a", "b"]), (cursor(&first), vec!["b"])] {
        let mut resumed =
            opened(&restarted, &format!("/api/stream?channel=a&channel=b&cursor={from}"), &[]).await;
        resumed.json_line().await;
        for channel in resets {
            let line = resumed.json_line().await;
            assert_eq!((&line["type"], &line["channel"]), (&json!("reset"), &json!(channel)));
        }
        restarted.publish("a", "live").await;
        assert_eq!(resumed.json_line().await["message"], "live");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_all_its_channels_have_and_an_eventsource_stays_away() {
    let world = World::new();
    let jobs = "channel=progress%2F1&channel=progress%2F2";
    let done = r#"{"step":1,"total":1,"status":"done"}"#;
    let mut wire = opened(&world, &format!("/api/stream?{jobs}"), &[]).await;
    wire.json_line().await;
    world.until_waiting(1).await;
    world.post("/api/progress/1", "application/json", done).await;
    assert_eq!(wire.json_line().await["channel"], "progress/1");
    world.until_waiting(1).await;
    world.post("/api/progress/2", "application/json", done).await;
    let last = wire.json_line().await;
    assert_eq!(last["channel"], "progress/2");
    let closed = wire.json_line().await;
    assert_eq!((&closed["type"], &closed["reason"]), (&json!("closed"), &json!("ended")));
    assert_eq!(cursor(&closed), cursor(&last));
    assert_eq!(wire.chunk().await, None);
    for pattern in ["stream", "push"] {
        let target = format!("/api/{pattern}?{jobs}&format=sse&cursor={}", cursor(&closed));
        assert_eq!(world.get(&target).await.status, 204);
    }
    assert_eq!((world.waiters(), world.store.notifier().waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_has_a_cursor_that_is_fresh_for_all() {
    let world = World::new();
    let mut wire = opened(&world, &format!("/api/stream?{THREE}"), &[]).await;
    let mut sse = opened(&world, &format!("/api/stream?{THREE}"), &[EVENTS]).await;
    wire.json_line().await;
    sse.chunk().await;
    world.publish("a", "1").await;
    world.publish("c", "2").await;
    let (_, last) = (wire.json_line().await, wire.json_line().await);
    let (told, mut beats) = (world.millis(), Vec::new());
    for _ in 0..2 {
        beats.push(wire.chunk().await.unwrap());
    }
    let expected = format!("{{\"type\":\"heartbeat\",\"cursor\":\"{}\"}}\n", cursor(&last));
    assert_eq!(beats, [expected.clone(), expected]);
    assert!((30_000..30_100).contains(&(world.millis() - told)));
    for _ in 0..2 {
        sse.chunk().await;
    }
    assert_eq!(sse.chunk().await.unwrap(), ": heartbeat\n");
}

#[tokio::test(start_paused = true)]
async fn a_drain_answers_polls_and_ends_streams_of_lists() {
    let world = World::new();
    let mut wire = opened(&world, &format!("/api/stream?{THREE}"), &[]).await;
    let connected = wire.json_line().await;
    let poll = world.later(&format!("/api/longpoll?{THREE}&timeout=40"));
    world.until_waiting(2).await;
    let begun = world.millis();
    world.drain.begin(Duration::from_secs(2));
    assert!(matches!(Drain::phase(&world.drain), Phase::Draining { .. }));
    let closed = wire.json_line().await;
    assert_eq!((&closed["type"], &closed["reason"]), (&json!("closed"), &json!("draining")));
    assert_eq!(cursor(&closed), cursor(&connected));
    let answer = poll.await.unwrap();
    assert_eq!((answer.status, &answer.json()["count"]), (200, &json!(0)));
    assert!(world.millis() - begun <= 2_100);
    assert_eq!((world.waiters(), world.store.notifier().waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stalled_store_is_told_to_lists_too() {
    let (shelf, store) = Shelf::store(2, &[]);
    let world = World::over(store);
    let mut wire = opened(&world, "/api/stream?channel=x&channel=y", &[]).await;
    let connected = wire.json_line().await;
    world.until_waiting(1).await;
    shelf.health.send_replace(Health::Away(Fault::new(FaultKind::Failing, "away")));
    let stalled = wire.json_line().await;
    assert_eq!((stalled["type"].clone(), cursor(&stalled)), (json!("stalled"), cursor(&connected)));
    shelf.health.send_replace(Health::Ready);
    assert_eq!(wire.json_line().await["type"], "resumed");
}

#[tokio::test(start_paused = true)]
async fn each_message_of_each_channel_is_promised() {
    let world = World::new();
    let requests = world.connect_http2(&Builder::new()).await;
    let mut ready = requests.clone().ready().await.unwrap();
    let request = Request::get("http://poll.test/api/push?channel=a%2Fb&channel=c");
    let mut response = ready.send_request(request.body(()).unwrap(), true).unwrap().0;
    let mut promises = response.push_promises();
    let response = response.await.unwrap();
    assert!(response.headers().get("push-policy").is_none());
    let mut body = response.into_body();
    let mut line = async || -> Value {
        let data: Bytes = body.data().await.unwrap().unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        serde_json::from_slice(&data).unwrap()
    };
    assert_eq!(line().await["type"], "connected");
    let mut last = String::new();
    for (channel, path) in [("a/b", "a%2Fb"), ("c", "c"), ("a/b", "a%2Fb")] {
        let stamp = world.publish(path, "x").await;
        let announced = line().await;
        assert_eq!((&announced["type"], &announced["channel"]), (&json!("push"), &json!(channel)));
        assert_eq!(announced["id"], stamp["id"]);
        last = cursor(&announced);
        assert!(last.starts_with("m1-"));
        let promise = poll_fn(|cx| promises.poll_push_promise(cx)).await.unwrap().unwrap();
        let (request, pushed) = promise.into_parts();
        let path = format!("/api/messages/{path}/{}", stamp["cursor"].as_str().unwrap());
        assert_eq!(request.uri().path(), path);
        let pushed = pushed.await.unwrap().into_body().data().await.unwrap().unwrap();
        assert_eq!(pushed, world.get(&path).await.text(), "what is pushed is what would be fetched");
    }
    assert_eq!(
        world.get(&format!("/api/poll?channel=a%2Fb&channel=c&cursor={last}")).await.json()["count"],
        0
    );
    // Where push is off, as a stream has it.
    let mut inline = opened(&world, "/api/push?channel=a%2Fb&channel=c", &[]).await;
    inline.json_line().await;
    let mut stream = opened(&world, "/api/stream?channel=a%2Fb&channel=c", &[]).await;
    stream.json_line().await;
    world.publish("c", "y").await;
    let update = inline.json_line().await;
    assert_eq!((&update["type"], &update["channel"]), (&json!("update"), &json!("c")));
    assert_eq!(update, stream.json_line().await);
}
