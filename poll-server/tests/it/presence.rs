//! Presence over real sockets: one server with its log on disk, and two over one Redis of which one is killed.

use std::io::Write as _;
use std::net::TcpStream;

use crate::process::{Server, ask};

/// A stream of channel `c` that a named client has open.
fn stream(server: &Server, client: &str) -> TcpStream {
    let mut socket = server.connect();
    let host = server.addresses[0];
    let head = format!("GET /api/stream?channel=c HTTP/1.1\r\nHost: {host}\r\nX-Client-ID: {client}\r\n\r\n");
    socket.write_all(head.as_bytes()).unwrap();
    socket
}

/// How often something was told on `c`.
fn count(server: &Server, event: &str, client: &str) -> usize {
    let told = server.get("/api/poll?channel=presence/c");
    told.matches(&format!("{{\"event\":\"{event}\",\"id\":\"{client}\",")).count()
}

#[test]
fn a_client_with_an_open_stream_is_listed_told_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("disk:{}", folder.path().join("data").display());
    let server = Server::start(&["--presence", "--store", &store]);
    let _stream = stream(&server, "ann");
    server.get_until("/api/presence?channel=c", "\"count\":1,\"clients\":[{\"id\":\"ann\",\"since\":\"");
    server.get_until("/api/poll?channel=presence/c", "{\"event\":\"join\",\"id\":\"ann\",\"at\":\"");
    server.get_until("/metrics", "\npoll_presence_clients 1\n");
    let refused = server.post("/api/message?channel=presence/c&content=x");
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    drop(server);
    // Killed with the stream open: the next process finds in the log that its client was there.
    let server = Server::start(&["--presence", "--store", &store]);
    server.get_until("/api/presence?channel=c", "\"id\":\"ann\"");
    assert_eq!(count(&server, "join", "ann"), 1);
}

#[test]
fn without_the_flag_there_is_no_presence() {
    let server = Server::start(&[]);
    assert!(ask(&mut server.connect(), "/api/presence").starts_with("HTTP/1.1 404 "));
    assert!(server.post("/api/message?channel=presence/c&content=x").starts_with("HTTP/1.1 201 "));
}

#[cfg(feature = "redis")]
#[test]
fn the_clients_of_a_killed_server_are_told_to_leave_by_another_once() {
    let redis = crate::redis::Redis::start(&[]);
    let node = || Server::start(&["--presence", "--store", &redis.url()]);
    let (first, second) = (node(), node());
    let (_ann, _bob) = (stream(&first, "ann"), stream(&second, "bob"));
    for server in [&first, &second] {
        server.get_until("/api/presence?channel=c", "\"count\":2,");
    }
    second.get_until("/api/poll?channel=presence/c", "\"id\":\"bob\"");
    let killed = std::time::Instant::now();
    drop(first);
    let _carl = stream(&second, "carl");
    second.get_until("/api/presence?channel=c", "\"count\":3,");
    second.get_until("/api/poll?channel=presence/c", "{\"event\":\"leave\",\"id\":\"ann\",");
    let seconds = killed.elapsed().as_secs();
    assert!((9..20).contains(&seconds), "{seconds}");
    second.get_until("/api/presence?channel=c", "\"count\":2,");
    for (event, client, times) in [
        ("join", "ann", 1),
        ("join", "bob", 1),
        ("join", "carl", 1),
        ("leave", "ann", 1),
        ("leave", "bob", 0),
    ] {
        assert_eq!(count(&second, event, client), times, "{event} {client}");
    }
}
