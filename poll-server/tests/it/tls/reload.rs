//! Certificates that change while the server runs, and those that do not fit.

use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::Signal;

use super::certificates::{Authority, text};
use super::client::{Client, trusting};
use super::start;
use crate::process::{command, make_pipe};

/// How often the certificate changes during so many requests.
const CHANGES: usize = 20;
const REQUESTS: usize = 10_000;
const CLIENTS: usize = 4;
/// Requests on each connection.
const EACH: usize = 10;

#[test]
fn ten_thousand_requests_and_twenty_certificates_without_a_failure() {
    let authority = Authority::new();
    let pair = authority.issue(&["localhost"]);
    let server = start(&[&pair], &[]);
    let config = trusting(&authority);
    let mut stream = Client::connect(&server, &config);
    stream.send(b"GET /api/stream?channel=a HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.read_until("\"connected\"");
    let left = AtomicUsize::new(REQUESTS / EACH);
    let take = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while take() {
                    let mut client = Client::connect(&server, &config);
                    for _ in 0..EACH {
                        assert_eq!(client.get("/healthz"), (200, "ok\n".to_owned()));
                    }
                }
            });
        }
        for change in 1..=CHANGES {
            let (certificate, key) = authority.sign(&["localhost"]);
            // For a moment they do not fit.
            pair.write(&certificate, &key);
            server.signal(Signal::HUP);
            server.wait_for(change, "certificate replaced: ");
        }
    });
    assert_eq!(left.into_inner(), 0);
    let mut client = Client::connect(&server, &config);
    client.send(
        b"POST /api/message?channel=a&content=still HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(client.head().0, 201);
    assert!(stream.read_until("\"update\"").contains("still"));
}

#[test]
fn a_pair_that_does_not_fit_changes_nothing_and_is_looked_at_again() {
    let authority = Authority::new();
    let (first, second) = (authority.issue(&["localhost"]), authority.issue(&["second.test"]));
    let server = start(&[&first, &second], &[]);
    let config = trusting(&authority);
    let asks = || assert_eq!(Client::connect(&server, &config).get("/healthz").0, 200);
    let (certificate, key) = authority.sign(&["localhost"]);
    let bad = "certificate not replaced: tls-key";
    std::fs::write(first.certificate(), &certificate).unwrap();
    server.signal(Signal::HUP);
    server.wait_for(1, &format!("{bad}: {}: not the key of the certificate", first.key().display()));
    asks();
    // It holds up no other.
    let (other, its_key) = authority.sign(&["second.test"]);
    second.write(&other, &its_key);
    server.signal(Signal::HUP);
    server.wait_for(1, &format!("certificate replaced: {}", second.certificate().display()));
    std::fs::write(first.key(), "nonsense").unwrap();
    server.signal(Signal::HUP);
    server.wait_for(1, &format!("{bad}: {}: no private key in it", first.key().display()));
    std::fs::remove_file(first.key()).unwrap();
    server.signal(Signal::HUP);
    server.wait_for(1, &format!("{bad}: {}: No such file", first.key().display()));
    // What would be waited for until someone writes to it.
    make_pipe(&first.key());
    server.signal(Signal::HUP);
    server.wait_for(1, &format!("{bad}: {}: not a regular file", first.key().display()));
    asks();
    std::fs::remove_file(first.key()).unwrap();
    // Without being told.
    std::fs::write(first.key(), &key).unwrap();
    server.wait_for(1, &format!("certificate replaced: {}", first.certificate().display()));
    asks();
}

#[test]
fn check_reads_certificates_and_says_what_is_wrong_with_each() {
    let authority = Authority::new();
    let (one, other) = (authority.issue(&["a.test"]), authority.issue(&["b.test"]));
    let (cert, key, foreign) = (one.certificate(), one.key(), other.key());
    let (cert, key, foreign) = (text(&cert), text(&key), text(&foreign));
    let ca = authority.file();
    let ca = text(&ca);
    let faults = |arguments: &[&str]| {
        let output = command().arg("--check").args(arguments).output().unwrap();
        let expected = if output.stderr.is_empty() { 0 } else { 64 };
        assert_eq!(output.status.code(), Some(expected), "{arguments:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        text.lines().map(|line| line.strip_prefix("poll-server: ").unwrap().to_owned()).collect::<Vec<_>>()
    };
    let none = "/nowhere/x.pem";
    for (arguments, expected) in [
        (&["--tls-cert", cert, "--tls-key", key][..], &[][..]),
        (&["--tls-cert", cert, "--tls-key", key, "--tls-client-ca", ca], &[]),
        (&["--tls-cert", cert], &["tls-cert: 1 given, but 0 tls-key"]),
        (&["--tls-key", key], &["tls-cert: 0 given, but 1 tls-key"]),
        (&["--tls-client-ca", ca], &["tls-client-ca: does nothing without"]),
        (&["--tls-cert", cert, "--tls-key", foreign], &["tls-key: ", "not the key of the certificate"]),
        (
            &["--tls-cert", none, "--tls-key", none],
            &["tls-cert: /nowhere/x.pem: ", "tls-key: /nowhere/x.pem: "],
        ),
        (&["--tls-cert", key, "--tls-key", key], &["no certificate in it"]),
        (&["--tls-cert", cert, "--tls-key", cert], &["no private key in it"]),
        (&["--tls-cert", cert, "--tls-key", key, "--tls-client-ca", key], &["tls-client-ca: "]),
        (&["--tls-cert", "", "--tls-key", key], &["the name of the file is empty"]),
    ] {
        let found = faults(arguments);
        for expected in expected {
            assert!(found.iter().any(|fault| fault.contains(expected)), "{arguments:?}: {found:?}");
        }
        assert_eq!(found.is_empty(), expected.is_empty(), "{arguments:?}: {found:?}");
        assert!(!found.concat().contains("PRIVATE KEY"));
    }
    let both = faults(&["--tls-cert", none, "--tls-key", none, "--tls-client-ca", none, "--workers", "0"]);
    assert_eq!(both.len(), 4, "{both:?}");
}
