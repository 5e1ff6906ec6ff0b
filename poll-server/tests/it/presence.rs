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

/// Three servers over one Redis. What one of them answered holds on the others once it is killed: nothing of administration is
/// lost, its clients are present for as long as its lease lasts and then leave, told once, and a client that came back to
/// another server within that time was never away.
#[cfg(feature = "redis")]
mod three_servers {
    use std::collections::BTreeSet;
    use std::io::{Read as _, Write as _};
    use std::time::{Duration, Instant};

    use serde_json::Value;

    use super::{count, stream};
    use crate::process::Server;
    use crate::redis::Redis;

    const PATIENCE: Duration = Duration::from_secs(60);
    const SETTINGS: &str = r#""settings":{"retain_messages":3,"retain_seconds":null,"retain_bytes":null}"#;

    fn node(redis: &Redis) -> Server {
        Server::start(&["--presence", "--admin-token", "t", "--store", &redis.url()])
    }

    /// A server's answer to an administration request; its status must be 200.
    fn administer(server: &Server, method: &str, path: &str, content: &str) -> String {
        let mut socket = server.connect();
        let fields = format!("Host: {}\r\nAuthorization: Bearer t\r\nConnection: close", server.addresses[0]);
        let length = content.len();
        write!(socket, "{method} {path} HTTP/1.1\r\n{fields}\r\nContent-Length: {length}\r\n\r\n{content}")
            .unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{method} {path}: {answer}");
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// The members of a channel that come from the log, and so are the same on every server.
    fn state(server: &Server, channel: &str) -> Value {
        let state = administer(server, "GET", &format!("/admin/channels/{channel}"), "");
        let mut state: Value = serde_json::from_str(&state).unwrap();
        state.as_object_mut().unwrap().remove("waiters");
        state
    }

    fn present(server: &Server) -> BTreeSet<String> {
        let answer = server.get("/api/presence?channel=c");
        let list: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        let clients = list["clients"].as_array().unwrap();
        clients.iter().map(|client| client["id"].as_str().unwrap().to_owned()).collect()
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn settings_are_kept_and_presence_is_right_within_its_lease_when_one_is_killed() {
        let redis = Redis::start(&[]);
        let (first, second, third) = (node(&redis), node(&redis), node(&redis));
        // The first server to write publishes joins and leaves, until it is killed.
        let _ann = stream(&first, "ann");
        first.get_until("/api/poll?channel=presence/c", "\"id\":\"ann\"");
        let _dora = stream(&first, "dora");
        let _bob = stream(&second, "bob");
        let _carl = stream(&third, "carl");
        for server in [&first, &second, &third] {
            server.get_until("/api/presence?channel=c", "\"count\":4,");
        }
        second.get_until("/api/poll?channel=presence/c", "\"id\":\"carl\"");
        for channel in ["kept", "closed", "purged"] {
            assert!(second.post(&format!("/api/message?channel={channel}&content=x")).contains(" 201 "));
        }
        administer(&first, "POST", "/admin/channels/closed/close", "");
        administer(&first, "POST", "/admin/channels/purged/purge", "");
        let set_to = administer(&first, "PUT", "/admin/channels/kept/settings", r#"{"retain_messages":3}"#);
        assert!(set_to.contains(SETTINGS), "{set_to}");
        drop(first);
        let killed = Instant::now();

        for server in [&second, &third] {
            let kept = administer(server, "GET", "/admin/channels/kept", "");
            assert!(kept.contains(SETTINGS), "{kept}");
            assert_eq!(state(server, "closed")["closed"], true);
            assert_eq!(state(server, "purged")["messages"], 0);
        }
        for _ in 0..5 {
            assert!(third.post("/api/message?channel=kept&content=x").contains(" 201 "));
        }
        let kept = state(&second, "kept");
        assert_eq!((&kept["messages"], &kept["oldest"], &kept["newest"]), (&3.into(), &4.into(), &6.into()));
        let refused = second.post("/api/message?channel=closed&content=x");
        assert!(refused.starts_with("HTTP/1.1 409 "), "{refused}");

        let _dora_again = stream(&second, "dora");
        let (all, left) = (set(&["ann", "bob", "carl", "dora"]), set(&["bob", "carl", "dora"]));
        for server in [&second, &third] {
            loop {
                let (now, elapsed) = (present(server), killed.elapsed());
                if now == left {
                    // Ten seconds of a lease at least are behind the last record of a server.
                    assert!(elapsed >= Duration::from_secs(9), "{elapsed:?}");
                    break;
                }
                assert_eq!(now, all, "after {elapsed:?}");
                assert!(elapsed < PATIENCE, "the lease never ends");
                std::thread::yield_now();
            }
        }
        // Another server publishes them now.
        let _emil = stream(&third, "emil");
        second.get_until("/api/poll?channel=presence/c", "{\"event\":\"join\",\"id\":\"emil\",");
        for (client, leaves) in [("ann", 1), ("bob", 0), ("carl", 0), ("dora", 0), ("emil", 0)] {
            assert_eq!(count(&third, "join", client), 1, "{client}");
            assert_eq!(count(&third, "leave", client), leaves, "{client}");
        }

        // A server in its place finds all of it in the log.
        let fourth = node(&redis);
        fourth.get_until("/api/presence?channel=c", "\"count\":4,");
        assert_eq!(present(&fourth), set(&["bob", "carl", "dora", "emil"]));
        for channel in ["kept", "closed", "purged"] {
            assert_eq!(state(&fourth, channel), state(&second, channel));
        }
        let names = |server: &Server| administer(server, "GET", "/admin/channels", "");
        for channel in ["c", "closed", "kept", "purged", "presence/c"] {
            let is_there = names(&fourth).contains(&format!("{{\"channel\":\"{channel}\","));
            assert_eq!(is_there, channel != "c", "nothing was published to c itself: {}", names(&fourth));
        }
    }
}
