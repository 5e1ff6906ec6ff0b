//! The orderly end: SIGTERM answers everyone, a second signal ends at once.

use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};

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
fn a_connection_that_does_not_end_in_time_is_cut_and_counted() {
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

/// Asks on one connection as fast as it is answered; gives how many requests were answered and how many were not.
fn poll_on(server: &Server, answered: &AtomicUsize) -> usize {
    let request = format!("GET /api/poll HTTP/1.1\r\nHost: {}\r\n\r\n", server.addresses[0]);
    let mut stream = server.connect();
    loop {
        // Closed while nothing was asked: that is no loss.
        stream.set_nonblocking(true).unwrap();
        let gone = matches!(stream.peek(&mut [0]), Ok(0));
        stream.set_nonblocking(false).unwrap();
        if gone {
            return 0;
        }
        let mut answer = Vec::new();
        let sent = stream.write_all(request.as_bytes());
        while sent.is_ok() && !answer.ends_with(b"}") {
            let mut bytes = [0; 1024];
            match stream.read(&mut bytes) {
                Ok(count) if count > 0 => answer.extend_from_slice(&bytes[..count]),
                _ => return 1,
            }
        }
        if sent.is_err() {
            return 1;
        }
        answered.fetch_add(1, Ordering::Relaxed);
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 503"), "{answer}");
        if answer.contains("connection: close\r\n") {
            // A clean end, not a reset.
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
            return 0;
        }
    }
}

#[test]
fn every_request_that_has_arrived_is_answered() {
    for _ in 0..3 {
        let mut server = Server::start(&["--drain-seconds", "60", "--max-sockets-per-address", "0"]);
        let answered = AtomicUsize::new(0);
        let lost: usize = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..24).map(|_| scope.spawn(|| poll_on(&server, &answered))).collect();
            while answered.load(Ordering::Relaxed) < 1_000 {
                std::thread::yield_now();
            }
            server.signal(Signal::TERM);
            clients.into_iter().map(|client| client.join().unwrap()).sum()
        });
        assert_eq!(lost, 0);
        assert_eq!(server.wait().code(), Some(0));
        server.wait_for(1, "drained: everyone was answered");
    }
}
