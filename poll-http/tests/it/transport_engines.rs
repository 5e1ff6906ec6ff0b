//! The direct path of HTTP/1.1 beside the engine: to the same bytes both answer the same bytes, at the same time.
//!
//! A connection with early hints goes to the engine from its first byte, and without them only once a request is not
//! plain. Whatever a client sends, and however it is cut, it must not be able to tell the two apart but by `Date`.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use poll_http::{Body, ConnectionSettings, Drain, EarlyHintsHttp1, Handle, Piece, Promise, serve};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};

use crate::transport_framing::{MEDDLED, meddler, well_framed};
use crate::transport_toy::*;
use crate::world::World;

/// What the client of one connection has got so far.
#[derive(Clone, Default, PartialEq, Eq)]
struct Seen {
    bytes: Vec<u8>,
    closed: bool,
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "closed {}: {:?}", self.closed, String::from_utf8_lossy(&self.bytes))
    }
}

/// One connection, read as fast as it answers.
struct Line {
    writer: WriteHalf<DuplexStream>,
    seen: Arc<Mutex<Seen>>,
    served: Served,
}

impl Line {
    fn open<H: Handle>(handler: H, hints: EarlyHintsHttp1, drain: Drain, capacity: usize) -> Self {
        let (client, server) = tokio::io::duplex(capacity);
        let settings = ConnectionSettings { early_hints_http1: hints, ..ConnectionSettings::default() };
        let served = tokio::spawn(serve(server, peer(), handler, context(settings, drain)));
        let (reader, writer) = tokio::io::split(client);
        let seen = Arc::new(Mutex::new(Seen::default()));
        tokio::spawn(read_on(reader, Arc::clone(&seen)));
        Self { writer, seen, served }
    }

    /// What the client has got, without the time of day and the ids of its requests.
    fn seen(&self) -> Seen {
        let mut seen = self.seen.lock().unwrap().clone();
        let fields =
            [("\r\ndate: ", "Thu, 01 Jan 1970 00:00:00 GMT"), ("\r\nx-request-id: ", "0123456789abcdef")];
        for (name, value) in fields {
            let mut from = 0;
            while let Some(at) =
                seen.bytes[from..].windows(name.len()).position(|part| part == name.as_bytes())
            {
                from += at + name.len();
                let end = seen.bytes.len().min(from + value.len());
                seen.bytes[from..end].fill(b'-');
            }
        }
        seen
    }
}

async fn read_on(mut reader: ReadHalf<DuplexStream>, seen: Arc<Mutex<Seen>>) {
    let mut part = vec![0; 1 << 16];
    while let Ok(count @ 1..) = reader.read(&mut part).await {
        seen.lock().unwrap().bytes.extend(&part[..count]);
    }
    seen.lock().unwrap().closed = true;
}

/// Direct and by the engine.
fn both<H: Handle>(handler: &H, drain: &Drain, capacity: usize) -> [Line; 2] {
    [EarlyHintsHttp1::Off, EarlyHintsHttp1::On]
        .map(|hints| Line::open(handler.clone(), hints, drain.clone(), capacity))
}

/// Lets all tasks run until none can.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Sends `parts` one after the other on both ways, and compares what comes of it now and at each deadline after.
async fn compare<H: Handle>(handler: &H, parts: &[&[u8]]) -> Seen {
    compare_through(1 << 22, handler, parts).await
}

/// The same through pipes that hold no more than `capacity` bytes each way.
async fn compare_through<H: Handle>(capacity: usize, handler: &H, parts: &[&[u8]]) -> Seen {
    let mut lines = both(handler, &Drain::new(), capacity);
    for part in parts {
        for line in &mut lines {
            // A connection may be closed by now, and then it is so on both ways.
            let _ = line.writer.write_all(part).await;
        }
        settle().await;
    }
    // Answers in time; lingering; the head's time; the idle time.
    let mut first = None;
    for wait in [1, 3_000, 10_000, 80_000] {
        tokio::time::sleep(Duration::from_millis(wait)).await;
        let [direct, engine] = [lines[0].seen(), lines[1].seen()];
        let sent = parts.iter().map(|part| String::from_utf8_lossy(part)).collect::<Vec<_>>();
        assert_eq!(direct, engine, "after {wait} ms more, direct and by the engine, to {sent:?}");
        well_framed(&direct.bytes);
        first.get_or_insert(direct);
    }
    assert!(lines.iter().all(|line| line.seen().closed || !line.served.is_finished()));
    first.unwrap()
}

fn piece(text: &str) -> Piece {
    Piece::Data(Bytes::copy_from_slice(text.as_bytes()))
}

fn streamed(pieces: impl IntoIterator<Item = Piece>) -> Body {
    let (feed, body) = fed();
    pieces.into_iter().for_each(|piece| feed.send(piece).unwrap());
    body
}

fn pushed() -> Piece {
    Piece::Push(Promise {
        path: "/m".into(),
        headers: HeaderMap::new(),
        body: "message".into(),
        announce: "announced\n".into(),
        inline: "inline\n".into(),
    })
}

/// Every kind of answer, by path; everything else is told what it asked.
fn toy() -> Toy {
    Toy::new(|request, _| {
        let status = |status, body| {
            let mut response = Response::new(body);
            *response.status_mut() = status;
            response
        };
        let body = match request.uri().path() {
            "/empty" => Body::empty(),
            "/full" => Body::full("0123456789"),
            "/spliced" => Body::spliced([Bytes::new(), "[1".into(), ",2]".into()]),
            "/streamed" => streamed(["a\n", "", "bb\n", "sixteen bytes ..."].map(piece)),
            "/nothing-streamed" => streamed([]),
            "/large-pieces" => streamed((0..40).map(|n| piece(&"x".repeat(n * 150)))),
            "/push" => streamed([piece("one\n"), pushed()]),
            "/huge" => Body::full(vec![b'h'; 1 << 20]),
            "/204" => return now(status(StatusCode::NO_CONTENT, Body::empty())),
            "/304" => return now(status(StatusCode::NOT_MODIFIED, Body::empty())),
            "/304-with-body" => return now(status(StatusCode::NOT_MODIFIED, Body::full("not sent"))),
            "/204-streamed" => return now(status(StatusCode::NO_CONTENT, streamed([piece("not sent")]))),
            "/418" => return now(status(StatusCode::IM_A_TEAPOT, Body::full("short and stout"))),
            "/later" => {
                return Box::pin(async {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    Response::new(Body::full("later"))
                });
            }
            "/panic" => panic!("in the call, as ordered"),
            "/later-panic" => return Box::pin(async { panic!("in the future, as ordered") }),
            "/bomb" => Body::stream(Bomb),
            "/closing" => {
                let mut response = Response::new(Body::full("bye"));
                response.headers_mut().append("x-odd", HeaderValue::from_bytes(b"\xe9\t ;").unwrap());
                response.headers_mut().append("x-odd", HeaderValue::from_static(""));
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                return now(response);
            }
            "/keeping" => {
                let mut response = Response::new(Body::full("for long"));
                response.headers_mut().insert("keep-alive", HeaderValue::from_static("timeout=9"));
                response.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
                return now(response);
            }
            path => match meddler(path) {
                Some(response) => return now(response),
                None => return told(request),
            },
        };
        now(Response::new(body))
    })
}

/// Tells what was asked, body and all.
fn told(request: http::Request<poll_http::RequestBody>) -> Answer {
    Box::pin(async move {
        let (head, mut body) = request.into_parts();
        let mut text = format!("{} {} {:?}\n", head.method, head.uri, head.version);
        for (name, value) in &head.headers {
            writeln!(text, "{name}: {value:?}").unwrap();
        }
        loop {
            let frame =
                std::future::poll_fn(|cx| http_body::Body::poll_frame(std::pin::Pin::new(&mut body), cx));
            match frame.await {
                None => break,
                Some(Ok(frame)) => {
                    text.push_str(&String::from_utf8_lossy(&frame.into_data().unwrap_or_default()));
                }
                Some(Err(error)) => writeln!(text, "{error}").unwrap(),
            }
        }
        Response::new(Body::full(text))
    })
}

/// Requests of every make.
const REQUESTS: &[&str] = &[
    "GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a?b=c&d=%20+ HTTP/1.1\r\nhOST: a\r\nx-lower: 1\r\nX-UPPER: 2\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nConnection: Keep-Alive\r\nKeep-Alive: 300\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nConnection:\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET /a HTTP/1.1\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost:\r\nX-Empty:\r\nX-Spaces:    \r\nX-Inner:  a  b \t\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nX-Quoted: \"a, b\\\" c\"\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 000000000\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
    "GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello",
    "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0000000005\r\n\r\nhello",
    "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 18\r\n\r\nGET /in HTTP/1.1\r\n",
    "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello",
    "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
    "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello",
    "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello",
    "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
    "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length:\t5 \r\n\r\nhello",
    "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello",
    "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: y\n\r\n",
    "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\n",
    "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\n",
    "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\n\n\r\n0\r\n\r\n",
    "POST /full HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "POST /full HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "POST /a HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\nContent_Length: 3\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    "POST /a HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTrailer: x\r\nContent-Length: 1\r\n\r\n!",
    "HEAD /full HTTP/1.1\r\nHost: a\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "OPTIONS /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n!",
    "get /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GETS /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a HTTP/1.0\r\n\r\n",
    "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "GET /a HTTP/1.2\r\nHost: a\r\n\r\n",
    "GET /a HTTP/2.0\r\nHost: a\r\n\r\n",
    "GET /a\r\n\r\n",
    "GET http://b:8/a?c HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http://b:8/a?c HTTP/1.1\r\n\r\n",
    "GET //a//b/../c HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a\"<>\\^`{|} HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET  /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a  HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET\t/a HTTP/1.1\r\nHost: a\r\n\r\n",
    " GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a HTTP/1.1\nHost: a\n\n",
    "GET /a HTTP/1.1\r\nHost: a\n\r\n",
    "GET /a HTTP/1.1\rHost: a\r\r",
    "GET /a HTTP/1.1\r\nHost : a\r\n\r\n",
    "GET /a HTTP/1.1\r\n Host: a\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\n: no name\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nX\u{e9}: b\r\n\r\n",
    "GET /\u{e9} HTTP/1.1\r\nHost: a\r\nX: \u{e9}\r\n\r\n",
    "\r\n",
    "GET",
    "\0\0\0\0",
];

/// Paths that the toy answers each in its way.
const ANSWERS: &[&str] = &[
    "empty",
    "full",
    "spliced",
    "streamed",
    "nothing-streamed",
    "large-pieces",
    "push",
    "huge",
    "204",
    "304",
    "304-with-body",
    "204-streamed",
    "418",
    "later",
    "panic",
    "later-panic",
    "bomb",
    "closing",
    "keeping",
];

/// All of them, and those that are made.
fn requests() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = REQUESTS.iter().map(|text| text.as_bytes().to_vec()).collect();
    all.push(b"GET /a HTTP/1.1\r\nHost: a\r\nX-Obs: \xe9\xff\x80\r\n\r\n".to_vec());
    let answers = ANSWERS.iter().chain(MEDDLED);
    all.extend(answers.map(|path| format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()));
    for count in [30, 31, 32, 33, 98, 99, 100, 101] {
        let fields: String = (0..count).map(|n| format!("X-{n}: {n}\r\n")).collect();
        all.push(format!("GET /many HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes());
    }
    for length in [3_900, 4_072, 4_096, 8_192, 16_000, 16_384, 17_000, 70_000] {
        let long = "l".repeat(length);
        all.push(format!("GET /long HTTP/1.1\r\nHost: a\r\nX-Long: {long}\r\n\r\n").into_bytes());
        all.push(format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes());
        all.push(
            format!("POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{long}").into_bytes(),
        );
    }
    all
}

const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn every_request_has_the_same_answer_on_both_ways() {
    for ready in [Ready::Now, Ready::Later] {
        let toy = toy().giving(ready);
        let mut answered = 0;
        for request in requests() {
            compare(&toy, &[&request]).await;
            // As what comes second; with one behind it, together and apart.
            let seen = compare(&toy, &[NEXT, &request, NEXT]).await;
            compare(&toy, &[&[&request, NEXT].concat()]).await;
            compare(&toy, &[&[NEXT, &request, NEXT, NEXT].concat()]).await;
            answered += usize::from(seen.bytes.starts_with(b"HTTP/1.1 200 OK\r\n"));
        }
        assert!(answered > 100, "{answered}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_answer_is_the_same_through_a_small_pipe_on_both_ways() {
    for ready in [Ready::Now, Ready::Later] {
        let toy = toy().giving(ready);
        for path in ANSWERS.iter().chain(MEDDLED) {
            // The request fits, so that it comes whole.
            let request = format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n");
            for capacity in [64, 257, 4_001] {
                compare_through(capacity, &toy, &[request.as_bytes(), NEXT]).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_split_at_any_byte_has_the_same_answer_on_both_ways() {
    let toy = toy();
    let short = requests().into_iter().filter(|request| request.len() < 200);
    // Each panic writes a line, and what is large takes its time.
    let dear = |request: &[u8]| {
        ["panic", "later-panic", "large", "huge"]
            .iter()
            .any(|path| request.starts_with(format!("GET /{path}").as_bytes()))
    };
    for request in short.filter(|request| !dear(request)) {
        let all = [&request[..], NEXT].concat();
        for at in 1..all.len() {
            compare(&toy, &[&all[..at], &all[at..]]).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_split_at_any_two_bytes_has_the_same_answer_on_both_ways() {
    let toy = toy();
    let post = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    for all in [[NEXT, NEXT].concat(), [&post[..], NEXT].concat()] {
        for second in 2..all.len() {
            for first in 1..second {
                compare(&toy, &[&all[..first], &all[first..second], &all[second..]]).await;
            }
        }
    }
}

/// Runs on paused time of its own.
fn paused(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(test);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_cut_anywhere_have_the_same_answers_on_both_ways(
        picked in prop::collection::vec(prop::sample::select(requests()), 1..6),
        fields in prop::collection::vec("[A-Za-z-]{1,12}: ?[ -~]{0,20}", 0..4),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        flip in prop::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let mut all = format!("GET /p HTTP/1.1\r\nHost: a\r\n{}\r\n", fields.iter().fold(
            String::new(), |all, field| all + field + "\r\n",
        )).into_bytes();
        all.extend(picked.concat());
        // A head that is broken and too large may be told either: it hangs on how much of it hyper reads at once.
        if let Some((at, byte)) = flip.filter(|_| all.len() < 16_000) {
            let at = at.index(all.len());
            all[at] = byte;
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(all.len())).collect();
        cuts.sort_unstable();
        let (mut parts, mut from) = (Vec::new(), 0);
        for cut in cuts.into_iter().chain([all.len()]).filter(|cut| *cut > 0) {
            if cut > from {
                parts.push(&all[from..cut]);
                from = cut;
            }
        }
        paused(async { drop(compare(&toy(), &parts).await) });
    }
}

#[tokio::test(start_paused = true)]
async fn the_service_answers_the_same_on_both_ways() {
    let world = World::new();
    for n in 0..5 {
        world.publish("c", &format!("message {n}")).await;
    }
    let targets = [
        "/api/poll?channel=c",
        "/api/poll?channel=c&last_id=5",
        "/api/poll?channel=c&last_id=x",
        "/api/poll?channel=none",
        "/api/longpoll?channel=c",
        "/api/longpoll?channel=c&last_id=5&timeout=0.5",
        "/api/longpoll?channel=c&last_id=5&last_id=5",
        "/api/longpoll?channel=none&timeout=0",
        "/api/messages/c/1",
        "/api/messages/c/9",
        "/events?category=c&timeout=1&since_time=1",
        "/events?category=c&timeout=1",
        "/messages",
        "/api/poll/c?timeout=1",
        "/api/poll/c?timeout=1&since=0",
        "/api/progress/none?timeout=1",
        "/healthz",
        "/readyz",
        "/",
        "/nowhere",
    ];
    let heads = [
        "Host: a\r\n",
        "Host: u@a\r\n",
        "Host: a\r\nContent-Length: 2\r\n\r\nhi",
        "Host: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n",
        "Host: a\r\nHost: b\r\n",
        "",
        "Host: a b\r\n",
        "Host: a\r\nX-Client-ID: me\r\nOrigin: http://b\r\nIf-None-Match: *\r\nAccept: text/event-stream\r\n",
        "Host: a\r\nConnection: close\r\n",
    ];
    let methods = ["GET", "HEAD", "OPTIONS", "POST", "DELETE"];
    for target in targets {
        for (head, method) in heads.iter().flat_map(|head| methods.map(|method| (head, method))) {
            // What is published is another message each time.
            if method == "POST" && target == "/messages" {
                continue;
            }
            let request = format!("{method} {target} HTTP/1.1\r\n{head}\r\n");
            let again = [request.as_bytes(), request.as_bytes()].concat();
            compare(&world.service, &[request.as_bytes(), &again]).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_of_a_publish_is_refused_the_same_on_both_ways() {
    let world = World::new();
    let large = "l".repeat(70_000);
    let bodies = ["", "{", "[]", large.as_str()];
    for target in ["/api/message", "/api/message?content=%zz", "/publish", "/messages", "/api/publish/c"] {
        for body in bodies {
            // Text that is small enough would be published.
            if target == "/api/message" && !body.is_empty() && body.len() < 100 {
                continue;
            }
            for kind in ["application/json", "application/x-ndjson", "text/plain; charset=utf-8"] {
                let length = body.len();
                let head = format!(
                    "POST {target} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
                );
                compare(&world.service, &[head.as_bytes(), body.as_bytes(), NEXT]).await;
                compare(&world.service, &[&[head.as_bytes(), body.as_bytes()].concat(), NEXT]).await;
            }
        }
    }
    assert_eq!(world.metric("poll_messages_published_total"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_told_the_same_on_both_ways() {
    // Part of a next head is not among them: the engine gives it up at a drain if it has answered before, and waits for
    // its rest if the direct path has.
    let parts: [&[&[u8]]; 5] = [
        &[],
        &[b"GE"],
        &[NEXT],
        &[b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n"],
        &[b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n", NEXT],
    ];
    for parts in parts {
        let drain = Drain::new();
        let mut lines = both(&toy(), &drain, 1 << 16);
        for part in parts {
            for line in &mut lines {
                line.writer.write_all(part).await.unwrap();
            }
            settle().await;
        }
        drain.begin(Duration::ZERO);
        for wait in [1, 2_500, 10_000] {
            tokio::time::sleep(Duration::from_millis(wait)).await;
            let sent = parts.iter().map(|part| String::from_utf8_lossy(part)).collect::<Vec<_>>();
            assert_eq!(lines[0].seen(), lines[1].seen(), "{wait} ms after the drain, to {sent:?}");
        }
        assert!(lines.iter().all(|line| line.seen().closed));
    }
}
