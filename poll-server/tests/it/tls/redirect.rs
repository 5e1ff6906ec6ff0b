//! The listener without TLS, which redirects.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::certificates::Authority;
use super::start;
use crate::process::{command, curl, output};

#[test]
fn every_request_is_redirected_to_its_host_over_https() {
    let authority = Authority::new();
    let server = start(&[&authority.issue(&["localhost"])], &["--redirect-listen", "127.0.0.1:0"]);
    server.wait_for(1, "(redirects to https)");
    let line = server.lines("(redirects to https)").remove(0);
    let plain = line.split("http://").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let port = server.addresses[0].port();
    let answer = |request: &str| {
        let mut stream = TcpStream::connect(&plain).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let host = "Host: poll.test:80\r\nConnection: close\r\n\r\n";
    for (request, location) in [
        ("GET / HTTP/1.1", "/"),
        ("HEAD /a HTTP/1.1", "/a"),
        ("POST /api/message?content=%0D%0ASet-Cookie:x HTTP/1.1", "/api/message?content=%0D%0ASet-Cookie:x"),
        ("DELETE /x?y=1&z HTTP/1.1", "/x?y=1&z"),
        ("OPTIONS * HTTP/1.1", ""),
    ] {
        let answer = answer(&format!("{request}\r\n{host}"));
        assert!(answer.starts_with("HTTP/1.1 308 "), "{request}: {answer}");
        let expected = format!("location: https://poll.test:{port}{location}\r\n");
        assert!(answer.contains(&expected), "{request}: {answer}");
        assert!(answer.contains("x-content-type-options: nosniff\r\n"), "{answer}");
        assert_eq!(ids(&answer).len(), 1, "{answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }
    for request in [
        "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a@b\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/../b\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n Location: b\r\nConnection: close\r\n\r\n",
    ] {
        let answer = answer(request);
        assert!(
            answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.0 400 "),
            "{request}: {answer}"
        );
        assert!(!answer.to_ascii_lowercase().contains("location:"), "{answer}");
        let is_bare = answer.ends_with("\r\n\r\n");
        assert!(is_bare || answer.contains("x-content-type-options: nosniff\r\n"), "{answer}");
        assert!(is_bare || ids(&answer).len() == 1, "{answer}");
    }
    let own = answer(&format!("GET / HTTP/1.1\r\nX-Request-Id: a-1\r\n{host}"));
    assert_eq!(ids(&own), ["a-1"], "{own}");
    let two = output(curl(&["--http2-prior-knowledge", "-i", &format!("http://{plain}/a?b")]));
    assert!(two.starts_with("HTTP/2 308 "), "{two}");
    assert!(two.contains(&format!("location: https://127.0.0.1:{port}/a?b\r\n")), "{two}");
    assert_eq!(ids(&two).len(), 1, "{two}");
}

/// The values of `X-Request-Id` in a head.
fn ids(answer: &str) -> Vec<&str> {
    answer.lines().filter_map(|line| line.strip_prefix("x-request-id: ")).collect()
}

#[test]
fn without_certificates_there_is_nowhere_to_redirect_to() {
    let output = command().args(["--check", "--redirect-listen", "127.0.0.1:0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    let faults = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        faults,
        "poll-server: redirect-listen: does nothing without tls-cert and tls-key, or acme-domain\n"
    );
}
