//! HTTP/2 connections whose peer does not take what it is given: bounded each by itself and all together, told, and
//! nothing lost once the peer goes on.

use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use http::{Request, Response};
use poll_core::Kind;
use serde_json::Value;

use crate::world::{World, pass, settle};

/// A client that gives its streams no window.
fn shut() -> Builder {
    let mut builder = Builder::new();
    builder.initial_window_size(0).initial_connection_window_size(16 << 20);
    builder
}

/// A client that takes all that comes.
fn open() -> Builder {
    let mut builder = Builder::new();
    builder.initial_window_size(8 << 20).initial_connection_window_size(1 << 30);
    builder
}

async fn get(requests: &SendRequest<Bytes>, target: &str) -> ResponseFuture {
    let request = Request::get(format!("http://poll.test{target}")).body(()).unwrap();
    requests.clone().ready().await.unwrap().send_request(request, true).unwrap().0
}

/// The head of an answer, if it is there.
async fn head(response: &mut ResponseFuture) -> Option<Response<RecvStream>> {
    let polled = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *response).poll(cx))).await;
    if let Poll::Ready(head) = polled { Some(head.unwrap()) } else { None }
}

async fn text(mut body: RecvStream) -> String {
    let mut text = Vec::new();
    while let Some(part) = body.data().await {
        let part = part.unwrap();
        body.flow_control().release_capacity(part.len()).unwrap();
        text.extend_from_slice(&part);
    }
    String::from_utf8(text).unwrap()
}

fn count(answer: &str) -> u64 {
    serde_json::from_str::<Value>(answer).unwrap()["count"].as_u64().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_thousand_large_polls_with_the_window_shut_hold_one_connections_part() {
    const SHARE: u64 = 16 << 20;
    let world = World::budgeted(4 * SHARE);
    world.fill("big", 1_000, &"\u{1}".repeat(4_096)).await;
    let requests = world.connect_http2(&shut()).await;
    let (mut answers, mut peak) = (Vec::new(), 0);
    for number in 0..1_000 {
        // None of them up to the newest message, so that no two share anything.
        answers.push(get(&requests, &format!("/api/poll?channel=big&last_id={}", number % 700)).await);
        // Some come one by one and some in crowds.
        if number < 10 || number % 100 == 0 {
            settle().await;
            peak = peak.max(world.used(Kind::Answers));
        }
    }
    settle().await;
    peak = peak.max(world.used(Kind::Answers));
    assert!((SHARE / 10..SHARE / 4).contains(&peak), "{peak}");
    let (mut given, mut told) = (Vec::new(), 0);
    for answer in &mut answers {
        let response = head(answer).await.expect("every question is answered or refused at once");
        match response.status().as_u16() {
            200 => given.push(response.into_body()),
            503 => {
                assert_eq!(response.headers()["retry-after"], "1");
                assert!(response.body().is_end_stream(), "what needs window would be kept as well");
                told += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(given.len() as u64 + told, 1_000);
    assert_eq!(world.refused_for_memory(), told);
    assert!(given.len() > 1, "{}", given.len());

    // Others have their answers, small and large, and this one may publish and is let in again when it reads.
    assert_eq!(world.get("/api/poll?channel=big").await.json()["count"], 256);
    world.publish("other", "x").await;
    drop(answers);
    for mut body in given {
        body.flow_control().release_capacity(0).unwrap();
        drop(body);
    }
    world.until_released(Kind::Answers).await;
    let requests = world.connect_http2(&open()).await;
    let answer = get(&requests, "/api/poll?channel=big").await.await.unwrap();
    assert_eq!(count(&text(answer.into_body()).await), 256);
}

#[tokio::test(start_paused = true)]
async fn large_answers_whose_window_stays_shut_are_cut_in_time() {
    let world = World::budgeted(64 << 20);
    world.fill("big", 300, &"x".repeat(4_096)).await;
    let requests = world.connect_http2(&shut()).await;
    let answer = get(&requests, "/api/poll?channel=big&last_id=1").await;
    let mut body = answer.await.unwrap().into_body();
    assert!(world.used(Kind::Answers) > 1 << 20);
    pass(29_000).await;
    assert!(world.used(Kind::Answers) > 1 << 20);
    pass(2_000).await;
    world.until_released(Kind::Answers).await;
    assert_eq!(body.data().await.unwrap().unwrap_err().reason(), Some(Reason::CANCEL));
}

#[tokio::test(start_paused = true)]
async fn a_full_socket_holds_up_all_and_loses_nothing() {
    let world = World::budgeted(1 << 30);
    world.fill("big", 100, &"x".repeat(4_096)).await;
    let requests = world.connect_http2_through(16 * 1024, &open()).await;
    let mut answers = Vec::new();
    for number in 0..100 {
        let answer = get(&requests, &format!("/api/poll?channel=big&last_id={number}")).await;
        let expected = 100 - number;
        answers.push(tokio::spawn(async move {
            let answer = answer.await.unwrap();
            assert_eq!(answer.status(), 200, "{number}");
            assert_eq!(count(&text(answer.into_body()).await), expected);
        }));
    }
    for answer in answers {
        answer.await.unwrap();
    }
    world.until_released(Kind::Answers).await;
}

#[tokio::test(start_paused = true)]
async fn waiters_are_given_no_more_than_their_connection_takes_and_nothing_is_lost() {
    let world = World::budgeted(64 << 20);
    // 64 KiB for all streams together until somebody reads.
    let requests = world.connect_http2(&Builder::new()).await;
    let mut answers = Vec::new();
    for number in 0..300 {
        answers.push(get(&requests, &format!("/api/longpoll?channel=c{number}&timeout=60")).await);
    }
    world.until_waiting(300).await;
    for number in 0..300 {
        world.fill(&format!("c{number}"), 1, &"x".repeat(60_000)).await;
    }
    settle().await;
    let used = world.used(Kind::Answers);
    assert!(used < 8 << 20, "{used}");
    assert!(world.waiters() > 200, "{} wait for those before them to be read", world.waiters());
    let read = answers.into_iter().map(async |answer| {
        let answer = answer.await.unwrap();
        assert_eq!((answer.status().as_u16(), count(&text(answer.into_body()).await)), (200, 1));
    });
    futures_util::future::join_all(read).await;
    world.until_released(Kind::Answers).await;
}

#[tokio::test(start_paused = true)]
async fn streams_are_given_no_more_than_their_connection_takes_and_nothing_is_lost() {
    let world = World::budgeted(64 << 20);
    let requests = world.connect_http2(&Builder::new()).await;
    let mut streams = Vec::new();
    for number in 0..300 {
        streams
            .push(get(&requests, &format!("/api/stream?channel=c{number}")).await.await.unwrap().into_body());
    }
    world.until_waiting(300).await;
    for number in 0..300 {
        world.fill(&format!("c{number}"), 2, &"x".repeat(60_000)).await;
    }
    settle().await;
    let used = world.used(Kind::Answers);
    assert!(used < 8 << 20, "{used}");
    let read = streams.into_iter().map(async |mut body| {
        let mut lines = String::new();
        while lines.matches("\"update\"").count() < 2 || !lines.ends_with('\n') {
            let part = body.data().await.unwrap().unwrap();
            body.flow_control().release_capacity(part.len()).unwrap();
            lines.push_str(std::str::from_utf8(&part).unwrap());
        }
    });
    futures_util::future::join_all(read).await;
    world.until_released(Kind::Answers).await;
}

#[tokio::test(start_paused = true)]
async fn large_messages_with_the_window_shut_hold_one_connections_part() {
    const SHARE: u64 = 16 << 20;
    let world = World::budgeted(4 * SHARE);
    world.fill("large", 100, &"\u{1}".repeat(10_000)).await;
    let requests = world.connect_http2(&shut()).await;
    let mut answers = Vec::new();
    for number in 0..900 {
        answers.push(get(&requests, &format!("/api/messages/large/{}", number % 100 + 1)).await);
    }
    settle().await;
    let used = world.used(Kind::Answers);
    assert!(used < SHARE / 4, "{used}");
    let mut told = 0;
    for answer in &mut answers {
        told += u64::from(head(answer).await.expect("an answer at once").status() == 503);
    }
    assert!(told > 800 && world.refused_for_memory() == told, "{told}");
    assert_eq!(world.get("/api/messages/large/1").await.status, 200);
}
