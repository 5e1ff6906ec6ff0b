//! Durable Streams: what is sent, what is repeated, and what is made of the answers, on paused time.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use poll_client::durable_streams::{
    Append, AppendError, Birth, Chunk, Claim, Create, DurableStream, Fork, Live, Offset, Producer, Reach,
};
use poll_client::{Client, Error, Subscription};

use crate::fake::{self, Asked, Fake, answer, chunk, play};

const PATH: &str = "/v1/stream/orders";

fn offset(text: &str) -> Offset {
    text.parse().unwrap()
}

fn stream() -> (DurableStream, Fake) {
    let (client, server) = fake::client();
    (DurableStream::new(&client, PATH).unwrap(), server)
}

fn stored(at: &str) -> String {
    answer("200 OK", &format!("Stream-Next-Offset: {at}\r\n"), "")
}

fn numbers(asked: &[Asked]) -> Vec<(&str, &str)> {
    asked
        .iter()
        .map(|asked| (asked.header("producer-epoch").unwrap(), asked.header("producer-seq").unwrap()))
        .collect()
}

/// The rest of a subscription: content, where to go on and what follows.
async fn rest(chunks: &mut Subscription<Chunk>) -> Vec<String> {
    let mut seen = Vec::new();
    while let Some(chunk) = chunks.next().await {
        seen.push(match chunk {
            Ok(chunk) => {
                format!("{} {} {:?}", String::from_utf8_lossy(&chunk.data), chunk.next, chunk.reach)
            }
            Err(error) => format!("error: {error}"),
        });
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_created_read_and_deleted_as_asked() {
    let (stream, server) = stream();
    let next = "Stream-Next-Offset: 3\r\n";
    let script = tokio::spawn(play(
        server,
        vec![
            answer("201 Created", &format!("{next}Content-Type: text/plain\r\n"), ""),
            answer("200 OK", next, ""),
            answer("200 OK", &format!("{next}Stream-Closed: TRUE\r\nStream-TTL: 60\r\n"), ""),
            answer("200 OK", &format!("{next}Poll-Missed: 2\r\n"), "abc"),
            answer("204 No Content", "", ""),
        ],
    ));
    let create = Create::new("text/plain").ttl(Duration::from_secs(60)).body("abc").closed();
    let created = stream.create(&create).await.unwrap();
    assert_eq!((created.birth, created.end.as_str()), (Birth::New, "3"));
    let fork = Fork::new("/v1/stream/source").after(&offset("1_0")).further(4);
    assert_eq!(stream.create(&Create::fork(fork)).await.unwrap().birth, Birth::Existing);
    let known = stream.head().await.unwrap();
    assert!(known.closed && known.ttl == Some(Duration::from_secs(60)));
    let read = stream.read(&Offset::START).await.unwrap();
    assert_eq!((&*read.data, read.reach, read.missed), (&b"abc"[..], Reach::Further, 2));
    stream.delete().await.unwrap();

    let asked = script.await.unwrap();
    let lines: Vec<_> = asked.iter().map(|asked| asked.line.as_str()).collect();
    let line = |method: &str, more: &str| format!("{method} {PATH}{more} HTTP/1.1");
    let expected =
        [line("PUT", ""), line("PUT", ""), line("HEAD", ""), line("GET", "?offset=-1"), line("DELETE", "")];
    assert_eq!(lines, expected);
    for (at, name, value) in [
        (0, "content-type", Some("text/plain")),
        (0, "stream-ttl", Some("60")),
        (0, "stream-closed", Some("true")),
        (0, "stream-forked-from", None),
        (1, "content-type", None),
        (1, "stream-closed", None),
        (1, "stream-forked-from", Some("/v1/stream/source")),
        (1, "stream-fork-offset", Some("1_0")),
        (1, "stream-fork-sub-offset", Some("4")),
    ] {
        assert_eq!(asked[at].header(name), value, "{at} {name}");
    }
    assert_eq!(asked[0].body, b"abc");
}

#[tokio::test(start_paused = true)]
async fn a_producer_repeats_what_was_not_answered_under_the_same_number() {
    let (stream, server) = stream();
    let busy = answer("503 Service Unavailable", "Retry-After: 7\r\n", "");
    let script = tokio::spawn(play(server, vec![String::new(), busy, stored("1"), stored("2"), stored("3")]));
    let mut producer = Producer::new(&stream, "shop").unwrap().epoch(4).seq(9);
    let end = producer.append(Append::json("a").unwrap()).await.unwrap();
    assert_eq!((end, producer.position()), (Some(offset("1")), (4, 10)));
    producer.append(Append::json_values(&[1, 2]).unwrap()).await.unwrap();
    for _ in 0..2 {
        // Once it is closed, no request says so again.
        assert_eq!(producer.close(None).await.unwrap(), Some(offset("3")));
    }
    let asked = script.await.unwrap();
    assert_eq!(numbers(&asked), [("4", "9"), ("4", "9"), ("4", "9"), ("4", "10"), ("4", "11")]);
    let bodies: Vec<_> = asked.iter().map(|asked| String::from_utf8_lossy(&asked.body)).collect();
    assert_eq!(bodies, ["[\"a\"]", "[\"a\"]", "[\"a\"]", "[1,2]", ""]);
    assert!(asked.iter().all(|asked| asked.header("producer-id") == Some("shop")));
    assert_eq!(asked[4].header("stream-closed"), Some("true"));
}

#[tokio::test(start_paused = true)]
async fn an_append_that_was_given_up_is_settled_before_the_next() {
    let (stream, mut server) = stream();
    let mut producer = Producer::new(&stream, "shop").unwrap();
    let mut peer = {
        let mut append = Box::pin(producer.append(Append::json(&1).unwrap()));
        tokio::select! {
            done = &mut append => panic!("{done:?}"),
            peer = server.accept() => peer,
        }
    };
    assert!(peer.request().await.is_none_or(|asked| asked.body == b"[1]"));
    drop(peer);
    let next = producer.append(Append::json(&2).unwrap()).await;
    assert!(matches!(next, Err(AppendError::InDoubt)), "{next:?}");
    let script =
        tokio::spawn(play(server, vec![answer("204 No Content", "Producer-Seq: 0\r\n", ""), stored("2")]));
    assert_eq!(producer.settle().await.unwrap(), None);
    assert_eq!(producer.append(Append::json(&2).unwrap()).await.unwrap(), Some(offset("2")));
    assert_eq!(producer.settle().await.unwrap(), None);
    let asked = script.await.unwrap();
    assert_eq!(numbers(&asked), [("0", "0"), ("0", "1")]);
    assert_eq!((&*asked[0].body, &*asked[1].body), (&b"[1]"[..], &b"[2]"[..]));
}

#[tokio::test(start_paused = true)]
async fn the_next_epoch_is_claimed_unless_the_append_may_be_stored() {
    let stale = || answer("403 Forbidden", "Producer-Epoch: 7\r\n", "");
    for (claim, answers, expected) in [
        (Claim::Next, vec![stale(), stored("1")], vec![("0", "0"), ("8", "0")]),
        (Claim::Never, vec![stale()], vec![("0", "0")]),
        (Claim::Next, vec![String::new(), stale()], vec![("0", "0"), ("0", "0")]),
    ] {
        let (stream, server) = stream();
        let is_claimed = expected.last() == Some(&("8", "0"));
        let script = tokio::spawn(play(server, answers));
        let mut producer = Producer::new(&stream, "shop").unwrap().claim(claim);
        let done = producer.append(Append::json(&1).unwrap()).await;
        assert_eq!(numbers(&script.await.unwrap()), expected);
        match done {
            Ok(_) => assert!(is_claimed && producer.position() == (8, 1)),
            Err(AppendError::StaleEpoch { current: 7 }) => assert!(!is_claimed),
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// The first attempt was stored and its answer lost; what then refuses has not looked for it.
#[tokio::test(start_paused = true)]
async fn a_refusal_that_says_nothing_of_a_lost_attempt_leaves_it_in_doubt() {
    for status in ["401 Unauthorized", "403 Forbidden", "404 Not Found", "405 Method Not Allowed"] {
        let (stream, server) = stream();
        let answers = vec![
            String::new(),
            answer(status, "", ""),
            answer(status, "", ""),
            answer("204 No Content", "Producer-Seq: 5\r\n", ""),
            stored("2"),
        ];
        let script = tokio::spawn(play(server, answers));
        let mut producer = Producer::new(&stream, "shop").unwrap().seq(5);
        let refused = producer.append(Append::json("a").unwrap()).await;
        assert!(matches!(refused, Err(AppendError::Failed(Error::Refused(_)))), "{status}: {refused:?}");
        let next = producer.append(Append::json("b").unwrap()).await;
        assert!(matches!(next, Err(AppendError::InDoubt)), "{status}: {next:?}");
        assert!(matches!(producer.settle().await, Err(AppendError::Failed(Error::Refused(_)))), "{status}");
        assert_eq!(producer.settle().await.unwrap(), None);
        assert_eq!(producer.append(Append::json("b").unwrap()).await.unwrap(), Some(offset("2")));
        let sent: Vec<_> = script
            .await
            .unwrap()
            .iter()
            .map(|asked| {
                let body = String::from_utf8_lossy(&asked.body).into_owned();
                (asked.header("producer-seq").unwrap().to_owned(), body)
            })
            .collect();
        let (a, b) = (("5".to_owned(), r#"["a"]"#.to_owned()), ("6".to_owned(), r#"["b"]"#.to_owned()));
        assert_eq!(sent, [a.clone(), a.clone(), a.clone(), a, b], "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_settles_a_lost_attempt_frees_its_number() {
    for refusal in [
        answer("409 Conflict", "Stream-Closed: true\r\n", ""),
        answer("403 Forbidden", "Producer-Epoch: 7\r\n", ""),
        answer("409 Conflict", "Producer-Expected-Seq: 3\r\nProducer-Received-Seq: 5\r\n", ""),
        answer("409 Conflict", "", ""),
    ] {
        let (stream, server) = stream();
        let script = tokio::spawn(play(server, vec![String::new(), refusal.clone(), stored("1")]));
        let mut producer = Producer::new(&stream, "shop").unwrap().seq(5);
        producer.append(Append::json(&1).unwrap()).await.unwrap_err();
        assert_eq!(producer.append(Append::json(&2).unwrap()).await.unwrap(), Some(offset("1")), "{refusal}");
        assert_eq!(numbers(&script.await.unwrap()), [("0", "5"); 3]);
    }
}

/// The second append is taken on a connection that then breaks, and repeated on another at once.
#[tokio::test(start_paused = true)]
async fn an_append_that_the_connection_repeats_is_in_doubt() {
    for (second, expected) in [
        (Some(answer("204 No Content", "Producer-Seq: 1\r\n", "")), "None"),
        (Some(answer("403 Forbidden", "", "")), "the server answered 403"),
        (None, "the connection broke"),
    ] {
        let (builder, mut server) = fake::builder();
        let client = builder.max_retries(0).build().unwrap();
        let stream = DurableStream::new(&client, PATH).unwrap();
        let script = tokio::spawn(async move {
            let mut peer = server.accept().await;
            peer.request().await.unwrap();
            peer.send(stored("1")).await;
            peer.request().await.unwrap();
            // Without an answer to come, no connection is taken any more.
            let Some(second) = second else { return };
            drop(peer);
            let mut peer = server.accept().await;
            peer.request().await.unwrap();
            peer.send(second).await;
        });
        let mut producer = Producer::new(&stream, "shop").unwrap();
        producer.append(Append::json(&1).unwrap()).await.unwrap();
        let done = producer.append(Append::json(&2).unwrap()).await;
        let said = done.as_ref().map_or_else(AppendError::to_string, |end| format!("{end:?}"));
        assert_eq!(said, expected);
        script.await.unwrap();
        if done.is_err() {
            let next = producer.append(Append::json(&3).unwrap()).await;
            assert!(matches!(next, Err(AppendError::InDoubt)), "{next:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_append_without_a_producer_is_made_once() {
    let (stream, mut server) = stream();
    let append = tokio::spawn(async move {
        stream.append(Append::new("text/plain", "a").unwrap().seq("007").unwrap()).await
    });
    let mut peer = server.accept().await;
    assert_eq!(peer.request().await.unwrap().header("stream-seq"), Some("007"));
    drop(peer);
    let failed = append.await.unwrap();
    assert!(matches!(failed, Err(AppendError::Failed(Error::Connection(_)))), "{failed:?}");
    assert!(server.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_what_to_do() {
    for (status, headers, expected) in [
        ("409 Conflict", "Stream-Closed: true\r\nStream-Next-Offset: 5\r\n", "Closed { end: Some(5) }"),
        (
            "409 Conflict",
            "Producer-Expected-Seq: 1\r\nProducer-Received-Seq: 3\r\n",
            "append 1 of the producer is missing before 3",
        ),
        ("409 Conflict", "", "the server answered 409"),
        ("403 Forbidden", "Producer-Epoch: 2\r\n", "the producer's epoch is past; 2 is in force"),
        ("403 Forbidden", "", "the server answered 403"),
        ("404 Not Found", "", "the server answered 404"),
        ("200 OK", "", "not an answer of a poll server: an answer without stream-next-offset"),
        ("200 OK", "Stream-Next-Offset: a,b\r\n", "not an answer of a poll server: \"a,b\" is not an offset"),
    ] {
        let (stream, server) = stream();
        let script = tokio::spawn(play(server, vec![answer(status, headers, "")]));
        let error = stream.append_and_close(Append::new("text/plain", "a").unwrap()).await.unwrap_err();
        let said = match &error {
            AppendError::Closed { end: Some(end) } => format!("Closed {{ end: Some({end}) }}"),
            error => error.to_string(),
        };
        assert_eq!(said, expected);
        assert_eq!(script.await.unwrap()[0].header("stream-closed"), Some("true"));
    }
}

fn events(headers: &str, events: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{headers}Transfer-Encoding: chunked\r\n\r\n{}",
        chunk(events)
    )
}

const END: &str = "0\r\n\r\n";

fn control(at: &str, more: &str) -> String {
    format!("event: control\ndata:{{\"streamNextOffset\":\"{at}\"{more}}}\n\n")
}

fn data(text: &str) -> String {
    format!("event: data\ndata:{text}\n\n")
}

fn caught_up(kind: &str, at: &str, body: &str) -> String {
    let headers = format!("Content-Type: {kind}\r\nStream-Next-Offset: {at}\r\nStream-Up-To-Date: true\r\n");
    answer("200 OK", &headers, body)
}

#[tokio::test(start_paused = true)]
async fn events_go_on_at_the_last_control_event() {
    let (stream, server) = stream();
    let first = [
        data("[1]"),
        data("[ ]"),
        data("[2,[3]]"),
        control("3", r#","streamCursor":"77""#),
        "event: weather\ndata:{}\n\n".to_owned(),
        data("[4]"),
    ];
    let second = [data("[4]"), control("4", r#","streamCursor":"78","upToDate":true"#)].concat();
    let third = [control("4", r#","upToDate":true"#), control("4", r#","streamClosed":true"#)].concat();
    let script = tokio::spawn(play(
        server,
        vec![
            caught_up("application/json", "0", "[]"),
            events("", &first.concat()),
            events("", &second) + END,
            events("", &third) + END,
        ],
    ));
    let mut chunks = stream.follow(&Offset::START, Live::ServerSentEvents);
    let seen = rest(&mut chunks).await;
    assert_eq!(
        seen,
        [" 0 UpToDate", "[1,2,[3]] 3 Further", "[4] 4 UpToDate", " 4 Closed"],
        "a piece without its control event is read again"
    );
    let asked = script.await.unwrap();
    let queries: Vec<_> = asked.iter().map(|asked| asked.line.split(['?', ' ']).nth(2).unwrap()).collect();
    assert_eq!(
        queries,
        ["offset=-1", "offset=0&live=sse", "offset=3&live=sse&cursor=77", "offset=4&live=sse&cursor=78"]
    );
}

#[tokio::test(start_paused = true)]
async fn events_of_bytes_are_decoded_and_what_could_lose_content_is_an_error() {
    let base64 = "Stream-SSE-Data-Encoding: base64\r\n";
    for (kind, headers, sent, expected) in [
        ("image/png", base64, data("aGn") + &control("2", ""), "error: "),
        (
            "image/png",
            base64,
            data("aGn/\ndata:AA==") + &data("AA==") + &control("2", r#","streamClosed":true"#),
            "hi\u{fffd}\0\0 2 Closed",
        ),
        ("text/plain", "", data("a\ndata: b") + &control("2", r#","streamClosed":true"#), "a\nb 2 Closed"),
        ("text/plain", "", data("a") + "event: control\ndata:{\n\n", "error: "),
        ("text/plain", "", data("a") + "event: control\ndata:\n\n", "error: "),
        ("text/plain", "", data("a") + &control("", ""), "error: "),
        ("text/plain", "Stream-SSE-Data-Encoding: hex\r\n", data("61") + &control("2", ""), "error: "),
        ("application/json; charset=utf-8", "", data("1") + &control("2", ""), "error: "),
    ] {
        let (stream, server) = stream();
        let script = tokio::spawn(play(server, vec![caught_up(kind, "0", ""), events(headers, &sent) + END]));
        let mut chunks = stream.follow(&Offset::START, Live::ServerSentEvents);
        let seen = rest(&mut chunks).await;
        assert_eq!(seen.len(), 2, "{sent}: {seen:?}");
        assert!(seen[1].starts_with(expected), "{sent}: {seen:?}");
        script.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn long_polls_follow_one_another_until_the_stream_is_closed() {
    let (stream, mut server) = stream();
    let mut chunks = stream.header("X-Trace", "t").unwrap().follow(&offset("4"), Live::ByContentType);
    let script = tokio::spawn(async move {
        let mut asked = Vec::new();
        let mut peer = server.accept().await;
        let live = |status: &str, at: &str, more: &str, body: &str| {
            answer(status, &format!("Stream-Next-Offset: {at}\r\nStream-Cursor: 9\r\n{more}"), body)
        };
        for (waited, answer) in [
            (0, caught_up("image/png", "5", "a")),
            (20, live("204 No Content", "5", "Stream-Up-To-Date: true\r\n", "")),
            (3, live("200 OK", "6", "Stream-Up-To-Date: true\r\n", "b")),
            (3, live("204 No Content", "6", "Stream-Closed: true\r\n", "")),
        ] {
            asked.push(peer.request().await.unwrap());
            tokio::time::sleep(Duration::from_secs(waited)).await;
            peer.send(answer).await;
        }
        asked
    });
    assert_eq!(rest(&mut chunks).await, ["a 5 UpToDate", "b 6 UpToDate", " 6 Closed"]);
    let asked = script.await.unwrap();
    let queries: Vec<_> = asked.iter().map(|asked| asked.line.split(['?', ' ']).nth(2).unwrap()).collect();
    assert_eq!(
        queries,
        [
            "offset=4",
            "offset=5&live=long-poll",
            "offset=5&live=long-poll&cursor=9",
            "offset=6&live=long-poll&cursor=9"
        ]
    );
    assert!(asked.iter().all(|asked| asked.header("x-trace") == Some("t")));
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_from_now_waits_at_once_and_an_early_end_is_a_failure() {
    let (builder, mut server) = fake::builder();
    let client = builder.max_retries(0).build().unwrap();
    let stream = DurableStream::new(&client, &format!("{PATH}?access_token=t")).unwrap();
    let mut chunks = stream.follow(&Offset::NOW, Live::LongPoll);
    let script = tokio::spawn(async move {
        let mut peer = server.accept().await;
        let mut lines = Vec::new();
        for (at, more) in [("7", "Stream-Up-To-Date: true\r\n"), ("7", "Stream-Up-To-Date: true\r\n")] {
            lines.push(peer.request().await.unwrap().line);
            let waited = Duration::from_secs(if lines.len() == 1 { 20 } else { 0 });
            tokio::time::sleep(waited).await;
            peer.send(answer("204 No Content", &format!("Stream-Next-Offset: {at}\r\n{more}"), "")).await;
        }
        lines
    });
    let first = chunks.try_next().await.unwrap().unwrap();
    assert_eq!((first.next.as_str(), first.reach), ("7", Reach::UpToDate));
    assert!(matches!(chunks.try_next().await, Err(Error::Draining)));
    let lines = script.await.unwrap();
    assert!(lines[0].contains("?access_token=t&offset=now&live=long-poll "), "{lines:?}");
    assert!(lines[1].contains("?access_token=t&offset=7&live=long-poll "), "{lines:?}");
}

#[test]
fn what_cannot_be_sent_is_told_when_it_is_given() {
    let client = Client::new("http://fake:1").unwrap();
    let stream = DurableStream::new(&client, PATH).unwrap();
    for path in ["", "orders", "http://fake:1/v1/stream/orders", "/a b", "/a#b"] {
        assert!(matches!(DurableStream::new(&client, path), Err(Error::Usage(_))), "{path}");
    }
    assert!(Producer::new(&stream, "").is_err() && Producer::new(&stream, "a\n").is_err());
    assert!(stream.clone().header("a b", "c").is_err() && stream.header("a", "b\n").is_err());
    assert!(Append::new("text/plain\n", "").is_err());
    for text in ["", "a b", "a/b", "a,b", "a&b", "a=b", "a?b", "é", &"a".repeat(256)] {
        assert!(text.parse::<Offset>().is_err(), "{text}");
    }
    assert!("a".repeat(255).parse::<Offset>().is_ok());
}
