//! Following who is present: a list once the position is known, then its changes, and another list after a gap.

use std::time::Duration;

use futures_util::StreamExt;
use poll_client::{PresenceEvent, PresenceEvents};

use crate::fake::{self, STREAM_HEAD, answer, channel, chunk, cursor, line, ok};

/// A line with something published on the channel of joins and leaves.
fn told(seq: u64, content: &str) -> String {
    let at = r#""timestamp":"2026-11-20T22:49:38.123456Z""#;
    let cursor = cursor(seq);
    chunk(&format!(
        "{{\"type\":\"update\",\"counter\":{seq},\"id\":{seq},\"message\":{content},\"cursor\":\"{cursor}\",{at}}}\n"
    ))
}

fn change(event: &str, id: &str) -> String {
    format!(r#"{{"event":"{event}","id":"{id}","at":"2026-11-20T22:49:38.000001Z"}}"#)
}

fn list(ids: &[&str]) -> String {
    let clients = ids.iter().map(|id| format!(r#"{{"id":"{id}","since":"2026-11-20T22:49:37.000000Z"}}"#));
    let clients = clients.collect::<Vec<_>>().join(",");
    ok(&format!(r#"{{"channel":"c","count":{},"clients":[{clients}]}}"#, ids.len()))
}

/// The next event: the names of a list, `+` or `-` with a name, `error`, `end`.
async fn next(events: &mut PresenceEvents) -> String {
    let next = tokio::time::timeout(Duration::from_secs(3600), events.next()).await;
    match next.expect("an event within the hour") {
        Some(Ok(PresenceEvent::Present(list))) => {
            list.clients.iter().map(|client| client.id.as_str()).collect::<Vec<_>>().join(" ")
        }
        Some(Ok(PresenceEvent::Join { id, .. })) => format!("+{id}"),
        Some(Ok(PresenceEvent::Leave { id, .. })) => format!("-{id}"),
        Some(Err(error)) => format!("error: {error}"),
        None => "end".to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn no_change_is_missed_between_the_list_and_what_follows_it() {
    let (client, mut server) = fake::client();
    let mut events = client.follow_presence(&channel()).unwrap();
    let script = tokio::spawn(async move {
        let mut stream = server.accept().await;
        let asked = stream.request().await.unwrap();
        assert_eq!((asked.path(), asked.query("channel")), ("/api/stream", Some("presence%2Fc")));
        stream.send(STREAM_HEAD).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(server.is_quiet(), "nothing is listed before it is known where changes begin");
        stream.send(chunk(&(line("connected", 5, "") + "\n"))).await;
        let mut lists = server.accept().await;
        let asked = lists.request().await.unwrap();
        assert_eq!((asked.path(), asked.query("channel")), ("/api/presence", Some("c")));
        // Changes while the list is awaited, whose first request fails.
        stream.send(told(6, &change("join", "bob"))).await;
        lists.send(answer("503 Service Unavailable", "", "")).await;
        lists.request().await.unwrap();
        lists.send(list(&["ann"])).await;
        for other in ["null", r#""join""#, &change("renamed", "ann")] {
            stream.send(told(7, other)).await;
        }
        stream.send(chunk(&(line("reset", 9, r#","missed":2"#) + "\n"))).await;
        lists.request().await.unwrap();
        lists.send(list(&["ann", "carl"])).await;
        // The list had this join already.
        stream.send(told(10, &change("leave", "bob"))).await;
        stream.send(told(11, &change("leave", "ann"))).await;
        stream.send(chunk(&(line("closed", 11, r#","reason":"ended""#) + "\n")) + "0\r\n\r\n").await;
        stream.until_closed().await;
    });
    for expected in ["ann", "+bob", "ann carl", "-bob", "-ann", "end"] {
        assert_eq!(next(&mut events).await, expected);
    }
    drop((events, client));
    script.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_refused_is_the_end() {
    let (client, mut server) = fake::client();
    let mut events = client.follow_presence(&channel()).unwrap();
    tokio::spawn(async move {
        let mut stream = server.accept().await;
        stream.request().await.unwrap();
        stream.send(STREAM_HEAD.to_owned() + &chunk(&(line("connected", 5, "") + "\n"))).await;
        let mut lists = server.accept().await;
        lists.request().await.unwrap();
        lists.send(answer("403 Forbidden", "", "")).await;
        stream.until_closed().await;
    });
    assert!(next(&mut events).await.starts_with("error: the server answered 403"));
    assert_eq!(next(&mut events).await, "end");
}
