//! The orderly end: SIGTERM answers everyone, a second signal ends at once.

use std::io::{Read as _, Write as _};

use rustix::process::Signal;

use crate::process::{Server, curl, output};

#[test]
fn sigterm_answers_polls_and_closes_streams_and_exits_0() {
    let mut server = Server::start(&["--drain-seconds", "30"]);
    let poll = curl(&["--include", &server.url("/api/longpoll?timeout=60")]);
    let stream = curl(&["--no-buffer", &server.url("/api/stream")]);
    let events = curl(&["--no-buffer", "--header", "Accept: text/event-stream", &server.url("/api/stream")]);
    let http2 = curl(&["--http2-prior-knowledge", &server.url("/api/longpoll?timeout=60")]);
    server.get_until("/metrics", "poll_waiters{pattern=\"long\"} 2");
    server.get_until("/metrics", "poll_waiters{pattern=\"stream\"} 2");

    server.signal(Signal::TERM);

    let poll = output(poll);
    assert!(poll.starts_with("HTTP/1.1 200") && poll.to_lowercase().contains("connection: close"), "{poll}");
    assert!(poll.contains("\"messages\":[]") && poll.contains("\"cursor\":"), "{poll}");
    let http2 = output(http2);
    assert!(http2.contains("\"messages\":[]") && http2.contains("\"cursor\":"), "{http2}");
    let stream = output(stream);
    let last = stream.lines().last().unwrap_or_default();
    assert!(last.contains("\"type\":\"closed\"") && last.contains("\"reason\":\"draining\""), "{stream}");
    assert!(output(events).contains("event: closed"));
    assert_eq!(server.wait().code(), Some(0));
    server.wait_for(1, "drained: everyone was answered");
}

#[test]
fn readiness_goes_first_and_a_second_signal_ends_at_once() {
    let mut server = Server::start(&["--drain-delay-seconds", "600"]);
    assert!(server.get("/readyz").starts_with("HTTP/1.1 200"));
    server.signal(Signal::TERM);
    server.wait_for(1, "not ready");
    assert!(server.get("/readyz").starts_with("HTTP/1.1 503"), "readiness is off");
    assert!(server.get("/healthz").starts_with("HTTP/1.1 200"), "connections are still taken");
    assert!(server.get("/api/poll").starts_with("HTTP/1.1 200"), "and served");
    server.signal(Signal::INT);
    assert_eq!(server.wait().code(), Some(1));
}

#[test]
fn an_idle_connection_does_not_hold_the_drain_up() {
    let mut server = Server::start(&["--drain-seconds", "600"]);
    let mut idle = server.connect();
    crate::process::ask(&mut idle, "/healthz");
    let silent = server.connect();
    server.get_until("/metrics", "poll_sockets_open 3");
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    server.wait_for(1, "drained: everyone was answered");
    drop((idle, silent));
}

#[test]
fn who_does_not_end_in_time_is_cut_and_counted() {
    let mut server = Server::start(&["--drain-seconds", "0.05", "--body-seconds", "600"]);
    let mut unfinished = server.connect();
    let head = "POST /api/message HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n\
                Content-Length: 10\r\nExpect: 100-continue\r\n\r\n";
    unfinished.write_all(head.as_bytes()).unwrap();
    // Said once the body is asked for: from here on the request is in service.
    let mut go_on = [0; 25];
    unfinished.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    unfinished.write_all(b"half").unwrap();
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    server.wait_for(1, "drained: 1 connections were cut");
}
