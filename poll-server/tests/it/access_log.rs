//! The access log as an operator gets it: off, as text, as JSON, filtered, and never with a secret.

use serde_json::Value;

use crate::process::{Server, command, curl, output};

#[test]
fn nothing_is_logged_of_a_request_unless_it_is_asked_for() {
    let server = Server::start(&[]);
    server.get("/api/poll?channel=news");
    let mut filtered = command();
    filtered.args(["--listen", "127.0.0.1:0", "--access-log"]).env("RUST_LOG", "info,access=off");
    let filtered = Server::start_command(filtered, 1);
    filtered.get("/api/poll?channel=news");
    for server in [server, filtered] {
        assert!(server.lines("method=").is_empty());
    }
}

#[test]
fn text_is_key_and_value() {
    let server = Server::start(&["--access-log", "--publish-token", "hush-hush"]);
    let publish = server.url("/api/message?channel=news&content=a-secret&access_token=hush-hush");
    output(curl(&["-X", "POST", &publish]));
    let trace = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    output(curl(&["-H", "X-Request-Id: from-me", "-H", trace, &server.url("/api/poll?channel=news")]));
    server.wait_for(1, "id=from-me");
    let line = server.lines("id=from-me").remove(0);
    let expected = " INFO id=from-me trace=0af7651916cd43dd8448eb211c80319c client=127.0.0.1 method=GET path=/api/poll \
                    protocol=HTTP/1.1 status=200 pattern=short channel=news delivered=1 bytes=";
    assert!(line.contains(expected) && line.ends_with(" end=complete"), "{line}");
    assert!(server.lines("hush-hush").is_empty() && server.lines("a-secret").is_empty());
}

#[test]
fn json_has_a_member_for_each_value() {
    let server = Server::start(&["--access-log", "--log", "json"]);
    output(curl(&[
        "--http2-prior-knowledge",
        "-H",
        "X-Request-Id: two",
        "-H",
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        &server.url("/api/poll?channel=news"),
    ]));
    server.wait_for(1, "\"id\":\"two\"");
    let line: Value = serde_json::from_str(&server.lines("\"id\":\"two\"")[0]).unwrap();
    assert_eq!((&line["protocol"], &line["status"]), (&"HTTP/2".into(), &200.into()), "{line}");
    assert_eq!((&line["channel"], &line["delivered"]), (&"news".into(), &0.into()), "{line}");
    assert_eq!(line["trace"], "0af7651916cd43dd8448eb211c80319c", "{line}");
    assert!(line["seconds"].is_number() && line["timestamp"].is_string(), "{line}");
    assert!(line.get("channels").is_none(), "{line}");
}
