//! Publishing and streaming as curl does it: what its options send, and what becomes of that.
//!
//! Each row is what a person types. What a body means in detail is tested in poll-http.

use std::io::Write as _;

use crate::process::{Server, curl, output};

/// A file for curl to send.
fn file(suffix: &str, content: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(suffix).tempfile().unwrap();
    file.write_all(content).unwrap();
    file
}

/// The status and the body of the response.
fn told(arguments: &[&str]) -> (u16, String) {
    let told = output(curl(&[&["--write-out", "\n%{http_code}"], arguments].concat()));
    let (body, status) = told.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

/// curl calls every body a form unless it is told otherwise.
#[test]
fn curl_publishes_what_it_is_given() {
    let server = Server::start(&[]);
    let json = file(".json", b"{\"n\": 1}");
    let image = file(".png", b"\x89PNG\xff");
    let path = json.path().to_str().unwrap();
    let typed = format!("file=@{path};type=application/json");
    let (untyped, as_content) = (format!("file=@{path}"), format!("content=@{path}"));
    let (read, whole) = (format!("content=<{path}"), format!("@{path}"));
    let picture = format!("content=@{};type=image/png", image.path().to_str().unwrap());
    let as_json = ["-H", "content-type: application/json", "--data-binary", &whole];
    let as_bytes = ["-H", "content-type: application/octet-stream", "--data-binary", &whole];
    let cases: [(&[&str], &str); 19] = [
        (&["-d", "hello"], r#""hello""#),
        (&["-d", "a=b&c=d"], r#""a=b&c=d""#),
        (&["-d", "content"], r#""content""#),
        (&["-d", "100% sure + more"], r#""100% sure + more""#),
        (&["-d", "other=1", "-d", "content=x y"], r#""x y""#),
        (&["--data-urlencode", "content=a&b"], r#""a&b""#),
        (&["-d", &whole], r#""{\"n\": 1}""#),
        (&["--data-binary", &whole], r#""{\"n\": 1}""#),
        (&as_bytes, r#""{\"n\": 1}""#),
        (&as_json, r#"{"n":1}"#),
        (&["--json", "[1, null]"], "[1,null]"),
        (&["--json", r#""""#], r#""""#),
        (&["-H", "content-type: text/markdown", "-d", "# Hi"], r##""# Hi""##),
        (&["-F", "content=hi"], r#""hi""#),
        (&["-F", &read], r#""{\"n\": 1}""#),
        (&["-F", &as_content], r#""{\"n\": 1}""#),
        (&["-F", &untyped], r#""{\"n\": 1}""#),
        (&["-F", &typed, "-F", "note=x"], r#"{"n":1}"#),
        (&["-F", &picture], r#""iVBOR/8=","encoding":"base64""#),
    ];
    let url = server.url("/api/message?channel=c");
    for (number, (arguments, content)) in cases.into_iter().enumerate() {
        let (status, body) = told(&[arguments, &[&url]].concat());
        assert_eq!(status, 201, "{arguments:?}: {body}");
        let answer = server.get(&format!("/api/messages/c/{}", number + 1));
        assert!(answer.contains(&format!("\"content\":{content},")), "{arguments:?}: {answer}");
    }
}

#[test]
fn what_curl_cannot_publish_is_refused_with_the_remedy() {
    let server = Server::start(&["--max-payload-bytes", "100000"]);
    let lines = |count: usize, line: &str| file(".ndjson", format!("{line}\n").repeat(count).as_bytes());
    let (most, too_many) = (lines(1_000, "1"), lines(1_001, "1"));
    let too_large = lines(12, &format!("\"{}\"", "x".repeat(90_000)));
    let one_too_large = lines(1, &format!("\"{}\"", "x".repeat(100_000)));
    let at = |file: &tempfile::NamedTempFile| format!("@{}", file.path().to_str().unwrap());
    let ndjson = "content-type: application/x-ndjson";
    let as_lines = |file: &str| ["-H", ndjson, "--data-binary", file].map(str::to_owned).to_vec();
    let words = |arguments: &[&str]| arguments.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let long = format!("content={}", "x".repeat(100_001));
    let cases = [
        (as_lines(&at(&most)), 201, "\"count\":1000"),
        (as_lines(&at(&too_many)), 413, "more than 1000 lines"),
        (as_lines(&at(&too_large)), 413, "more than 1048576 bytes"),
        (as_lines(&at(&one_too_large)), 413, "more than 100000 bytes"),
        (as_lines("1\n{"), 400, "line 2"),
        (words(&["-X", "POST"]), 400, "`content` is missing or empty"),
        (words(&["-d", ""]), 400, "it goes to `default`"),
        (words(&["-d", "content="]), 400, "`content` is missing or empty"),
        (words(&["-F", "content="]), 400, "`content` is missing or empty"),
        (words(&["-F", "other=x"]), 415, "no `content` field"),
        (
            words(&["-F", &format!("a={}", at(&most)), "-F", &format!("b={}", at(&most))]),
            415,
            "not just one file",
        ),
        (words(&["-F", "content=a", "-F", "content=b"]), 400, "more than one `content`"),
        (words(&["-H", "content-type: multipart/form-data", "-d", "x"]), 400, "no boundary"),
        (words(&["--json", "{"]), 400, "the body: "),
        (words(&["-H", "content-type: text/plain", "--data-binary", &long]), 413, "100000 bytes"),
        (words(&["-d", &long]), 413, "100000 bytes"),
        (words(&["-F", &long]), 413, "100000 bytes"),
    ];
    let url = server.url("/api/message?channel=c");
    for (arguments, status, detail) in cases {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain([&*url]).collect();
        let (got, body) = told(&arguments);
        assert_eq!((got, body.contains(detail)), (status, true), "{arguments:.200?}: {body:.500}");
    }
    // What was refused left nothing behind.
    assert!(server.get("/api/poll?channel=c&last_id=1000").contains("\"messages\":[]"));
    let (status, body) = told(&["-d", "x", &server.url("/api/message?channel=")]);
    assert_eq!((status, body.contains("leave it out for `default`")), (400, true), "{body}");
}

#[test]
fn only_the_address_names_the_channel() {
    let server = Server::start(&[]);
    let url = server.url("/api/message");
    for (arguments, content) in [
        (&["-d", "hello"][..], r#""hello""#),
        (&["--json", r#"{"channel":"elsewhere"}"#], r#"{"channel":"elsewhere"}"#),
        (&["-F", "channel=elsewhere", "-F", "content=x"], r#""x""#),
        (&["-d", "channel=elsewhere"], r#""channel=elsewhere""#),
    ] {
        let (status, body) = told(&[arguments, &[&url]].concat());
        assert_eq!(status, 201, "{body}");
        assert!(body.starts_with(r#"{"channel":"default","#), "{body}");
        let poll = server.get("/api/poll");
        assert!(poll.contains(&format!("\"content\":{content},")), "{poll}");
    }
    assert!(server.get("/api/poll?channel=elsewhere").contains("\"messages\":[]"));
    // Only a demonstration server publishes something where nothing is given.
    let demo = Server::start(&["--demo", "--demo-interval-seconds", "3600"]);
    let (status, _) = told(&["-X", "POST", &demo.url("/api/message?channel=c")]);
    assert_eq!(status, 201);
    assert!(demo.get("/api/poll?channel=c").contains("\"content\":\"Test message\""));
}

#[test]
fn a_repeated_publish_is_answered_like_the_first() {
    let server = Server::start(&["--retain-messages", "1"]);
    let url = server.url("/api/message?channel=c");
    let publish =
        |key: &str, content: &str| told(&["-H", &format!("Idempotency-Key: {key}"), "--json", content, &url]);
    let (status, first) = publish("k", "1");
    assert_eq!(status, 201, "{first}");
    assert_eq!(publish("k", " 1 "), (200, first.clone()));
    assert_eq!(publish("k", "2").0, 422);
    assert_eq!(publish(&"k".repeat(255), "2").0, 201);
    assert_eq!(publish(&"k".repeat(256), "2").0, 400);
    let cursor = first.split("\"cursor\":\"").nth(1).unwrap().split('"').next().unwrap();
    let gone = format!("{{\"channel\":\"c\",\"id\":1,\"cursor\":\"{cursor}\"}}");
    assert_eq!(publish("k", "1"), (200, gone));
}

#[test]
fn a_streams_form_is_what_the_format_or_else_accept_says() {
    let server = Server::start(&[]);
    for step in [r#"{"step":1,"total":2}"#, r#"{"step":2,"total":2,"status":"done"}"#] {
        assert_eq!(told(&["-d", step, &server.url("/api/progress/j")]).0, 202);
    }
    let (lines, events) = ("application/x-ndjson", "text/event-stream");
    let cases = [
        ("", "", lines),
        ("", "*/*", lines),
        ("", "application/json", lines),
        ("", events, events),
        ("", "text/*", events),
        ("", "text/event-stream;q=0.5, application/x-ndjson;q=0.6", lines),
        ("", "text/event-stream;q=0.6, application/x-ndjson;q=0.5", events),
        ("", "text/event-stream;q=0", lines),
        ("&format=sse", "", events),
        ("&format=sse", lines, events),
        ("&format=lines", events, lines),
    ];
    // Streams that end, asked for whole, and streams that do not.
    let (whole, head): (&[&str], &[&str]) = (&["--include"], &["--head"]);
    let paths = [
        ("/api/stream?channel=progress/j&last_id=0", &[whole, head][..]),
        ("/api/push?channel=progress/j&last_id=0", &[whole, head]),
        ("/api/progress/j?last_id=0", &[whole, head]),
        ("/api/stream?channel=a&channel=b", &[head]),
        ("/api/progress?channel=none", &[head]),
    ];
    for (path, ways) in paths {
        for (format, accept, media) in cases {
            let url = server.url(&format!("{path}{format}"));
            // Without a value curl leaves the field out.
            let accept = format!("Accept:{accept}");
            for way in ways {
                let answer = output(curl(&[way, &["-H", &*accept, &url][..]].concat())).to_lowercase();
                let head = answer.split("\r\n\r\n").next().unwrap();
                assert!(head.starts_with("http/1.1 200"), "{url} {accept}: {head}");
                assert!(head.contains(&format!("content-type: {media}\r\n")), "{url} {accept}: {head}");
                assert!(head.contains("vary: accept\r\n"), "{url} {accept}: {head}");
            }
        }
    }
    // At the end of an ended channel an EventSource is told to stop, and a reader of lines gets its last line.
    let end = server.url("/api/stream?channel=progress/j&last_id=2");
    for (accept, status) in [(lines, "200"), (events, "204")] {
        let answer = output(curl(&["--include", "-H", &format!("Accept: {accept}"), &end])).to_lowercase();
        assert!(
            answer.starts_with(&format!("http/1.1 {status}")) && answer.contains("vary: accept\r\n"),
            "{answer}"
        );
    }
}
