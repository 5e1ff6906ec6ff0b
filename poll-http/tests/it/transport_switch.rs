//! A connection between the fast path and hyper: there for one request that is not plain, and back behind its response.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body as _;
use poll_http::{
    Body, ConnectionContext, ConnectionSettings, Drain, EarlyHintsHttp1, Metrics, RequestBody, serve,
};
use prometheus_client::registry::Registry;
use tokio::io::{AsyncWriteExt, DuplexStream};

use crate::transport_toy::*;

/// Reads what it is sent, and answers with the path.
fn reader() -> Toy {
    Toy::new(|request: Request<RequestBody>, _| {
        Box::pin(async {
            let (head, mut body) = request.into_parts();
            while poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await.is_some() {}
            Response::new(Body::full(head.uri.path().to_owned()))
        })
    })
}

/// A connection to a reader, and what is counted of it.
struct Counted {
    client: DuplexStream,
    served: Served,
    registry: Registry,
}

/// How many connections the fast path, hyper and h2 serve.
type Engines = [u64; 3];

const FAST: Engines = [1, 0, 0];
const HYPER: Engines = [0, 1, 0];

impl Counted {
    fn open(settings: ConnectionSettings, drain: Drain) -> Self {
        let (client, server) = tokio::io::duplex(1 << 16);
        let (metrics, mut registry) = (Metrics::new(), Registry::default());
        metrics.register(&mut registry);
        let context = ConnectionContext { drain, metrics, ..ConnectionContext::new(settings) };
        let served = tokio::spawn(serve(server, peer(), reader(), Arc::new(context)));
        Self { client, served, registry }
    }

    async fn send(&mut self, text: &str) {
        self.client.write_all(text.as_bytes()).await.unwrap();
        settle().await;
    }

    fn sample(&self, name: &str) -> u64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().parse().unwrap()
    }

    fn engines(&self) -> Engines {
        ["fast", "hyper", "h2"].map(|engine| self.sample(&format!("poll_connections{{engine=\"{engine}\"}}")))
    }

    /// How often hyper took over, and the fast path.
    fn switches(&self) -> [u64; 2] {
        ["hyper", "fast"]
            .map(|engine| self.sample(&format!("poll_engine_switches_total{{engine=\"{engine}\"}}")))
    }
}

fn open() -> Counted {
    Counted::open(ConnectionSettings::default(), Drain::new())
}

/// Lets all tasks run until none can.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// Requests that are not plain, in the parts that they come in, and how their responses end.
const NOT_PLAIN: [(&[&str], &str); 7] = [
    (&["HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n"], "\r\n\r\n"),
    (
        &[
            "OPTIONS /options HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\nAccess-Control-Request-Method: POST\r\n\r\n",
        ],
        "/options",
    ),
    (&["POST /split HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n", "abc", "def"], "/split"),
    (
        &[
            "POST /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            "1\r\na\r\n",
            "0\r\n\r\n",
        ],
        "/chunked",
    ),
    (&["GET /half HTTP", "/1.1\r\nHo", "st: a\r\n\r\n"], "/half"),
    (&["\r\nGET /line HTTP/1.1\r\nHost: a\r\n\r\n"], "/line"),
    (&["GET http://a/absolute HTTP/1.1\r\nHost: a\r\n\r\n"], "/absolute"),
];

#[tokio::test(start_paused = true)]
async fn a_request_that_is_not_plain_is_hypers_and_the_next_is_not() {
    for (parts, end) in NOT_PLAIN {
        let mut line = open();
        line.send("").await;
        line.send(&get("/first")).await;
        assert!(read_to(&mut line.client, "/first").await.starts_with("HTTP/1.1 200"));
        for round in 1..=3 {
            for part in parts {
                assert_eq!(line.engines(), if *part == parts[0] { FAST } else { HYPER }, "{parts:?}");
                line.send(part).await;
            }
            let response = read_to(&mut line.client, end).await;
            assert!(response.starts_with("HTTP/1.1 200") && response.contains("keep-alive: timeout=75"));
            assert_eq!((line.engines(), line.switches()), (FAST, [round, round]), "{parts:?}");
            line.send(&get("/next")).await;
            assert!(read_to(&mut line.client, "/next").await.starts_with("HTTP/1.1 200"));
            assert_eq!((line.engines(), line.switches()), (FAST, [round, round]), "{parts:?}");
        }
        drop(line.client);
        line.served.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_pipelined_across_the_engines_is_answered_in_order() {
    let mut line = open();
    let (mut all, mut ends) = (get("/first"), vec!["/first"]);
    for (parts, end) in NOT_PLAIN {
        all.extend(parts.iter().copied().chain([&*get("/plain")]));
        ends.extend([end, "/plain"]);
    }
    // However the bytes are cut: in one piece, and one by one.
    for size in [all.len(), 1] {
        for piece in all.as_bytes().chunks(size) {
            line.client.write_all(piece).await.unwrap();
            settle().await;
        }
        for end in &ends {
            let response = read_to(&mut line.client, end).await;
            assert!(response.starts_with("HTTP/1.1 200") && !response[1..].contains("HTTP"), "{response}");
        }
        assert_eq!(line.engines(), FAST);
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_by_hyper_that_closes_ends_the_connection() {
    for close in ["HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "HEAD / HTTP/1.0\r\n\r\n"] {
        let mut line = open();
        line.send(&[close, &get("/never")].concat()).await;
        let text = read_all(&mut line.client).await;
        assert_eq!(text.matches("HTTP/1.").count(), 1, "{text}");
        line.served.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_shuts_down_its_side_is_answered_at_once_or_not_at_all() {
    let whole = NOT_PLAIN.map(|(parts, _)| parts.concat());
    for request in whole.iter().filter(|request| !request.starts_with("POST")).chain([&get("/plain")]) {
        let mut line = open();
        line.client.write_all(request.repeat(3).as_bytes()).await.unwrap();
        line.client.shutdown().await.unwrap();
        let text = read_all(&mut line.client).await;
        assert_eq!(text.matches("HTTP/1.1 200").count(), 3, "{request:?}: {text}");
        line.served.await.unwrap().unwrap();
        let held = Held::default();
        let handler = held.clone();
        let (mut client, served) = connect(Toy::new(move |_, _| forever(&handler)));
        client.write_all(request.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(read_all(&mut client).await, "");
        let _ended = served.await.unwrap();
        assert_eq!(held.count(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_has_begun_behind_a_response_by_hyper_has_its_time() {
    let mut line = open();
    line.send("HEAD /head HTTP/1.1\r\nHost: a\r\n\r\nGET /la").await;
    read_to(&mut line.client, "\r\n\r\n").await;
    tokio::time::sleep(Duration::from_secs(9)).await;
    line.send("te HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(read_to(&mut line.client, "/late").await.starts_with("HTTP/1.1 200"));
    assert_eq!(line.engines(), FAST);
    line.send("HEAD /head HTTP/1.1\r\nHost: a\r\n\r\nGET /la").await;
    read_to(&mut line.client, "\r\n\r\n").await;
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert!(line.served.is_finished());
    assert_eq!(line.engines(), [0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_came_back_is_idle_for_as_long_as_any() {
    let mut line = open();
    line.send("HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n").await;
    read_to(&mut line.client, "\r\n\r\n").await;
    tokio::time::sleep(Duration::from_secs(74)).await;
    assert_eq!(line.engines(), FAST);
    tokio::time::sleep(Duration::from_secs(2)).await;
    line.served.await.unwrap().unwrap();
    assert_eq!(read_all(&mut line.client).await, "");
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_a_connection_under_hyper_behind_the_last_request() {
    let head = "POST /split HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na";
    for (rest, last) in [("b".to_owned(), "/split"), (format!("b{}", get("/last")), "/last")] {
        let drain = Drain::new();
        let mut line = Counted::open(ConnectionSettings::default(), drain.clone());
        line.send(head).await;
        drain.begin(Duration::ZERO);
        settle().await;
        line.send(&rest).await;
        let text = read_all(&mut line.client).await;
        assert!(text.ends_with(last), "{text}");
        assert_eq!(text.matches("connection: close").count(), 1, "{text}");
        line.served.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_finds_a_connection_that_came_back() {
    let drain = Drain::new();
    let mut line = Counted::open(ConnectionSettings::default(), drain.clone());
    line.send("HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n").await;
    read_to(&mut line.client, "\r\n\r\n").await;
    drain.begin(Duration::ZERO);
    settle().await;
    // Not under a request that may be under way, and not for long.
    assert!(!line.served.is_finished());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(read_all(&mut line.client).await, "");
    line.served.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn some_connections_are_hypers_for_good() {
    let mut old = open();
    old.send("GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
    read_to(&mut old.client, "/old").await;
    assert_eq!(old.engines(), HYPER);
    let on = ConnectionSettings { early_hints_http1: EarlyHintsHttp1::On, ..ConnectionSettings::default() };
    let mut hinted = Counted::open(on, Drain::new());
    for path in ["/one", "/two"] {
        hinted.send(&get(path)).await;
        read_to(&mut hinted.client, path).await;
        assert_eq!((hinted.engines(), hinted.switches()), (HYPER, [0, 0]));
    }
}

#[tokio::test(start_paused = true)]
async fn http2_is_counted_apart() {
    let mut line = open();
    line.client.write_all(RAW_OPENING).await.unwrap();
    settle().await;
    assert_eq!(line.engines(), [0, 0, 1]);
    drop(line.client);
    let _ended = line.served.await.unwrap();
}
