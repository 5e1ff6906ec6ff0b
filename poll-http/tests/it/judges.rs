//! What programs that are not ours make of the answers: curl, nghttp and Python's h2, over one real socket.
//!
//! Where a machine has neither, there is nothing to judge with, and the tests say so and pass.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use poll_core::{ChannelName, Payload, Publish, Retention, Store};
use poll_http::{ConnectionSettings, Service, serve};
use tokio::net::TcpListener;

/// A server on a port of its own, with a channel that has ended: `a`, `b`, `c`.
async fn server() -> String {
    format!("http://{}", server_with(&[("ended", 3)]).await)
}

/// A server with channels that have ended, each with so many messages: `a`, `b` and so on.
async fn server_with(channels: &[(&str, u8)]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = Service::builder(Store::in_memory(Retention::default())).build();
    for &(channel, count) in channels {
        let channel = ChannelName::parse(channel).unwrap();
        for n in 0..count {
            let publish = Publish::one(Payload::text(char::from(b'a' + n).to_string()));
            let publish = if n + 1 == count { publish.closing() } else { publish };
            service.publish(&channel, publish).await.unwrap();
        }
    }
    tokio::spawn(async move {
        loop {
            let (socket, peer) = listener.accept().await.unwrap();
            let context = Arc::new(service.connections(ConnectionSettings::default()));
            tokio::spawn(serve(socket, peer, service.clone(), context));
        }
    });
    address
}

/// Runs a program to its end; `None` where there is no such program.
#[expect(clippy::print_stdout, reason = "a test that judged nothing must not look like one that did")]
async fn judge(program: &'static str, arguments: Vec<String>) -> Option<String> {
    let run = move || {
        let output = std::process::Command::new(program).args(&arguments).stdin(Stdio::null()).output();
        output.ok().map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let output = tokio::time::timeout(Duration::from_secs(60), tokio::task::spawn_blocking(run)).await;
    let output = output.expect("the program ends").unwrap();
    if output.is_none() {
        println!("there is no {program} here: nothing was judged");
    }
    output
}

#[tokio::test]
async fn curl_reads_every_pattern_in_both_protocols() {
    let base = server().await;
    for version in ["--http1.1", "--http2-prior-knowledge", "--http1.0"] {
        let curl = async |path: &str, more: &[&str]| {
            let mut arguments: Vec<String> =
                ["-sS", "-N", "--max-time", "50", "-w", "\n%{http_code} %{exitcode}", version]
                    .map(str::to_owned)
                    .into();
            arguments.extend(more.iter().map(|&more| more.to_owned()));
            arguments.push(format!("{base}{path}"));
            judge("curl", arguments).await
        };
        let Some(poll) = curl("/api/poll?channel=ended", &[]).await else { return };
        assert!(poll.contains(r#""count":3"#) && poll.ends_with("\n200 0"), "{version} {poll}");
        for pattern in ["stream", "push"] {
            let lines = curl(&format!("/api/{pattern}?channel=ended&last_id=0"), &[]).await.unwrap();
            let lines: Vec<&str> = lines.lines().collect();
            assert_eq!(lines.len(), 7, "{version} {lines:?}");
            assert!(lines[4].starts_with(r#"{"type":"closed","reason":"ended""#), "{version} {lines:?}");
            assert_eq!(lines[6], "200 0", "a clean end");
        }
        let events =
            curl("/api/stream?channel=ended&last_id=0", &["-H", "Accept: text/event-stream"]).await.unwrap();
        assert_eq!(events.matches("\ndata: ").count(), 5, "{version} {events}");
        let timeout = curl("/api/longpoll?channel=new&timeout=0.05", &[]).await.unwrap();
        assert!(timeout.contains(r#""count":0"#) && timeout.ends_with("\n200 0"), "{version} {timeout}");
        let head = curl("/api/poll?channel=ended", &["-I"]).await.unwrap();
        assert!(
            head.to_ascii_lowercase().contains("etag: w/") && head.ends_with("\n200 0"),
            "{version} {head}"
        );
        let posted = curl("/messages", &["--data", r#"{"body":"x"}"#]).await.unwrap();
        assert!(posted.contains(r#""body":"x""#), "{version} {posted}");
        let none = curl("/nothing", &[]).await.unwrap();
        assert!(none.ends_with("\n404 0"), "{version} {none}");
    }
}

#[tokio::test]
async fn curl_and_nghttp_read_several_channels() {
    let address = server_with(&[("one", 2), ("two", 3)]).await;
    let zero = "0".repeat(32);
    let query = format!("channel=one&channel=two&cursor={zero}");
    let url = |pattern: &str, query: &str| format!("http://{address}/api/{pattern}?{query}");
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let curl = async |target: String| {
            let arguments = ["-sS", "-N", "--max-time", "50", "-w", "\n%{http_code} %{exitcode}", version];
            judge("curl", arguments.map(str::to_owned).into_iter().chain([target]).collect()).await
        };
        let Some(poll) = curl(url("longpoll", &query)).await else { return };
        assert!(poll.contains(r#""count":5"#) && poll.ends_with("\n200 0"), "{version} {poll}");
        let token = poll.split(r#""cursor":""#).nth(1).unwrap().split('"').next().unwrap();
        let rest = curl(url("poll", &format!("channel=one&channel=two&cursor={token}"))).await.unwrap();
        assert!(rest.contains(r#""count":0"#) && rest.contains(r#""closed":true"#), "{version} {rest}");
        for pattern in ["stream", "push"] {
            let lines = curl(url(pattern, &query)).await.unwrap();
            assert_eq!(lines.matches(r#"{"type":"update","channel":"one""#).count(), 2, "{version} {lines}");
            assert_eq!(lines.matches(r#"{"type":"update","channel":"two""#).count(), 3, "{version} {lines}");
            assert_eq!(lines.matches(r#"{"type":"closed","reason":"ended""#).count(), 1, "{version} {lines}");
            assert!(lines.ends_with("\n200 0"), "a clean end: {version} {lines}");
        }
    }
    let Some(trace) = judge("nghttp", vec!["-v".to_owned(), url("push", &query)]).await else { return };
    assert_eq!(trace.matches("recv PUSH_PROMISE").count(), 5, "{trace}");
    for channel in ["one", "two"] {
        assert!(trace.contains(&format!(":path: /api/messages/{channel}/")), "{trace}");
        assert!(trace.contains(&format!(r#"{{"type":"push","channel":"{channel}","id":"#)), "{trace}");
    }
    assert!(
        trace.contains(r#"{"type":"closed","reason":"ended""#) && !trace.contains("recv RST_STREAM"),
        "{trace}"
    );
}

#[tokio::test]
async fn nghttp_takes_pushed_messages() {
    let base = server().await;
    let target = format!("{base}/api/push?channel=ended&last_id=0");
    let Some(trace) = judge("nghttp", vec!["-v".to_owned(), target]).await else {
        return;
    };
    assert_eq!(trace.matches("recv PUSH_PROMISE").count(), 3, "{trace}");
    assert_eq!(trace.matches("recv (stream_id=2) :status: 200").count(), 1, "{trace}");
    for text in ["a", "b", "c"] {
        assert!(trace.contains(&format!(r#""content":"{text}""#)), "{trace}");
    }
    assert!(trace.contains(r#"{"type":"closed","reason":"ended""#), "{trace}");
    assert!(!trace.contains("recv RST_STREAM"), "{trace}");
}

#[tokio::test]
async fn two_push_streams_on_one_connection_are_read_by_foreign_clients() {
    const EACH: u8 = 20;
    let address = server_with(&[("one", EACH), ("two", EACH)]).await;
    let paths = ["one", "two"].map(|channel| format!("/api/push?channel={channel}&last_id=0"));
    let told = |output: &str| -> Vec<usize> {
        let count = |n| output.matches(&format!(r#""content":"{}""#, char::from(b'a' + n))).count();
        (0..EACH).map(count).collect()
    };
    let mut arguments = vec!["-v".to_owned()];
    arguments.extend(paths.iter().map(|path| format!("http://{address}{path}")));
    if let Some(trace) = judge("nghttp", arguments).await {
        assert_eq!(trace.matches("recv PUSH_PROMISE").count(), usize::from(2 * EACH), "{trace}");
        assert!(!trace.contains("send GOAWAY") || trace.contains("error_code=NO_ERROR"), "{trace}");
        assert_eq!(told(&trace), vec![2; usize::from(EACH)], "{trace}");
    }
    let mut arguments = vec!["-c".to_owned(), include_str!("judges/push.py").to_owned()];
    arguments.extend([address.ip().to_string(), address.port().to_string()].into_iter().chain(paths));
    if let Some(pushed) = judge("/usr/bin/python3", arguments).await {
        assert_eq!(told(&pushed), vec![2; usize::from(EACH)], "{pushed}");
    }
}
