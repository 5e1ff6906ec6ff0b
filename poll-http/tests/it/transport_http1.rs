//! HTTP/1 on raw bytes: chunks, writes, deadlines, and clients that leave.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use poll_http::{
    Asset, Body, ConnectionSettings, EarlyHints, EarlyHintsHttp1, Piece, Preload, Promise, PushPolicy,
    RequestBody,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::transport_toy::*;

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";

fn streaming(body: Body) -> Toy {
    let body = std::sync::Mutex::new(Some(body));
    Toy::new(move |_, _| now(Response::new(body.lock().unwrap().take().unwrap_or_default())))
}

#[tokio::test(start_paused = true)]
async fn one_piece_is_one_chunk_in_one_write() {
    let (feed, body) = fed();
    let (mut client, writes, _served) = recorded(streaming(body));
    send(&mut client, GET).await;
    let head = read_to(&mut client, "\r\n\r\n").await;
    assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
    writes.take();
    for text in ["{\"n\":1}\n", "a message of more than sixteen bytes\n"] {
        feed.send(data(text)).unwrap();
        let chunk = format!("{:X}\r\n{text}\r\n", text.len());
        assert_eq!(read_to(&mut client, &chunk).await, chunk);
        assert_eq!(writes.take(), [chunk.as_bytes()]);
    }
    drop(feed);
    assert_eq!(read_to(&mut client, "0\r\n\r\n").await, "0\r\n\r\n");
    assert_eq!(writes.take(), [b"0\r\n\r\n"]);
}

#[tokio::test(start_paused = true)]
async fn pieces_that_are_ready_together_stay_chunks_of_their_own() {
    let (feed, body) = fed();
    for text in ["one\n", "two\n", "three\n"] {
        feed.send(data(text)).unwrap();
    }
    // An empty piece would be the end of the body on the wire.
    feed.send(Piece::Data(Bytes::new())).unwrap();
    drop(feed);
    let (mut client, writes, _served) = recorded(streaming(body));
    send(&mut client, GET).await;
    read_to(&mut client, "\r\n\r\n").await;
    let rest = "4\r\none\n\r\n4\r\ntwo\n\r\n6\r\nthree\n\r\n0\r\n\r\n";
    assert_eq!(read_to(&mut client, "0\r\n\r\n").await, rest);
    assert_eq!(writes.take().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn head_and_body_of_known_length_leave_in_one_write() {
    let toy = Toy::new(|request, _| {
        now(Response::new(match request.uri().path() {
            "/full" => Body::full("0123456789"),
            "/spliced" => Body::spliced(["012".into(), Bytes::new(), "3456789".into()]),
            _ => Body::empty(),
        }))
    });
    let (mut client, writes, _served) = recorded(toy);
    for (path, length, body) in
        [("/full", 10, "0123456789"), ("/spliced", 10, "0123456789"), ("/empty", 0, "")]
    {
        send(&mut client, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let answer = read_to(&mut client, &format!("\r\n\r\n{body}")).await;
        assert!(answer.contains(&format!("content-length: {length}\r\n")), "{answer}");
        assert!(answer.contains("date: "), "{answer}");
        assert_eq!(writes.take(), [answer.as_bytes()]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_request_gets_the_head_of_a_get() {
    let (mut client, _served) = connect(Toy::echo());
    send(&mut client, "HEAD /four HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let answer = read_all(&mut client).await;
    assert!(answer.contains("content-length: 5\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn http10_gets_a_body_that_ends_with_the_connection() {
    let (feed, body) = fed();
    let (mut client, _served) = connect(streaming(body));
    send(&mut client, "GET / HTTP/1.0\r\n\r\n").await;
    feed.send(data("one\n")).unwrap();
    feed.send(data("two\n")).unwrap();
    drop(feed);
    let answer = read_all(&mut client).await;
    assert!(!answer.contains("chunked") && answer.ends_with("\r\n\r\none\ntwo\n"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_push_goes_inline() {
    let (feed, body) = fed();
    let toy = {
        let body = std::sync::Mutex::new(Some(body));
        Toy::new(move |_, connection| {
            assert_eq!(connection.push, PushPolicy::Off);
            now(Response::new(body.lock().unwrap().take().unwrap()))
        })
    };
    let (mut client, _served) = connect(toy);
    send(&mut client, GET).await;
    let promise = Promise {
        path: "/m".into(),
        headers: HeaderMap::new(),
        body: "message".into(),
        announce: "announced\n".into(),
        inline: "inline\n".into(),
    };
    feed.send(Piece::Push(promise)).unwrap();
    drop(feed);
    let answer = read_to(&mut client, "0\r\n\r\n").await;
    assert!(answer.ends_with("\r\n\r\n7\r\ninline\n\r\n0\r\n\r\n"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_head_over_the_limit_is_431() {
    let (mut client, served) = connect(Toy::echo());
    let long = "a".repeat(16 * 1024);
    // More follows than is read: the answer must arrive all the same.
    send(&mut client, &format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}{long}{long}\r\n\r\n")).await;
    let answer = read_to(&mut client, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    drop(client);
    assert!(served.await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_head_within_the_limit_is_served() {
    let (mut client, _served) = connect(Toy::echo());
    let long = "a".repeat(15 * 1024);
    send(&mut client, &format!("GET /ok HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n")).await;
    assert!(read_to(&mut client, "/ok").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test(start_paused = true)]
async fn a_broken_head_is_400() {
    let (mut client, _served) = connect(Toy::echo());
    send(&mut client, "GET  /two-spaces HTTP/1.1\r\n\r\n").await;
    assert!(read_all(&mut client).await.starts_with("HTTP/1.1 400 "));
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_kept_for_the_keep_alive_time_after_each_answer() {
    let (mut client, served) = connect(Toy::echo());
    let mut answered = Instant::now();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(70)).await;
        send(&mut client, GET).await;
        read_to(&mut client, "/x").await;
        answered = Instant::now();
    }
    assert_eq!(read_all(&mut client).await, "");
    served.await.unwrap().unwrap();
    let kept = answered.elapsed();
    assert!(kept >= Duration::from_secs(75) && kept < Duration::from_secs(76), "{kept:?}");
}

/// Closed without an answer, 10 to 11 s after `begun`.
async fn cut_as_slow_head(mut client: tokio::io::DuplexStream, served: Served, begun: Instant) {
    assert_eq!(read_all(&mut client).await, "");
    assert!(served.await.unwrap().is_err());
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_secs(10) && waited < Duration::from_secs(11), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_head_has_ten_seconds_from_its_first_byte_however_it_trickles() {
    let (mut client, served) = connect(Toy::echo());
    send(&mut client, GET).await;
    read_to(&mut client, "/x").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let begun = Instant::now();
    for byte in "GET / HTT".bytes() {
        client.write_all(&[byte]).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    cut_as_slow_head(client, served, begun).await;
}

#[tokio::test(start_paused = true)]
async fn part_of_a_next_head_has_its_time_from_the_end_of_the_answer() {
    for together in [true, false] {
        let (feed, body) = fed();
        let (mut client, served) = connect(streaming(body));
        if together {
            send(&mut client, &format!("{GET}GET /ne")).await;
        } else {
            send(&mut client, GET).await;
            read_to(&mut client, "\r\n\r\n").await;
            send(&mut client, "GET /ne").await;
        }
        tokio::time::sleep(Duration::from_secs(50)).await;
        drop(feed);
        read_to(&mut client, "0\r\n\r\n").await;
        cut_as_slow_head(client, served, Instant::now()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn no_deadline_runs_while_a_request_is_answered() {
    let (feed, body) = fed();
    let (mut client, _served) = connect(streaming(body));
    send(&mut client, GET).await;
    read_to(&mut client, "\r\n\r\n").await;
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    feed.send(data("late\n")).unwrap();
    read_to(&mut client, "late\n\r\n").await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_takes_no_bytes_is_cut_and_everything_is_freed() {
    let held = Held::default();
    let (feed, body) = fed();
    let body = body.on_end(held.clone().hold());
    let (mut client, served) = pipe(streaming(body), ConnectionSettings::default(), 512);
    send(&mut client, GET).await;
    for _ in 0..100 {
        feed.send(data("a line that nobody reads\n")).unwrap();
    }
    held.until(1).await;
    let begun = Instant::now();
    assert!(served.await.unwrap().is_err());
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_secs(30) && waited < Duration::from_secs(31), "{waited:?}");
    assert_eq!(held.count(), 0);
    assert!(feed.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_that_makes_progress_is_not_cut() {
    let (feed, body) = fed();
    let (mut client, _served) = pipe(streaming(body), ConnectionSettings::default(), 256);
    send(&mut client, GET).await;
    for _ in 0..1_000 {
        feed.send(data("a line that is read slowly\n")).unwrap();
    }
    drop(feed);
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n0\r\n\r\n") {
        tokio::time::sleep(Duration::from_secs(20)).await;
        // As much as has to be taken in the stall limit, and a little more.
        let end = text.len() + 5_000;
        while text.len() < end && !text.ends_with(b"\r\n0\r\n\r\n") {
            let mut part = [0; 100];
            let count = client.read(&mut part).await.unwrap();
            assert!(count > 0, "cut");
            text.extend(&part[..count]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_drops_its_handler_at_once() {
    for half in [true, false] {
        let held = Held::default();
        let toy = {
            let held = held.clone();
            Toy::new(move |_, _| forever(&held))
        };
        let (mut client, served) = connect(toy);
        send(&mut client, GET).await;
        held.until(1).await;
        let begun = Instant::now();
        if half {
            client.shutdown().await.unwrap();
            let _ = served.await.unwrap();
        } else {
            drop(client);
            let _ = served.await.unwrap();
        }
        assert_eq!((held.count(), begun.elapsed()), (0, Duration::ZERO));
    }
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_are_answered_in_order() {
    let (mut client, _served) = connect(Toy::echo());
    let all: String = (1..=5).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    send(&mut client, &all).await;
    for n in 1..=5 {
        let answer = read_to(&mut client, &format!("\r\n\r\n/{n}")).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_reaches_the_handler() {
    let toy = Toy::new(|request, _| {
        Box::pin(async move {
            let body = http_body_bytes(request.into_body()).await;
            Response::new(Body::full(body))
        })
    });
    let (mut client, _served) = connect(toy);
    send(&mut client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").await;
    read_to(&mut client, "\r\n\r\nhello").await;
    send(&mut client, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
        .await;
    read_to(&mut client, "\r\n\r\nhi").await;
    // The connection is idle after that, not in a head.
    tokio::time::sleep(Duration::from_secs(60)).await;
    send(&mut client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
    read_to(&mut client, "\r\n\r\n").await;
}

async fn http_body_bytes(mut body: RequestBody) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(frame) =
        std::future::poll_fn(|cx| http_body::Body::poll_frame(std::pin::Pin::new(&mut body), cx)).await
    {
        bytes.extend(frame.unwrap().into_data().unwrap());
    }
    bytes
}

fn page() -> Preload {
    let asset = Asset {
        path: "/app.js".into(),
        headers: HeaderMap::new(),
        body: "js".into(),
        link: HeaderValue::from_static("</app.js>; rel=preload; as=script"),
    };
    Preload { assets: Arc::from([asset]) }
}

fn preloading() -> Toy {
    Toy::new(|request, connection| {
        let mut response = Response::new(Body::full(format!("{}!", request.uri().path())));
        response.extensions_mut().insert(page());
        response.headers_mut().insert(
            "x-early",
            HeaderValue::from_static(match connection.early_hints {
                EarlyHints::Informational => "yes",
                EarlyHints::None => "no",
            }),
        );
        now(response)
    })
}

#[tokio::test(start_paused = true)]
async fn early_hints_come_before_each_answer_where_they_are_on() {
    let on = ConnectionSettings { early_hints_http1: EarlyHintsHttp1::On, ..ConnectionSettings::default() };
    let (mut client, _served) = pipe(preloading(), on, 1 << 16);
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </app.js>; rel=preload; as=script\r\n\r\n";
    let all: String = (1..=3).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    send(&mut client, &all).await;
    for n in 1..=3 {
        let answer = read_to(&mut client, &format!("/{n}!")).await;
        assert!(answer.starts_with(&format!("{hints}HTTP/1.1 200 OK\r\n")), "{answer}");
        assert!(answer.contains("x-early: yes"), "{answer}");
    }
    send(&mut client, "GET /old HTTP/1.0\r\n\r\n").await;
    let answer = read_all(&mut client).await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.contains("x-early: no"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn early_hints_are_off_by_default() {
    let (mut client, _served) = connect(preloading());
    send(&mut client, GET).await;
    let answer = read_to(&mut client, "/x!").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_500_and_the_end_of_its_connection_only() {
    let toy = Toy::new(|request, _| match request.uri().path() {
        "/now" => panic!("in the call, as ordered"),
        "/later" => Box::pin(async { panic!("in the future, as ordered") }),
        _ => now(Response::new(Body::stream(Bomb))),
    });
    for path in ["/now", "/later"] {
        let (mut client, served) = connect(toy.clone());
        send(&mut client, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let answer = read_all(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        served.await.unwrap().unwrap();
    }
    let (mut client, served) = connect(toy);
    send(&mut client, GET).await;
    let answer = read_all(&mut client).await;
    // Broken off: no last chunk.
    assert!(!answer.contains("\r\n0\r\n"), "{answer}");
    assert!(served.await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_refused_body_does_not_cost_the_client_its_answer() {
    let toy = Toy::new(|_, _| {
        let mut response = Response::new(Body::full("too large"));
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        now(response)
    });
    let (mut client, _served) = connect(toy);
    send(&mut client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\nfirst bytes").await;
    let answer = read_to(&mut client, "too large").await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn guards_are_dropped_when_the_body_is_over() {
    let held = Held::default();
    let (feed, body) = fed();
    let body = body.on_end(held.clone().hold()).on_end(held.clone().hold());
    let (mut client, _served) = connect(streaming(body));
    send(&mut client, GET).await;
    read_to(&mut client, "\r\n\r\n").await;
    assert_eq!(held.count(), 2);
    drop(feed);
    read_to(&mut client, "0\r\n\r\n").await;
    held.until(0).await;
}
