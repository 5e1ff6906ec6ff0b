//! Where requests and answers end in HTTP/1.1: one is never read into the next, and what an answer says of its framing
//! and its connection is true.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use poll_http::{Body, ConnectionSettings, Drain, EarlyHintsHttp1, serve};
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

use crate::transport_toy::*;
use crate::world::{World, pass};

/// Plain requests without an engine, and all by the engine.
const WAYS: [EarlyHintsHttp1; 2] = [EarlyHintsHttp1::Off, EarlyHintsHttp1::On];

fn open(toy: Toy, way: EarlyHintsHttp1) -> (DuplexStream, Served) {
    pipe(toy, ConnectionSettings { early_hints_http1: way, ..ConnectionSettings::default() }, 1 << 20)
}

/// The heads of all final answers in what a client has got.
fn heads(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let begins = text.match_indices("HTTP/1.").map(|(at, _)| at).filter(|at| {
        let line = text.as_bytes()[*at..].get(8..12);
        line.is_some_and(|rest| {
            rest[0] == b' ' && rest[1..].iter().all(u8::is_ascii_digit) && rest[1] != b'1'
        })
    });
    begins.filter_map(|at| text[at..].split_once("\r\n\r\n")).map(|(head, _)| head.to_lowercase()).collect()
}

/// Fails if an answer contradicts itself about its body or its connection.
pub(crate) fn well_framed(bytes: &[u8]) {
    for head in heads(bytes) {
        let fields = |name: &str| {
            let lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
            lines.filter(|(other, _)| *other == name).map(|(_, value)| value.to_owned()).collect::<Vec<_>>()
        };
        let (length, coding) = (fields("content-length"), fields("transfer-encoding"));
        assert!(length.len() + coding.len() <= 1, "{head}");
        assert!(coding.iter().all(|coding| coding == "chunked"), "{head}");
        let bodiless = ["204", "304"].iter().any(|status| head[9..].starts_with(status));
        assert!(!bodiless || coding.is_empty(), "{head}");
        let (connection, kept) = (fields("connection"), fields("keep-alive"));
        let said = if head.starts_with("http/1.1") { "close" } else { "keep-alive" };
        assert!(connection.iter().all(|connection| connection == said), "{head}");
        if head.starts_with("http/1.1") {
            assert_eq!(connection.len() + kept.len(), 1, "either it closes or it is kept: {head}");
        } else {
            // Where nothing is said, HTTP/1.0 closes.
            assert_eq!((coding.len(), kept.len()), (0, 0), "{head}");
        }
        for never in ["upgrade", "te", "trailer", "proxy-connection"] {
            assert!(fields(never).is_empty(), "{head}");
        }
    }
}

/// Sends all of it, and gives what comes back until the connection closes.
async fn closing(toy: Toy, way: EarlyHintsHttp1, sent: &str) -> String {
    let (mut client, _served) = open(toy, way);
    send(&mut client, sent).await;
    let answer = read_all(&mut client).await;
    well_framed(answer.as_bytes());
    answer
}

const NEXT: &str = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
const LAST: &str = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

fn chunked(content: &str) -> String {
    format!("POST /api/message?channel=c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{content}")
}

#[tokio::test(start_paused = true)]
async fn a_bare_line_feed_in_trailers_swallows_nothing() {
    for trailers in ["X: y\n\r\n", "X: y\n\n", "\n", "X: y\r\n\n", "X: y\r\nZ\n\r\n", "X: y\rZ: w\r\n\r\n"] {
        let world = World::new();
        let mut wire = world.connect();
        let sent = format!("{}{NEXT}", chunked(&format!("2\r\nhi\r\n0\r\n{trailers}")));
        wire.send_raw(sent.as_bytes()).await;
        let answer = wire.answer().await;
        assert_eq!((answer.status, answer.field("connection")), (400, Some("close")), "{trailers:?}");
        assert!(wire.is_closed().await);
        assert_eq!(world.metric("poll_messages_published_total"), 0, "{trailers:?}");
        // Nobody has read the content here.
        for way in WAYS {
            let answer = closing(Toy::echo(), way, &sent).await;
            assert_eq!(heads(answer.as_bytes()).len(), 1, "{trailers:?} {answer}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn trailers_are_read_over_and_what_is_behind_them_is_answered() {
    for content in [
        "2\r\nhi\r\n0\r\n\r\n",
        "2;a=\"b\"\r\nhi\r\n0\r\nX: y\r\nZ:\r\n\r\n",
        "2\r\n\n\n\r\n02\r\n\r\n\r\n0;\r\nX: y\r\n\r\n",
    ] {
        let world = World::new();
        let mut wire = world.connect();
        let poll = "GET /api/poll?channel=c HTTP/1.1\r\nHost: a\r\n\r\n";
        // All at once, and byte by byte.
        wire.send_raw(format!("{}{poll}", chunked(content)).as_bytes()).await;
        for byte in format!("{}{poll}", chunked(content)).bytes() {
            wire.send_raw(&[byte]).await;
            pass(1).await;
        }
        for count in [1, 2] {
            assert_eq!(wire.answer().await.status, 201, "{content:?}");
            assert_eq!(wire.answer().await.contents().len(), count, "{content:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_unread_content_says_what_becomes_of_the_connection() {
    let post = |content: &str| format!("POST /x HTTP/1.1\r\nHost: a\r\n{content}");
    // All of it is here, so that it can be read over.
    let whole = [post("Content-Length: 2\r\n\r\nhi"), post("Content-Length: 0\r\n\r\n"), post("\r\n")];
    let large = "l".repeat(100_000);
    let cut = [
        post("Content-Length: 5\r\n\r\nhi"),
        post("Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"),
        post(&format!("Content-Length: 100000\r\n\r\n{large}")),
        post("Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"),
        post("Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
        // Processed by its chunks alone, and then closed (RFC 9112, section 6.1).
        post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
    ];
    for way in WAYS {
        for sent in &whole {
            let answers = closing(Toy::echo(), way, &format!("{sent}{LAST}")).await;
            let heads = heads(answers.as_bytes());
            assert_eq!(heads.len(), 2, "{answers}");
            assert!(heads[0].contains("\r\nkeep-alive: timeout=75"), "{answers}");
        }
        for sent in &cut {
            let answer = closing(Toy::echo(), way, sent).await;
            assert_eq!(heads(answer.as_bytes()).len(), 1, "{answer}");
            assert!(answer.contains("connection: close\r\n"), "{answer}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_asks_to_close_is_not_told_how_long_the_connection_is_kept() {
    for way in WAYS {
        for connection in
            ["close", "Close", "keep-alive, close", "x,close", "keep-alive\r\nConnection: close"]
        {
            let sent = format!("GET /x HTTP/1.1\r\nHost: a\r\nConnection: {connection}\r\n\r\n{NEXT}");
            let answer = closing(Toy::echo(), way, &sent).await;
            assert!(answer.contains("connection: close\r\n") && answer.ends_with("/x"), "{answer}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_a_draining_server_says_that_it_is_the_last() {
    for way in WAYS {
        let drain = Drain::new();
        let settings = ConnectionSettings { early_hints_http1: way, ..ConnectionSettings::default() };
        let (mut client, _served) = drained_pipe(Toy::echo(), settings, 1 << 16, drain.clone());
        client.write_all(NEXT.as_bytes()).await.unwrap();
        drain.begin(Duration::ZERO);
        let answer = read_all(&mut client).await;
        well_framed(answer.as_bytes());
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
}

/// A handler that has its own ideas about framing.
pub(crate) fn meddler(path: &str) -> Option<Response<Body>> {
    let (status, body, fields): (_, _, &[(&str, &str)]) = match path {
        "/sized-stream" => (200, streamed(&["one\n", "two\n"]), &[("content-length", "8")]),
        "/coded-stream" => (200, streamed(&["one\n"]), &[("transfer-encoding", "gzip, chunked")]),
        "/coded-body" => (200, Body::full("body"), &[("transfer-encoding", "chunked"), ("x", "y")]),
        "/coded-twice" => {
            (200, streamed(&["one\n"]), &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")])
        }
        "/both" => (200, streamed(&["one\n"]), &[("content-length", "4"), ("transfer-encoding", "chunked")]),
        "/short" => (200, Body::full("body"), &[("content-length", "2")]),
        "/long" => (200, Body::full("body"), &[("content-length", "9"), ("content-length", "x")]),
        "/none" => (200, Body::empty(), &[("content-length", "9")]),
        "/sized-204" => (204, Body::empty(), &[("content-length", "9")]),
        "/sized-304" => (304, Body::empty(), &[("content-length", "9")]),
        "/100" => (100, Body::empty(), &[]),
        "/101" => (101, Body::full("body"), &[("upgrade", "x"), ("connection", "upgrade")]),
        "/103" => (103, Body::empty(), &[("link", "</x>")]),
        "/hops" => (
            200,
            Body::full("body"),
            &[
                ("a", "1"),
                ("connection", "keep-alive, x"),
                ("b", "2"),
                ("keep-alive", "timeout=9"),
                ("proxy-connection", "keep-alive"),
                ("te", "trailers"),
                ("trailer", "x"),
                ("upgrade", "h2c"),
                ("c", "3"),
            ],
        ),
        "/closing-hops" => {
            (200, streamed(&["one\n"]), &[("connection", "x, Close"), ("keep-alive", "timeout=9")])
        }
        _ => return None,
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in fields {
        response.headers_mut().append(*name, HeaderValue::from_static(value));
    }
    Some(response)
}

/// All paths that it answers in its way.
pub(crate) const MEDDLED: &[&str] = &[
    "sized-stream",
    "coded-stream",
    "coded-body",
    "coded-twice",
    "both",
    "short",
    "long",
    "none",
    "sized-204",
    "sized-304",
    "100",
    "101",
    "103",
    "hops",
    "closing-hops",
];

fn streamed(pieces: &[&'static str]) -> Body {
    let (feed, body) = fed();
    pieces.iter().for_each(|piece| feed.send(data(piece)).unwrap());
    body
}

fn meddling() -> Toy {
    Toy::new(|request, _| now(meddler(request.uri().path()).unwrap()))
}

#[tokio::test(start_paused = true)]
async fn how_an_answer_ends_is_not_its_handlers_to_say() {
    for way in WAYS {
        for path in MEDDLED {
            for method in ["GET", "POST", "HEAD"] {
                let (mut client, _served) = open(meddling(), way);
                let close = "Connection: close\r\n";
                for (connection, field) in [("kept", ""), ("closed", close)] {
                    let request = format!("{method} /{path} HTTP/1.1\r\nHost: a\r\n{field}\r\n");
                    if client.write_all(request.as_bytes()).await.is_err() {
                        assert_eq!((connection, *path), ("closed", "closing-hops"));
                        continue;
                    }
                    let head = read_to(&mut client, "\r\n\r\n").await;
                    well_framed(head.as_bytes());
                    if method == "HEAD" || path.starts_with("sized-") && *path != "sized-stream" {
                        continue;
                    }
                    let length =
                        head.split("content-length: ").nth(1).map(|rest| rest.split_once('\r').unwrap().0);
                    match length {
                        Some(length) => {
                            let body = if *path == "none" || path.starts_with("10") { "" } else { "body" };
                            assert_eq!(length, body.len().to_string(), "{head}");
                            if !body.is_empty() {
                                assert_eq!(read_to(&mut client, body).await, body);
                            }
                        }
                        None => assert!(read_to(&mut client, "0\r\n\r\n").await.contains("one\n"), "{head}"),
                    }
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_say_how_long_the_body_is_that_head_does_not_send() {
    let toy = Toy::new(|request, _| {
        let mut response = Response::new(Body::empty());
        let length = request.uri().query().unwrap().to_owned();
        response.headers_mut().insert(header::CONTENT_LENGTH, length.parse().unwrap());
        now(response)
    });
    for (length, told) in [("12", "12"), ("x", "0"), ("-1", "0")] {
        let (mut client, _served) = connect(toy.clone());
        send(&mut client, &format!("HEAD /?{length} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let head = read_to(&mut client, "\r\n\r\n").await;
        well_framed(head.as_bytes());
        let said = head.split("content-length: ").nth(1).map(|rest| rest.split_once('\r').unwrap().0);
        assert_eq!(said.unwrap_or("0"), told, "{head}");
    }
}

#[tokio::test(start_paused = true)]
async fn fields_of_a_connection_stay_out_of_http_2() {
    for path in MEDDLED {
        let mut client = Http2::connect(meddling()).await;
        let answer = client.get(&format!("/{path}")).await.await.unwrap();
        for name in
            ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"]
        {
            assert!(!answer.headers().contains_key(name), "{path} {name}");
        }
        let said = answer.headers().get("content-length").map(|length| length.to_str().unwrap().to_owned());
        let status = answer.status().as_u16();
        // h2 ends a stream whose body is not as long as was said.
        let body = text(answer.into_body()).await;
        assert!(said.is_none_or(|said| said == body.len().to_string()), "{path}");
        assert_eq!(status == 500, path.starts_with("10"), "{path}");
    }
}

/// What may be sent of a request whose content then never comes.
const UNSENT: [&str; 7] = [
    "Content-Length: 5\r\n\r\n",
    "Content-Length: 5\r\n\r\nhi",
    "Content-Length: 100000\r\n\r\nhi",
    "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n",
    "Transfer-Encoding: chunked\r\n\r\n",
    "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
];

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_without_sending_all_of_its_content_frees_its_waiter_at_once() {
    for way in WAYS {
        for unsent in UNSENT {
            for target in
                ["/api/longpoll?timeout=60", "/api/stream", "/api/push", "/events?category=c&timeout=60"]
            {
                for half in [false, true] {
                    let world = World::new();
                    let (mut client, server) = tokio::io::duplex(1 << 16);
                    let settings =
                        ConnectionSettings { early_hints_http1: way, ..ConnectionSettings::default() };
                    let served = serve(
                        server,
                        peer(),
                        world.service.clone(),
                        Arc::new(world.service.connections(settings)),
                    );
                    let served = tokio::spawn(served);
                    send(&mut client, &format!("GET {target} HTTP/1.1\r\nHost: a\r\n{unsent}")).await;
                    world.until_waiting(1).await;
                    pass(1).await;
                    let begun = Instant::now();
                    if half {
                        client.shutdown().await.unwrap();
                    } else {
                        drop(client);
                    }
                    // An error or not.
                    let _ = served.await.unwrap();
                    assert_eq!(begun.elapsed(), Duration::ZERO, "{target} {unsent:?}");
                    assert_eq!(world.waiters(), 0, "{target} {unsent:?}");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn content_that_comes_late_does_not_hide_that_the_client_left() {
    for content in ["Content-Length: 100000", "Transfer-Encoding: chunked"] {
        let world = World::new();
        let mut wire = world.connect();
        let head = format!("GET /api/longpoll?timeout=60 HTTP/1.1\r\nHost: a\r\n{content}\r\n\r\n");
        wire.send_raw(head.as_bytes()).await;
        world.until_waiting(1).await;
        for _ in 0..10 {
            wire.send_raw(&[b'x'; 9_999]).await;
            pass(1).await;
        }
        assert_eq!(world.waiters(), 1);
        let begun = Instant::now();
        wire.leave().await;
        assert_eq!((world.waiters(), begun.elapsed()), (0, Duration::ZERO), "{content}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_behind_an_engines_answer_does_not_hide_that_the_client_left() {
    let world = World::new();
    for ahead in [NEXT, "GET /ne", "\r\n"] {
        let mut wire = world.connect();
        // With content, so that it goes to the engine.
        let request = "GET /api/longpoll?timeout=60 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
        wire.send_raw(format!("{request}{ahead}").as_bytes()).await;
        world.until_waiting(1).await;
        pass(1).await;
        let begun = Instant::now();
        wire.leave().await;
        assert_eq!((world.waiters(), begun.elapsed()), (0, Duration::ZERO), "{ahead:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_http_2_client_that_leaves_without_its_content_frees_its_waiter_at_once() {
    let world = World::new();
    for leaves in ["by reset", "with its connection"] {
        let (client, server) = tokio::io::duplex(1 << 16);
        let context = Arc::new(world.service.connections(ConnectionSettings::default()));
        let served = tokio::spawn(serve(server, peer(), world.service.clone(), context));
        let (mut requests, connection) = h2::client::handshake(client).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = http::Request::get("http://a/api/longpoll?timeout=60").body(()).unwrap();
        let (_answer, mut content) = requests.send_request(request, false).unwrap();
        content.send_data(Bytes::from_static(b"hi"), false).unwrap();
        world.until_waiting(1).await;
        if leaves == "by reset" {
            content.send_reset(h2::Reason::CANCEL);
            world.until_waiting(0).await;
        }
        connection.abort();
        drop((requests, content));
        let _ = served.await.unwrap();
        assert_eq!(world.waiters(), 0, "{leaves}");
    }
}
