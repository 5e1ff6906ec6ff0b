//! Pushed messages, and what their readers get where push cannot be.

use std::future::poll_fn;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use http::Request;
use serde_json::{Value, json};

use crate::world::World;

async fn send(requests: &SendRequest<Bytes>, target: &str) -> ResponseFuture {
    let mut ready = requests.clone().ready().await.unwrap();
    ready.send_request(Request::get(format!("http://poll.test{target}")).body(()).unwrap(), true).unwrap().0
}

struct Lines(h2::RecvStream, Vec<u8>);

impl Lines {
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.1.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.1.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let data = self.0.data().await?.unwrap();
            self.0.flow_control().release_capacity(data.len()).unwrap();
            assert!(!data.is_empty(), "never an empty frame");
            self.1.extend(data);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_message_is_promised_and_named_on_the_main_stream() {
    let world = World::new();
    let requests = world.connect_http2(&Builder::new()).await;
    let mut response = send(&requests, "/api/push?channel=a%2Fb").await;
    let mut promises = response.push_promises();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.headers().get("push-policy").is_none());
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    let mut lines = Lines(response.into_body(), Vec::new());
    assert_eq!(lines.next().await.unwrap()["type"], "connected");
    for number in 1..=3 {
        let stamp = world.publish("a%2Fb", &format!("m{number}")).await;
        let cursor = stamp["cursor"].as_str().unwrap();
        let line = lines.next().await.unwrap();
        assert_eq!((&line["id"], &line["cursor"]), (&json!(number), &stamp["cursor"]));
        let promise = poll_fn(|cx| promises.poll_push_promise(cx)).await.unwrap().unwrap();
        let (request, pushed) = promise.into_parts();
        let path = format!("/api/messages/a%2Fb/{cursor}");
        assert_eq!((request.method().as_str(), request.uri().path()), ("GET", path.as_str()));
        let pushed = pushed.await.unwrap();
        assert_eq!(pushed.status(), 200);
        let fetched = world.get(&path).await;
        for field in ["content-type", "cache-control", "x-content-type-options", "date"] {
            assert_eq!(pushed.headers()[field], fetched.field(field).unwrap(), "{field}");
        }
        let body = pushed.into_body().data().await.unwrap().unwrap();
        assert_eq!(body, fetched.text(), "what is pushed is what would be fetched");
    }
}

#[tokio::test(start_paused = true)]
async fn without_push_messages_come_inline() {
    let world = World::new();
    let requests = world.connect_http2(Builder::new().enable_push(false)).await;
    let response = send(&requests, "/api/push?last_id=0").await.await.unwrap();
    assert_eq!(response.headers()["push-policy"], "none");
    let mut lines = Lines(response.into_body(), Vec::new());
    let mut wire = world.connect();
    let head = wire.open("/api/push?last_id=0", &[]).await;
    assert_eq!(head.field("push-policy"), Some("none"));
    let mut stream = world.connect();
    stream.open("/api/stream?last_id=0", &[]).await;
    for line in [lines.next().await.unwrap(), wire.json_line().await, stream.json_line().await] {
        assert_eq!(line["type"], "connected");
    }
    world.publish("default", "x").await;
    let (inline, line, streamed) =
        (lines.next().await.unwrap(), wire.json_line().await, stream.json_line().await);
    assert_eq!(streamed["message"], "x");
    assert_eq!((&inline, &line), (&streamed, &streamed), "as a stream gives it");
}

#[tokio::test(start_paused = true)]
async fn an_event_source_gets_events_whether_or_not_it_takes_pushes() {
    let world = World::new();
    let stamp = world.publish("default", "x").await;
    let cursor = stamp["cursor"].as_str().unwrap();
    let push = r#"{"type":"push","id":1,"cursor":""#;
    let update = r#"{"type":"update","counter":1,"id":1,"message":"x","cursor":""#;
    for (builder, policy, data) in
        [(Builder::new().enable_push(false), Some("none"), update), (&mut Builder::new(), None, push)]
    {
        let requests = world.connect_http2(builder).await;
        let mut ready = requests.clone().ready().await.unwrap();
        let request =
            Request::get("http://poll.test/api/push?last_id=0").header("accept", "text/event-stream");
        let response = ready.send_request(request.body(()).unwrap(), true).unwrap().0.await.unwrap();
        let fields = response.headers().clone();
        assert_eq!(fields.get("push-policy").map(|policy| policy.to_str().unwrap()), policy);
        assert_eq!(fields["content-type"], "text/event-stream");
        assert_eq!(fields["vary"], "Accept");
        let (mut body, mut text) = (response.into_body(), Vec::new());
        while text.windows(2).filter(|two| two == b"\n\n").count() < 2 {
            text.extend(body.data().await.unwrap().unwrap());
        }
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with("retry: "), "{text}");
        let event = if policy.is_some() { "" } else { "event: push\n" };
        assert!(text.contains(&format!("\n\n{event}id: {cursor}\ndata: {data}{cursor}\"")), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_no_promise_fits_messages_come_inline_and_none_is_lost() {
    let world = World::new();
    let requests = world.connect_http2(Builder::new().max_concurrent_streams(2)).await;
    let mut response = send(&requests, "/api/push?last_id=0").await;
    let mut promises = response.push_promises();
    let mut lines = Lines(response.await.unwrap().into_body(), Vec::new());
    lines.next().await.unwrap();
    world.post("/api/message", "application/x-ndjson", &"1\n".repeat(20)).await;
    let mut held = Vec::new();
    let mut inline = 0;
    for id in 1..=20 {
        let line = lines.next().await.unwrap();
        assert_eq!(line["id"], id, "each once, in order");
        if line["type"] == "update" {
            inline += 1;
        } else {
            held.push(poll_fn(|cx| promises.poll_push_promise(cx)).await.unwrap().unwrap());
        }
    }
    assert!(inline > 0 && !held.is_empty(), "{inline} inline");
}

#[tokio::test(start_paused = true)]
async fn polls_and_streams_are_the_same_over_http2() {
    let world = World::new();
    let requests = world.connect_http2(&Builder::new()).await;
    world.publish("default", "x").await;
    let response = send(&requests, "/api/poll").await.await.unwrap();
    assert!(response.headers().get("keep-alive").is_none(), "a field of HTTP/1.1 only");
    assert!(response.headers().contains_key("date"));
    let mut body = Lines(response.into_body(), Vec::new());
    while let Some(data) = body.0.data().await {
        body.1.extend(data.unwrap());
    }
    assert_eq!(body.1, world.get("/api/poll").await.body);
    let response = send(&requests, "/api/stream?last_id=0").await.await.unwrap();
    let mut lines = Lines(response.into_body(), Vec::new());
    assert_eq!(lines.next().await.unwrap()["type"], "connected");
    assert_eq!(lines.next().await.unwrap()["message"], "x");
    let waiting = send(&requests, "/api/longpoll?last_id=1&timeout=60").await;
    world.until_waiting(2).await;
    drop(waiting);
    world.until_waiting(1).await;
    let begun = world.millis();
    drop(lines);
    world.until_waiting(0).await;
    assert_eq!(world.millis(), begun, "a reset frees its place at once");
}
