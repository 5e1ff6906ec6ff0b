//! What heads say of the way a request came: its host, its transfer coding, and whom a proxy speaks for.

use http::Request;
use poll_http::{Limits, Rate, ServiceSettings};

use crate::world::{ADDRESS, Answer, World};

/// The answer to a request as it stands.
async fn raw(world: &World, request: impl AsRef<[u8]>) -> Answer {
    let mut wire = world.connect();
    wire.send_raw(request.as_ref()).await;
    wire.answer().await
}

#[tokio::test(start_paused = true)]
async fn content_in_a_coding_that_is_not_decoded_is_not_taken() {
    let world = World::new();
    let content = "2\r\nhi\r\n0\r\n\r\n";
    for coding in ["gzip, chunked", "identity,chunked", "deflate\r\nTransfer-Encoding: chunked"] {
        for path in ["/api/message?channel=c", "/publish", "/messages", "/api/publish/c", "/nowhere"] {
            let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {coding}\r\n\r\n");
            let answer = raw(&world, head + content).await;
            assert_eq!((answer.status, answer.field("connection")), (501, Some("close")), "{path} {coding}");
            assert!(answer.text().contains("`Transfer-Encoding`"), "{}", answer.text());
        }
    }
    // Where `chunked` is not the last, nobody can tell where the content ends (RFC 9112, section 6.3).
    for coding in ["gzip", "chunked, gzip", "chunked\r\nTransfer-Encoding: gzip", "chunked, chunked"] {
        let head = format!("POST /api/message HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {coding}\r\n\r\n");
        let answer = raw(&world, head + content).await;
        assert_eq!((answer.status, answer.field("connection")), (400, Some("close")), "{coding}");
    }
    assert_eq!(world.metric("poll_messages_published_total"), 0);
    assert_eq!(world.metric("poll_refused_total{reason=\"malformed\"}"), 16);
}

#[tokio::test(start_paused = true)]
async fn a_request_for_no_one_host_is_malformed() {
    let world = World::new();
    for (target, fields) in [
        ("/api/poll", "Host: user@a\r\n"),
        ("/api/poll", "Host: user:secret@a:80\r\n"),
        ("/api/poll", "Host: @a\r\n"),
        ("/api/poll", "Host: a:x\r\n"),
        ("/api/poll", "Host: a:99999\r\n"),
        ("/api/poll", ""),
        ("http://a/api/poll", ""),
        ("http://user@a/api/poll", "Host: a\r\n"),
        ("http://a/api/poll", "Host: user@a\r\n"),
        ("http://a/api/poll", "Host: a\r\nHost: a\r\n"),
    ] {
        let answer = raw(&world, format!("GET {target} HTTP/1.1\r\n{fields}\r\n")).await;
        assert_eq!(answer.status, 400, "{target} {fields:?}");
        assert_eq!(answer.field("content-type"), Some("application/problem+json"), "{target} {fields:?}");
    }
    for (target, fields) in [("http://a/api/poll", "Host: a\r\n"), ("/api/poll", "Host: a:99\r\n")] {
        assert_eq!(raw(&world, format!("GET {target} HTTP/1.1\r\n{fields}\r\n")).await.status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_beside_the_authority_of_http_2_is_the_same() {
    let world = World::new();
    let mut requests = world.connect_http2(&h2::client::Builder::new()).await;
    for (target, host, status) in [
        ("http://a/api/poll", None, 200),
        ("http://a/api/poll", Some("a"), 200),
        ("http://a/api/poll", Some("A:80"), 200),
        ("http://a:81/api/poll", Some("a:81"), 200),
        ("http://a/api/poll", Some("b"), 400),
        ("http://a/api/poll", Some("a:81"), 400),
        ("http://a:81/api/poll", Some("a"), 400),
        ("http://user@a/api/poll", None, 400),
    ] {
        let request =
            host.into_iter().fold(Request::get(target), |request, host| request.header("host", host));
        requests = requests.ready().await.unwrap();
        let (answer, _) = requests.send_request(request.body(()).unwrap(), true).unwrap();
        assert_eq!(answer.await.unwrap().status(), status, "{target} {host:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_odd_byte_is_no_way_round_the_limits_of_an_address() {
    let limits = Limits { rate: Rate::Bucket { per_second: 1.0, burst: 3.0 }, ..Limits::default() };
    let trusted_proxies = vec![std::net::IpAddr::from(ADDRESS).into()];
    let world = World::set(ServiceSettings { limits, trusted_proxies, ..ServiceSettings::default() });
    for number in 0..6_u8 {
        // What a client may send, and what its proxy adds.
        let odd = [b"\xe9", b"\xff", b"\"", b"\t", b"x", b","][usize::from(number)];
        let mut head = b"GET /api/poll HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: ".to_vec();
        head.extend(odd);
        head.extend(format!(", 203.0.113.9\r\nX-Real-IP: 198.51.100.{number}\r\n\r\n").bytes());
        let expected = if number < 3 { 200 } else { 429 };
        assert_eq!(raw(&world, head).await.status, expected, "{number}");
    }
}
