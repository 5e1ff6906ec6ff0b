//! Content that is being received or published: it is on the account before it is kept, and until its answer.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::Request;
use poll_core::journal::{Mint, Minted, Taken};
use poll_core::{Append, Journal, Kind, Memory, Retention, Store};
use serde_json::Value;

use crate::world::{Wire, World, settle};

/// What every request with content costs at least.
const A_REQUEST: u64 = 1_024;

/// A request whose content has come only so far.
async fn begun(world: &World, target: &str, length: usize, came: usize) -> Wire {
    let mut wire = world.connect();
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: poll.test\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n"
    );
    wire.send_raw(head.as_bytes()).await;
    wire.send_raw(&vec![b'x'; came]).await;
    settle().await;
    wire
}

#[tokio::test(start_paused = true)]
async fn content_is_charged_as_it_comes_and_released_with_the_answer() {
    let world = World::budgeted(64 << 20);
    let mut wire = begun(&world, "/api/message", 60_000, 10).await;
    let first = world.used(Kind::Bodies);
    assert!((A_REQUEST..A_REQUEST + 100).contains(&first), "{first}: nothing for what was only announced");
    wire.send_raw(&[b'x'; 40_000]).await;
    settle().await;
    let more = world.used(Kind::Bodies);
    assert!((40_000..=2 * 40_000 + 2 * A_REQUEST).contains(&more), "{more}");
    wire.send_raw(&[b'x'; 19_990]).await;
    assert_eq!(wire.answer().await.status, 201);
    world.until_released(Kind::Bodies).await;

    // In chunks, and left in the middle.
    let mut wire = world.connect();
    wire.send_raw(b"POST /publish HTTP/1.1\r\nHost: poll.test\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    wire.send_raw(b"3e8\r\n").await;
    wire.send_raw(&[b'x'; 1_000]).await;
    settle().await;
    assert!(world.used(Kind::Bodies) >= A_REQUEST + 1_000);
    wire.leave().await;
    world.until_released(Kind::Bodies).await;
}

#[tokio::test(start_paused = true)]
async fn over_the_budget_content_is_refused_in_each_doors_words_and_small_posts_go_on() {
    // A quarter of it is for content.
    let world = World::budgeted(4 << 20);
    let mut wires = Vec::new();
    while world.refused_for_memory() == 0 {
        wires.push(begun(&world, "/api/message", 60_000, 50_000).await);
        assert!(wires.len() < 100, "a bound is reached");
    }
    assert!(world.used(Kind::Bodies) <= 1 << 20);
    assert!(wires.len() > 10, "{}", wires.len());
    let refused = wires.pop().expect("the last").answer().await;
    assert_eq!((refused.status, refused.field("retry-after")), (503, Some("1")));

    let counted = world.refused_for_memory();
    let doors = [
        ("/api/message", "application/problem+json", ""),
        ("/api/progress/job", "application/problem+json", ""),
        ("/publish", "application/json", "{\"error\": \""),
        ("/messages", "application/json", "{\"error\": \""),
        ("/api/publish/c", "application/json", "{\"error\":\""),
    ];
    let mut full = Vec::new();
    while full.len() < 2_000 && world.used(Kind::Bodies) + A_REQUEST <= 1 << 20 {
        full.push(begun(&world, "/api/message", 10, 0).await);
    }
    for (door, media, shape) in doors {
        let answer = begun(&world, door, 9_000, 0).await.answer().await;
        let told = (answer.status, answer.field("retry-after"), answer.field("content-type"));
        assert_eq!(told, (503, Some("1"), Some(media)), "{door}");
        assert!(answer.text().starts_with(shape), "{door}: {}", answer.text());
    }
    assert!(world.refused_for_memory() >= counted + 5);
    world.publish("c", "came with its head").await;
    assert_eq!(world.get("/api/poll?channel=c").await.contents().len(), 1);
    for wire in wires.into_iter().chain(full) {
        wire.leave().await;
    }
    world.until_released(Kind::Bodies).await;
}

/// A post over HTTP/2 whose content has come only so far.
async fn begun_http2(
    requests: &SendRequest<Bytes>,
    target: &str,
    came: usize,
) -> (ResponseFuture, h2::SendStream<Bytes>) {
    let request = Request::post(format!("http://poll.test{target}"))
        .header("content-type", "text/plain")
        .body(())
        .unwrap();
    let mut ready = requests.clone().ready().await.unwrap();
    let (response, mut stream) = ready.send_request(request, false).unwrap();
    stream.send_data(vec![b'1'; came].into(), false).unwrap();
    (response, stream)
}

#[tokio::test(start_paused = true)]
async fn one_connection_holds_its_share_of_content_and_no_more() {
    const SHARE: u64 = 2 << 20;
    let world = World::budgeted(64 << 20);
    let requests = world.connect_http2(&h2::client::Builder::new()).await;
    let mut open = Vec::new();
    for _ in 0..900 {
        open.push(begun_http2(&requests, "/api/message?channel=c", 60_000).await);
        settle_some().await;
    }
    settle().await;
    let used = world.used(Kind::Bodies);
    assert!((SHARE / 2..=SHARE).contains(&used), "{used}");
    let refused = world.refused_for_memory();
    assert!(refused > 800, "{refused}");
    let mut told = 0;
    for (response, _) in &mut open {
        let answered =
            std::future::poll_fn(|cx| std::task::Poll::Ready(std::pin::Pin::new(&mut *response).poll(cx)));
        if let std::task::Poll::Ready(response) = answered.await {
            assert_eq!(response.unwrap().status(), 503);
            told += 1;
        }
    }
    assert_eq!(told, refused);

    // The window of the connection is not used up by those who were refused, and others have theirs.
    world.publish("d", "another connection").await;
    drop(open);
    world.until_released(Kind::Bodies).await;
    let (response, mut stream) = begun_http2(&requests, "/api/message?channel=c", 60_000).await;
    stream.send_data(Bytes::from_static(b"\n"), true).unwrap();
    assert_eq!(response.await.unwrap().status(), 201);
    world.until_released(Kind::Bodies).await;
}

async fn settle_some() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_small_posts_at_once_are_no_reason_to_refuse_any() {
    let world = World::budgeted(64 << 20);
    let requests = world.connect_http2(&h2::client::Builder::new()).await;
    let mut open = Vec::new();
    for _ in 0..1_000 {
        open.push(begun_http2(&requests, "/api/message?channel=c", 3).await);
    }
    for (_, stream) in &mut open {
        stream.send_data(Bytes::from_static(b"\n"), true).unwrap();
    }
    for (response, _) in open {
        assert_eq!(response.await.unwrap().status(), 201);
    }
    world.until_released(Kind::Bodies).await;
}

/// Takes publishes and keeps them waiting.
#[derive(Default)]
struct Slow(Mutex<Vec<Append<Minted>>>);

impl Journal for Slow {
    fn append(&self, append: Append, mint: &mut Mint<'_>) -> Taken {
        self.0.lock().unwrap().push(mint.mint(append));
        Taken::Queued
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_the_journal_stays_on_the_account() {
    let slow = Arc::new(Slow::default());
    let memory = Memory::new(64 << 20);
    let world = World::over(Store::with_memory(slow.clone(), Retention::default(), memory));
    let mut one = world.connect();
    one.send("POST", "/api/message", &[("content-type", "text/plain")], &[b'x'; 3_000]).await;
    let mut other = begun(&world, "/api/message", 30_000, 30_000).await;
    settle().await;
    let used = world.used(Kind::Bodies);
    assert!((33_000 + 2 * A_REQUEST..70_000).contains(&used), "{used}");
    slow.0.lock().unwrap().drain(..).for_each(Append::<Minted>::kept);
    for wire in [&mut one, &mut other] {
        let answer = wire.answer().await;
        assert_eq!((answer.status, &answer.json()["channel"]), (201, &Value::from("default")));
    }
    world.until_released(Kind::Bodies).await;
}
