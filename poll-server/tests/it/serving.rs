//! Sockets, the demonstration, the page and the metrics of a running server.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;

use rustix::process::Signal;

use crate::process::{Server, ask, command, command_under_limit, curl, output};

#[test]
fn at_the_socket_limit_accepting_pauses_and_goes_on_when_one_closes() {
    let server = Server::start(&["--max-sockets", "2", "--max-sockets-per-address", "0"]);
    let (mut first, mut second) = (server.connect(), server.connect());
    assert!(ask(&mut first, "/healthz").starts_with("HTTP/1.1 200"));
    assert!(ask(&mut second, "/healthz").starts_with("HTTP/1.1 200"));
    server.wait_for(1, "accepting pauses: 2 connections are open");

    // The kernel completes the third's handshake; its request waits with it.
    let mut third = server.connect();
    third.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    drop(first);
    server.wait_for(1, "accepting goes on");
    let mut answer = [0; 12];
    third.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    drop(second);
}

#[test]
fn one_address_gets_half_of_the_sockets_unless_it_is_a_proxy() {
    let server = Server::start(&["--max-sockets", "6"]);
    let mut held: Vec<_> = (0..3).map(|_| server.connect()).collect();
    for stream in &mut held {
        assert!(ask(stream, "/healthz").starts_with("HTTP/1.1 200"));
    }
    let mut end = Vec::new();
    // Nothing, or a reset.
    let _closed = server.connect().read_to_end(&mut end);
    assert!(end.is_empty());
    // The others stay.
    let mut text = String::new();
    held[0].write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    held[0].read_to_string(&mut text).unwrap();
    assert!(text.contains("poll_refused_total{reason=\"sockets\"} 1\n"), "{text}");
    assert!(text.contains("poll_sockets_open 3\n"), "{text}");

    let server = Server::start(&["--max-sockets", "6", "--trusted-proxy", "127.0.0.1"]);
    let mut held: Vec<_> = (0..5).map(|_| server.connect()).collect();
    for stream in &mut held {
        assert!(ask(stream, "/healthz").starts_with("HTTP/1.1 200"));
    }
}

#[test]
fn silent_connections_go_when_sockets_become_scarce() {
    let server = Server::start(&["--max-sockets", "10", "--max-sockets-per-address", "0"]);
    let silent: Vec<_> = (0..10).map(|_| server.connect()).collect();
    server.wait_for(1, "accepting pauses");
    // Long before the silent ones have been idle for as long as they may.
    let text = server.get("/metrics");
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    assert!(text.contains("poll_refused_total{reason=\"first_byte\"} "), "{text}");
    assert!(!text.contains("poll_refused_total{reason=\"first_byte\"} 0"), "{text}");
    drop(silent);
}

#[test]
fn out_of_descriptors_it_waits_and_recovers() {
    let mut command = command_under_limit(40);
    command.args(["--listen", "127.0.0.1:0", "--max-sockets", "0", "--workers", "1"]);
    let server = Server::start_command(command, 1);
    let crowd: Vec<_> = (0..60).map(|_| server.connect()).collect();
    server.wait_for(1, "cannot accept, still trying");
    drop(crowd);
    assert!(server.get("/healthz").starts_with("HTTP/1.1 200"));
    assert!(server.lines("cannot accept, still trying").len() <= 2, "told, but not again and again");
}

#[test]
fn what_peers_can_make_it_warn_of_does_not_fill_the_log() {
    let mut server = Server::start(&[]);
    for _ in 0..20 {
        let mut peer = server.connect();
        let frame = |flags, payload: &[u8; 8]| [&[0, 0, 8, 6, flags, 0, 0, 0, 0], &payload[..]].concat();
        // Its opening, answers to PINGs that nobody sent, and a PING whose answer shows that those were read.
        let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
        (0..5).for_each(|_| sent.extend(frame(1, b"nobody's")));
        sent.extend(frame(0, b"a signal"));
        peer.write_all(&sent).unwrap();
        let mut got = Vec::new();
        while !got.ends_with(b"a signal") {
            let mut byte = [0];
            peer.read_exact(&mut byte).unwrap();
            got.push(byte[0]);
        }
    }
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    server.wait_for(1, "90 more lines like this: recv PING ack");
    assert_eq!(server.lines("recv PING ack").len(), 11);
}

#[test]
fn a_client_that_leaves_without_sending_its_content_waits_no_more() {
    let server = Server::start(&["--max-poll-seconds", "600"]);
    let contents = [
        "Content-Length: 5\r\n\r\n",
        "Content-Length: 100000\r\n\r\nhi",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n",
        // All of it, and something behind it that nobody reads yet.
        "Content-Length: 2\r\n\r\nhiGET /healthz HTTP/1.1\r\n",
    ];
    for (path, pattern) in [("/api/longpoll?timeout=600", "long"), ("/api/stream", "stream")] {
        for leaves in [Shutdown::Write, Shutdown::Both] {
            let clients = contents.map(|content| {
                let mut client = server.connect();
                write!(client, "GET {path} HTTP/1.1\r\nHost: localhost\r\n{content}").unwrap();
                client
            });
            server.get_until("/metrics", &format!("poll_waiters{{pattern=\"{pattern}\"}} 5"));
            for client in &clients {
                client.shutdown(leaves).unwrap();
            }
            server.get_until("/metrics", &format!("poll_waiters{{pattern=\"{pattern}\"}} 0"));
            server.get_until("/metrics", "poll_sockets_open 1\n");
        }
    }
}

#[test]
fn the_demonstration_publishes_numbered_messages() {
    let server = Server::start(&["--demo", "--demo-interval-seconds", "0.01"]);
    let url = server.url("/api/longpoll?limit=1&timeout=60");
    let body = output(curl(&["--fail", &url]));
    assert!(body.contains("\"content\":\"Broadcast message #1\""), "{body}");
}

#[test]
fn without_the_demonstration_the_log_is_empty() {
    let server = Server::start(&[]);
    assert!(server.get("/api/poll").contains("\"messages\":[]"));
}

#[test]
fn the_page_and_its_files_have_policy_and_tag_and_are_304_when_known() {
    let server = Server::start(&[]);
    for (path, kind) in [
        ("/", "text/html"),
        ("/style.css", "text/css"),
        ("/app.js", "text/javascript"),
        ("/lane.js", "text/javascript"),
        ("/poll.js", "text/javascript"),
    ] {
        let answer = server.get(path);
        let head = answer.split("\r\n\r\n").next().unwrap().to_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert!(head.contains(&format!("content-type: {kind}")), "{head}");
        assert!(head.contains("content-security-policy: default-src 'self'"), "{head}");
        assert!(head.contains("referrer-policy: no-referrer"), "{head}");
        assert!(head.contains("x-content-type-options: nosniff"), "{head}");
        let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
        assert!(tag.starts_with('"'), "a strong tag: {tag}");
        let known = format!("If-None-Match: {tag}");
        let status = output(curl(&["--header", &known, "--write-out", "%{http_code}", &server.url(path)]));
        assert_eq!(status, "304", "{path}");
    }
}

#[test]
fn metrics_bear_the_names_of_the_contract() {
    let server = Server::start(&[]);
    output(curl(&[
        "--fail",
        "--request",
        "POST",
        "--data-binary",
        "x",
        "--header",
        "Content-Type: text/plain",
        &server.url("/api/message"),
    ]));
    assert!(server.get("/nowhere").starts_with("HTTP/1.1 404"));
    let text = server.get("/metrics");
    for sample in [
        "poll_waiters{pattern=\"long\"} 0",
        "poll_waiters{pattern=\"stream\"} 0",
        "poll_waiters{pattern=\"push\"} 0",
        "# TYPE poll_messages_published_total counter",
        "poll_messages_published_total 1",
        "poll_messages_delivered_total ",
        "poll_messages_missed_total ",
        "# TYPE poll_refused_total counter",
        "poll_refused_total{reason=",
        "poll_delivery_lag_seconds_bucket{",
        "poll_wake_to_write_seconds_count{worker=\"0\"} ",
        "poll_worker_connections{worker=\"0\"} ",
        "poll_connections{engine=\"fast\"} ",
        "poll_connections{engine=\"hyper\"} ",
        "poll_connections{engine=\"h2\"} 0",
        "poll_engine_switches_total{engine=\"hyper\"} ",
        "poll_engine_switches_total{engine=\"fast\"} ",
        "poll_build_info{version=",
        "poll_sockets_open ",
        "process_resident_memory_bytes ",
    ] {
        assert!(text.contains(sample), "{sample}: {text}");
    }
    assert!(text.contains("text/plain; version=0.0.4"), "{text}");
    assert!(!text.contains("# EOF"));
}

#[test]
fn tokens_are_asked_for_and_show_in_no_log_at_any_level() {
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--publish-token", "hush-publish"]);
    command.env("POLL_SUBSCRIBE_TOKEN", "hush-read").env("RUST_LOG", "trace");
    let server = Server::start_command(command, 1);
    let status = |arguments: &[&str]| {
        let always = ["--output", "/dev/null", "--write-out", "%{http_code}"];
        output(curl(&[&always, arguments].concat()))
    };
    let publish = server.url("/api/message?content=x");
    assert_eq!(status(&["--request", "POST", &publish]), "401");
    let bearer = ["--request", "POST", "--header", "Authorization: Bearer hush-publish", &publish];
    assert_eq!(status(&bearer), "201");
    let read = server.url("/api/poll?access_token=hush-read");
    assert_eq!(status(&[&read]), "200");
    assert_eq!(status(&["--http2-prior-knowledge", &read]), "200");
    assert_eq!(status(&[&["--http2-prior-knowledge"], &bearer[..]].concat()), "201");
    server.signal(rustix::process::Signal::TERM);
    server.wait_for(1, "drained");
    assert!(server.lines("hush").is_empty(), "{:?}", server.lines("hush"));
}

#[test]
fn limits_given_as_flags_are_in_force() {
    let server =
        Server::start(&["--max-per-address", "1", "--max-poll-seconds", "0.01", "--rate-limit", "0.001"]);
    let poll = curl(&["--fail", &server.url("/api/longpoll?timeout=60")]);
    assert!(output(poll).contains("\"messages\":[]"), "cut down to the longest wait");
    let limited = output(curl(&["--include", &server.url("/api/longpoll")]));
    assert!(
        limited.starts_with("HTTP/1.1 429") && limited.to_lowercase().contains("retry-after:"),
        "{limited}"
    );
}
