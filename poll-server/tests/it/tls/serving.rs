//! HTTP over TLS.

use std::io::Write as _;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use super::certificates::{Authority, text};
use super::client::{Client, trusting};
use super::start;
use crate::process::{Server, curl, output};

/// What curl prints of a URL on `host`, which it finds at the server's address.
fn ask(server: &Server, authority: &Authority, host: &str, arguments: &[&str], path: &str) -> String {
    let port = server.addresses[0].port();
    let resolve = format!("{host}:{port}:127.0.0.1");
    let url = format!("https://{host}:{port}{path}");
    let ca = authority.file();
    let all = [&["--cacert", text(&ca), "--resolve", &resolve], arguments, &[&url]].concat();
    output(curl(&all))
}

#[test]
fn alpn_chooses_the_protocol() {
    let authority = Authority::new();
    let server = start(&[&authority.issue(&["localhost"])], &["--admin-token", "t"]);
    let version = ["--write-out", " %{http_version}"];
    let with = |flag| ask(&server, &authority, "localhost", &[&version[..], &[flag]].concat(), "/healthz");
    assert_eq!(with("--http2"), "ok\n 2");
    assert_eq!(with("--http1.1"), "ok\n 1.1");
    assert_eq!(with("--no-alpn"), "ok\n 1.1");
    let listed = ask(&server, &authority, "localhost", &["--http2"], "/admin/connections?access_token=t");
    assert!(listed.contains(r#""protocol":"HTTP/2","tls":true"#), "{listed}");
    // HTTP/2 in full: the page and what is pushed with it.
    let url = format!("https://127.0.0.1:{}/", server.addresses[0].port());
    let seen = Command::new("nghttp").args(["--no-verify-peer", "-nv", &url]).output().unwrap();
    let seen = String::from_utf8_lossy(&seen.stdout).into_owned();
    assert!(seen.contains("The negotiated protocol: h2"), "{seen}");
    assert_eq!(seen.matches("recv PUSH_PROMISE").count(), 2, "{seen}");
    assert_eq!(seen.matches(":status: 200").count(), 3, "{seen}");
}

#[test]
fn the_certificate_is_chosen_by_the_name_that_is_asked_for() {
    let authority = Authority::new();
    let pairs = [&["first.test"][..], &["*.many.test", "second.test"], &["own.many.test"]];
    let pairs = pairs.map(|hosts| authority.issue(hosts));
    let server =
        start(&pairs.each_ref(), &["--host", "first.test", "--host", "second.test", "--host", "a.many.test"]);
    // curl checks that the certificate is for the host.
    for host in ["first.test", "second.test", "a.many.test"] {
        assert_eq!(ask(&server, &authority, host, &[], "/healthz"), "ok\n");
    }
    let subject = |name: &[&str]| {
        let address = server.addresses[0].to_string();
        let seen =
            Command::new("openssl").args(["s_client", "-connect", &address]).args(name).output().unwrap();
        let seen = String::from_utf8_lossy(&seen.stdout).into_owned();
        seen.lines().find_map(|line| line.strip_prefix("subject=CN = ")).unwrap().to_owned()
    };
    assert_eq!(subject(&["-servername", "own.many.test"]), "own.many.test");
    assert_eq!(subject(&["-servername", "b.many.test"]), "*.many.test");
    assert_eq!(subject(&["-servername", "other.test"]), "first.test");
    assert_eq!(subject(&["-noservername"]), "first.test");
}

#[test]
fn versions_1_2_and_1_3_are_spoken_and_sessions_resumed() {
    let authority = Authority::new();
    let server = start(&[&authority.issue(&["localhost"])], &[]);
    let folder = tempfile::tempdir().unwrap();
    let session = folder.path().join("session");
    let address = server.addresses[0].to_string();
    let openssl = |arguments: &[&str], input: &str| {
        let mut child = Command::new("openssl");
        child.args(["s_client", "-connect", &address]).args(arguments);
        child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child.spawn().unwrap();
        // Open until it ends: its end would end the connection.
        let mut stdin = child.stdin.take().unwrap();
        // It may have ended already.
        let _closed = stdin.write_all(input.as_bytes());
        let seen = child.wait_with_output().unwrap();
        drop(stdin);
        format!("{}{}", String::from_utf8_lossy(&seen.stdout), String::from_utf8_lossy(&seen.stderr))
    };
    let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let first = openssl(&[version, "-sess_out", text(&session)], request);
        assert!(first.contains(&format!("New, {name}")) && first.contains("HTTP/1.1 200"), "{first}");
        let second = openssl(&[version, "-sess_in", text(&session)], request);
        assert!(second.contains(&format!("Reused, {name}")) && second.contains("HTTP/1.1 200"), "{second}");
    }
    // Without tickets the server remembers the session.
    let first = openssl(&["-tls1_2", "-no_ticket", "-sess_out", text(&session)], request);
    assert!(first.contains("New, TLSv1.2"), "{first}");
    let second = openssl(&["-tls1_2", "-no_ticket", "-sess_in", text(&session)], request);
    assert!(second.contains("Reused, TLSv1.2"), "{second}");
    let old = openssl(&["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"], request);
    assert!(old.contains("alert protocol version") || old.contains("handshake failure"), "{old}");
    let again = openssl(&["-tls1_2"], "R\n");
    assert!(again.contains("no renegotiation"), "{again}");
}

#[test]
fn a_message_reaches_streams_and_polls_and_the_end_is_told() {
    let authority = Authority::new();
    let mut server = start(&[&authority.issue(&["localhost"])], &[]);
    let config = trusting(&authority);
    let mut streams: Vec<Client> = (0..20).map(|_| Client::connect(&server, &config)).collect();
    for stream in &mut streams {
        stream.send(b"GET /api/stream?channel=a HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.read_until("\"connected\"");
    }
    let mut poll = Client::connect(&server, &config);
    poll.send(
        b"GET /api/longpoll?channel=a&last_id=0 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    );
    let large = "x".repeat(60_000);
    for (number, text) in [(1, "first"), (2, large.as_str()), (3, "third")] {
        let body = ["--data-binary", text];
        ask(&server, &authority, "localhost", &body, "/api/message?channel=a");
        for stream in &mut streams {
            let line = stream.read_until(&format!("\"counter\":{number}"));
            assert!(line.contains(text), "{number}");
        }
    }
    assert!(poll.rest().unwrap().contains("first"));
    assert_eq!(streams[0].handshake_kind(), Some(rustls::HandshakeKind::Full));
    server.signal(Signal::TERM);
    for stream in &mut streams {
        stream.read_until("\"draining\"");
        // An end that was not told of would be an error.
        assert!(stream.rest().unwrap().ends_with("0\r\n\r\n"));
    }
    assert!(server.wait().success());
}

#[test]
fn content_arrives_whole_however_it_is_cut_into_records() {
    let authority = Authority::new();
    let server = start(&[&authority.issue(&["localhost"])], &["--max-payload-bytes", "1000000"]);
    let config = trusting(&authority);
    let content: String = (0..300_000).map(|number| char::from(b'a' + (number % 23) as u8)).collect();
    let mut client = Client::connect(&server, &config);
    let length = content.len();
    let head = "POST /api/message?channel=a HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n";
    client.send(format!("{head}Content-Length: {length}\r\n\r\n").as_bytes());
    let mut rest = content.as_bytes();
    for size in [1, 2, 3, 100, 5_000, 16_384, 16_385, 40_000].into_iter().cycle() {
        let (piece, more) = rest.split_at(size.min(rest.len()));
        client.send(piece);
        rest = more;
        if rest.is_empty() {
            break;
        }
    }
    let (status, answered) = client.head();
    assert_eq!(status, 201);
    assert_ne!(answered, 0);
    let read = ask(&server, &authority, "localhost", &["--http2"], "/api/poll?channel=a");
    assert!(read.contains(&content));
}
