//! Handshakes that fail, dawdle or never come.

use std::io::{Read as _, Write as _};

use rustix::process::Signal;

use super::certificates::Authority;
use super::client::{Client, trusting};
use super::start;

/// The beginning of a ClientHello that promises 200 bytes.
const BEGUN: &[u8] = b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03";

#[test]
fn slow_and_broken_handshakes_are_ended_and_delay_no_others() {
    let authority = Authority::new();
    let server = start(&[&authority.issue(&["localhost"])], &["--header-seconds", "1", "--workers", "1"]);
    let config = trusting(&authority);
    let mut slow: Vec<_> = (0..50).map(|_| server.connect()).collect();
    slow.iter_mut().for_each(|stream| stream.write_all(BEGUN).unwrap());
    let silent = server.connect();
    let mut garbage: Vec<_> = (0..50).map(|_| server.connect()).collect();
    for (number, stream) in garbage.iter_mut().enumerate() {
        let bytes: Vec<u8> = (0..2_000).map(|at| (at * 7 + number * 31 + 200) as u8).collect();
        // It may be closed already.
        let _gone = stream.write_all(&bytes);
    }
    let mut client = Client::connect(&server, &config);
    assert_eq!(client.get("/healthz").0, 200);
    for stream in slow.iter_mut().chain(&mut garbage) {
        let mut end = Vec::new();
        // At most an alert.
        let _reset = stream.read_to_end(&mut end);
        assert!(end.len() <= 7, "{end:?}");
    }
    let metrics = client.get("/metrics").1;
    assert!(metrics.contains("poll_refused_total{reason=\"handshake\"} 50\n"), "{metrics}");
    assert!(metrics.contains("poll_memory_bytes{kind=\"tls_buffers\"} 0\n"), "{metrics}");
    assert!(metrics.contains("poll_memory_bytes{kind=\"tls_sessions\"} 4096\n"), "{metrics}");
    // The silent one has only been idle.
    drop(silent);
}

#[test]
fn a_request_without_tls_is_told_so() {
    let authority = Authority::new();
    let server = start(&[&authority.issue(&["localhost"])], &[]);
    for request in [
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST /api/message HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut stream = server.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", text.len())), "{head}");
        assert_eq!(text, "This port speaks TLS: ask by https.\r\n");
    }
}

#[test]
fn a_handshake_without_memory_for_it_is_refused() {
    let authority = Authority::new();
    // A sixteenth of it is for them: two at once.
    let arguments = ["--memory-bytes", "163840", "--workers", "1"];
    let server = start(&[&authority.issue(&["localhost"])], &arguments);
    let mut held: Vec<_> = (0..2).map(|_| server.connect()).collect();
    held.iter_mut().for_each(|stream| stream.write_all(BEGUN).unwrap());
    let mut third = server.connect();
    third.write_all(BEGUN).unwrap();
    let mut end = Vec::new();
    let _reset = third.read_to_end(&mut end);
    assert!(end.is_empty());
    drop(held);
    let config = trusting(&authority);
    let mut client = loop {
        let mut client = Client::connect(&server, &config);
        // Until the server has heard of the two that left.
        if client.try_get("/healthz").is_ok() {
            break client;
        }
    };
    assert!(client.get("/metrics").1.contains("poll_refused_total{reason=\"handshake\"} "));
}

#[test]
fn a_drain_waits_for_no_handshake_that_has_not_begun() {
    let authority = Authority::new();
    let mut server = start(&[&authority.issue(&["localhost"])], &["--drain-seconds", "30"]);
    let config = trusting(&authority);
    let silent = server.connect();
    let mut client = Client::connect(&server, &config);
    assert_eq!(client.get("/healthz").0, 200);
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    server.wait_for(1, "drained: everyone was answered");
    drop(silent);
}
