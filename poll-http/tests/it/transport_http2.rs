//! HTTP/2 by a real client: streams, resets, windows, liveness.

use std::sync::Mutex;
use std::time::Duration;

use http::{HeaderValue, Request, Response, StatusCode};
use poll_http::{Body, ConnectionError, ConnectionInfo, ConnectionSettings, Drain, Protocol, RequestBody};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::transport_toy::*;

fn waiting(held: &Held) -> Toy {
    let held = held.clone();
    Toy::new(move |_, _| forever(&held))
}

/// `/big` is more than a window, `/feed` comes by a channel, all else is echoed.
fn mixed(feed: Body) -> Toy {
    let feed = Mutex::new(Some(feed));
    Toy::new(move |request: Request<RequestBody>, connection: &ConnectionInfo| {
        assert_eq!(connection.protocol, Protocol::Http2);
        let path = request.uri().path();
        now(Response::new(match path {
            "/big" => Body::full(vec![b'x'; 300_000]),
            "/feed" => feed.lock().unwrap().take().unwrap_or_default(),
            _ => Body::full(path.to_owned()),
        }))
    })
}

#[tokio::test(start_paused = true)]
async fn an_answer_has_date_and_length_and_no_field_of_http1() {
    let toy = Toy::new(|_, _| {
        let mut response = Response::new(Body::spliced(["a".into(), "bc".into(), "d".into()]));
        for name in ["connection", "keep-alive", "transfer-encoding", "upgrade"] {
            response.headers_mut().insert(name, HeaderValue::from_static("x"));
        }
        now(response)
    });
    let mut client = Http2::connect(toy).await;
    let response = client.get("/").await.await.unwrap();
    let mut names: Vec<_> = response.headers().keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "date"]);
    assert_eq!(response.headers()["content-length"], "4");
    assert_eq!(text(response.into_body()).await, "abcd");
}

#[tokio::test(start_paused = true)]
async fn bodiless_answers_end_with_their_head() {
    let toy = Toy::new(|request, _| {
        let (status, body) = match request.uri().path() {
            "/304" => (StatusCode::NOT_MODIFIED, Body::empty()),
            "/204" => (StatusCode::NO_CONTENT, Body::empty()),
            "/empty" => (StatusCode::OK, Body::empty()),
            _ => (StatusCode::OK, Body::full("four")),
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        now(response)
    });
    let mut client = Http2::connect(toy).await;
    for (method, path, length) in [
        ("GET", "/304", None),
        ("GET", "/204", None),
        ("GET", "/empty", Some("0")),
        ("HEAD", "/four", Some("4")),
    ] {
        let request = Request::builder().method(method).uri(format!("http://toy{path}")).body(()).unwrap();
        let response = client.send(request).await.await.unwrap();
        let said = response.headers().get("content-length").map(|length| length.to_str().unwrap());
        assert_eq!(said, length, "{method} {path}");
        assert!(response.body().is_end_stream(), "{method} {path}");
    }
}

#[tokio::test(start_paused = true)]
async fn pieces_come_as_they_are_made_and_none_is_empty() {
    let (feed, body) = fed();
    let mut client = Http2::connect(mixed(body)).await;
    let mut body = client.get("/feed").await.await.unwrap().into_body();
    for line in ["one\n", "two\n"] {
        feed.send(data(line)).unwrap();
        feed.send(data("")).unwrap();
        let part = body.data().await.unwrap().unwrap();
        assert_eq!(part, line);
    }
    drop(feed);
    // The end may be an empty frame, since only then it is known.
    assert!(body.data().await.is_none_or(|part| part.unwrap().is_empty()));
    assert!(body.is_end_stream());
}

#[tokio::test(start_paused = true)]
async fn no_data_frame_is_empty_but_the_last() {
    let (feed, body) = fed();
    let (mut client, _served) = connect(mixed(body));
    client.write_all(RAW_OPENING).await.unwrap();
    client.write_all(&raw_get(1, "/feed")).await.unwrap();
    for line in ["a\n", "", "b\n", ""] {
        feed.send(data(line)).unwrap();
    }
    drop(feed);
    let mut frames = Vec::new();
    while frames.last() != Some(&(0, true)) {
        let frame = raw_frame(&mut client).await;
        if frame.kind == 0 {
            frames.push((frame.payload.len(), frame.flags & 1 == 1));
        }
    }
    assert_eq!(frames, [(2, false), (2, false), (0, true)]);
}

#[tokio::test(start_paused = true)]
async fn head_and_body_of_a_ready_answer_leave_in_one_write() {
    let (client, writes, _served) = recorded(Toy::echo());
    let (requests, connection) = h2::client::handshake(client).await.unwrap();
    tokio::spawn(connection);
    let mut requests = requests.ready().await.unwrap();
    for path in ["/first", "/second", "/third"] {
        let request = Request::get(format!("http://toy{path}")).body(()).unwrap();
        let response = requests.send_request(request, true).unwrap().0.await.unwrap();
        assert_eq!(text(response.into_body()).await, path);
        let writes = writes.take();
        let holding = writes.iter().filter(|write| contains(write, path.as_bytes())).collect::<Vec<_>>();
        assert_eq!(holding.len(), 1);
        // HEADERS for the stream are in the same write as the DATA: the write begins or goes on with type 1.
        assert!(contains_frame(holding[0], 1) && contains_frame(holding[0], 0), "{:?}", holding[0]);
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Whether whole frames in a write include one of this type.
fn contains_frame(mut bytes: &[u8], kind: u8) -> bool {
    while let [a, b, c, this, ..] = *bytes {
        if this == kind {
            return true;
        }
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        bytes = bytes.get(9 + length..).unwrap_or_default();
    }
    false
}

#[tokio::test(start_paused = true)]
async fn a_reset_frees_its_handler_at_once_and_no_other() {
    let held = Held::default();
    let mut client = Http2::connect(waiting(&held)).await;
    let mut answers = Vec::new();
    for _ in 0..10 {
        answers.push(client.get("/").await);
    }
    held.until(10).await;
    // Dropping an answer's future resets its stream.
    answers.truncate(7);
    held.until(7).await;
    drop(answers);
    held.until(0).await;
    assert!(!client.served.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_reset_frees_a_body_at_once() {
    let held = Held::default();
    let (feed, body) = fed();
    let mut client = Http2::connect(mixed(body.on_end(held.clone().hold()))).await;
    let response = client.get("/feed").await.await.unwrap();
    feed.send(data("one\n")).unwrap();
    assert_eq!(held.count(), 1);
    drop(response);
    held.until(0).await;
    assert!(feed.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_frees_every_stream() {
    let held = Held::default();
    let mut client = Http2::connect(waiting(&held)).await;
    let mut answers = Vec::new();
    for _ in 0..100 {
        answers.push(client.get("/").await);
    }
    held.until(100).await;
    client.connection.abort();
    let _ = client.connection.await;
    drop((answers, client.requests));
    held.until(0).await;
    let _ = client.served.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn thousands_of_streams_share_a_connection() {
    let (go, gone) = tokio::sync::watch::channel(());
    let toy = Toy::new(move |request, _| {
        let mut gone = gone.clone();
        let path = request.uri().path().to_owned();
        Box::pin(async move {
            gone.changed().await.unwrap();
            Response::new(Body::full(path))
        })
    });
    let settings = ConnectionSettings { max_streams: 5_000, ..ConnectionSettings::default() };
    let mut builder = h2::client::Builder::new();
    builder.initial_connection_window_size(5 << 20).initial_max_send_streams(5_000);
    let mut client = Http2::with(toy, settings, Drain::new(), &builder).await;
    let mut answers = Vec::new();
    for n in 0..5_000 {
        answers.push(client.get(&format!("/{n}")).await);
    }
    go.send(()).unwrap();
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(text(answer.await.unwrap().into_body()).await, format!("/{n}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_over_the_limit_is_refused_and_harms_no_other() {
    let held = Held::default();
    let settings = ConnectionSettings { max_streams: 2, ..ConnectionSettings::default() };
    let (mut client, _served) = pipe(waiting(&held), settings, 1 << 16);
    client.write_all(RAW_OPENING).await.unwrap();
    for stream in [1, 3, 5] {
        client.write_all(&raw_get(stream, "/")).await.unwrap();
    }
    let reset = loop {
        let frame = raw_frame(&mut client).await;
        if frame.kind == 3 {
            break frame;
        }
    };
    // REFUSED_STREAM, which a client may retry.
    assert_eq!((reset.stream, reset.payload), (5, vec![0, 0, 0, 7]));
    held.until(2).await;
    // Its own reset makes a place.
    client.write_all(&[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8]).await.unwrap();
    held.until(1).await;
    client.write_all(&raw_get(7, "/")).await.unwrap();
    held.until(2).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_larger_than_the_window_comes_whole() {
    let (_feed, body) = fed();
    let mut client = Http2::connect(mixed(body)).await;
    let response = client.get("/big").await.await.unwrap();
    assert_eq!(text(response.into_body()).await.len(), 300_000);
}

#[tokio::test(start_paused = true)]
async fn a_stream_with_a_shut_window_holds_up_no_other_and_is_reset_in_time() {
    let (_feed, body) = fed();
    let mut builder = h2::client::Builder::new();
    builder.initial_connection_window_size(1 << 20);
    let mut client = Http2::with(mixed(body), ConnectionSettings::default(), Drain::new(), &builder).await;
    // Not read: its stream's window shuts after 64 KiB.
    let mut stalled = client.get("/big").await.await.unwrap().into_body();
    let begun = Instant::now();
    for n in 0..20 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let response = client.get(&format!("/{n}")).await.await.unwrap();
        assert_eq!(text(response.into_body()).await, format!("/{n}"));
    }
    let error = loop {
        match stalled.data().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("ended"),
        }
    };
    assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_secs(30) && waited < Duration::from_secs(31), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_head_over_the_limit_is_431_and_the_connection_goes_on() {
    let mut client = Http2::connect(Toy::echo()).await;
    // The server's settings are known by then, but h2's client does not hold itself to them.
    client.get("/one").await.await.unwrap();
    let long = "a".repeat(20 * 1024);
    let request = Request::get("http://toy/").header("x", long).body(()).unwrap();
    let response = client.send(request).await.await.unwrap();
    assert_eq!(response.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    client.get("/two").await.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_panic_resets_its_stream_only() {
    let toy = Toy::new(|request, _| match request.uri().path() {
        "/now" => panic!("in the call, as ordered"),
        "/later" => Box::pin(async { panic!("in the future, as ordered") }),
        "/body" => now(Response::new(Body::stream(Bomb))),
        _ => now(Response::new(Body::full("fine"))),
    });
    let mut client = Http2::connect(toy).await;
    for path in ["/now", "/later"] {
        let error = client.get(path).await.await.unwrap_err();
        assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR), "{path}");
    }
    // Head and reset leave together, so which of them the client sees first is its own affair.
    let reason = match client.get("/body").await.await {
        Ok(response) => response.into_body().data().await.unwrap().unwrap_err().reason(),
        Err(error) => error.reason(),
    };
    assert_eq!(reason, Some(h2::Reason::INTERNAL_ERROR));
    let response = client.get("/").await.await.unwrap();
    assert_eq!(text(response.into_body()).await, "fine");
}

#[tokio::test(start_paused = true)]
async fn request_bodies_of_many_small_frames_on_many_streams_are_read() {
    let toy = Toy::new(|request, _| {
        Box::pin(async move {
            let mut body = request.into_body();
            let mut length = 0;
            while let Some(frame) =
                std::future::poll_fn(|cx| http_body::Body::poll_frame(std::pin::Pin::new(&mut body), cx))
                    .await
            {
                length += frame.unwrap().into_data().unwrap().len();
            }
            Response::new(Body::full(length.to_string()))
        })
    });
    let mut client = Http2::connect(toy).await;
    let mut answers = Vec::new();
    for _ in 0..500 {
        let mut ready = client.requests.clone().ready().await.unwrap();
        let request = Request::post("http://toy/").body(()).unwrap();
        let (answer, mut body) = ready.send_request(request, false).unwrap();
        for _ in 0..3 {
            body.send_data("small".into(), false).unwrap();
        }
        body.send_data("".into(), true).unwrap();
        answers.push(answer);
    }
    for answer in answers {
        assert_eq!(text(answer.await.unwrap().into_body()).await, "15");
    }
    client.get("/").await.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn draining_finishes_what_is_open_and_takes_no_more() {
    let (feed, body) = fed();
    let drain = Drain::new();
    let builder = h2::client::Builder::new();
    let mut client = Http2::with(mixed(body), ConnectionSettings::default(), drain.clone(), &builder).await;
    let body = client.get("/feed").await.await.unwrap().into_body();
    drain.begin(Duration::ZERO);
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert!(!client.served.is_finished());
    assert!(client.requests.clone().ready().await.is_err(), "GOAWAY was sent");
    feed.send(data("last\n")).unwrap();
    drop(feed);
    assert_eq!(text(body).await, "last\n");
    client.served.await.unwrap().unwrap();
    client.connection.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn draining_closes_an_idle_connection_at_once() {
    let drain = Drain::new();
    let builder = h2::client::Builder::new();
    let mut client = Http2::with(Toy::echo(), ConnectionSettings::default(), drain.clone(), &builder).await;
    text(client.get("/one").await.await.unwrap().into_body()).await;
    let begun = Instant::now();
    drain.begin(Duration::ZERO);
    client.served.await.unwrap().unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_after_the_keep_alive_time() {
    let mut client = Http2::connect(Toy::echo()).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    text(client.get("/one").await.await.unwrap().into_body()).await;
    let begun = Instant::now();
    client.served.await.unwrap().unwrap();
    let kept = begun.elapsed();
    assert!(kept >= Duration::from_secs(75) && kept < Duration::from_secs(76), "{kept:?}");
    client.connection.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_waiting_stream_keeps_its_connection_as_long_as_the_peer_answers_pings() {
    let held = Held::default();
    let mut client = Http2::connect(waiting(&held)).await;
    let _answer = client.get("/").await;
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(held.count(), 1);
    assert!(!client.served.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_falls_silent_is_found_within_the_stall_limit() {
    let (mut client, served) = connect(Toy::echo());
    client.write_all(RAW_OPENING).await.unwrap();
    let begun = Instant::now();
    // Neither reads nor answers nor closes.
    assert!(matches!(served.await.unwrap(), Err(ConnectionError::Silent)));
    assert!(begun.elapsed() <= Duration::from_secs(31), "{:?}", begun.elapsed());
}
