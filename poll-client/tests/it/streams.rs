//! The two streams over HTTP/1.1, JSON lines and server-sent events, which follow the same rules.

use std::time::Duration;

use poll_client::{ChunkedStream, Client, EventSource, StartAt, Subscription};
use tokio::time::Instant;

use crate::fake::{self, STREAM_HEAD, answer, channel, chunk, cursor, line, next, take, update};

const SSE_HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nd\r\nretry: 1000\n\n\r\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Lines,
    Sse,
}

impl Kind {
    const BOTH: [Self; 2] = [Self::Lines, Self::Sse];

    fn subscribe(self, client: &Client, start: StartAt) -> Subscription {
        match self {
            Self::Lines => ChunkedStream::new(client, channel()).start_at(start).subscribe(),
            Self::Sse => EventSource::new(client, channel()).start_at(start).subscribe(),
        }
    }

    fn head(self) -> String {
        if self == Self::Lines { STREAM_HEAD } else { SSE_HEAD }.to_owned()
    }

    fn update(self, seq: u64) -> String {
        match self {
            Self::Lines => chunk(&(update(seq) + "\n")),
            Self::Sse => chunk(&format!("id: {}\ndata: {}\n\n", cursor(seq), update(seq))),
        }
    }

    fn line(self, kind: &str, at: u64, more: &str) -> String {
        match self {
            Self::Lines => chunk(&(line(kind, at, more) + "\n")),
            Self::Sse if kind == "heartbeat" => chunk(":\n\n"),
            Self::Sse => chunk(&format!("event: {kind}\ndata: {}\n\n", line(kind, at, more))),
        }
    }

    fn ended(self, at: u64) -> String {
        self.line("closed", at, r#","reason":"ended""#) + "0\r\n\r\n"
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_cut_at_any_byte_loses_and_repeats_nothing() {
    for kind in Kind::BOTH {
        let log = move |after: u64| {
            let updates: String = (after + 1..=4).map(|seq| kind.update(seq)).collect();
            kind.head() + &kind.line("connected", after, "") + &updates + &kind.ended(4)
        };
        let whole = log(0);
        for cut in 0..whole.len() {
            let (client, mut server) = fake::client();
            let mut events = kind.subscribe(&client, StartAt::Oldest);
            let script = tokio::spawn(async move {
                let mut peer = server.accept().await;
                let after = peer.request().await.unwrap().after();
                peer.send(&log(after).as_bytes()[..cut]).await;
                drop(peer);
                // The closing line may have been whole already.
                let mut peer = server.accept().await;
                let after = peer.request().await.unwrap().after();
                peer.send(log(after)).await;
            });
            assert_eq!(take(&mut events, 9).await, "1 2 3 4 ended", "{kind:?} cut at {cut}");
            script.abort();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_is_told() {
    for kind in Kind::BOTH {
        let (client, mut server) = fake::client();
        let start = StartAt::After(cursor(2).parse().unwrap());
        let mut events = kind.subscribe(&client, start);
        let script = tokio::spawn(async move {
            let mut peer = server.accept().await;
            assert_eq!(peer.request().await.unwrap().after(), 2);
            let other = format!(r#","cursor":"{:016x}{:016x}""#, 0xddd, 4);
            let reset = format!(r#"{{"type":"reset"{other}}}"#);
            let born_again = update(5).replace(&cursor(5), &format!("{:016x}{:016x}", 0xddd, 5));
            let text = kind.head()
                + &kind.line("connected", 2, "")
                + &kind.line("reset", 6, r#","missed":4"#)
                + &kind.update(7)
                // Nobody announced that 8 is missing.
                + &kind.update(9)
                + &match kind {
                    Kind::Lines => chunk(&format!("{reset}\n{born_again}\n")),
                    Kind::Sse => chunk(&format!("event: reset\ndata: {reset}\n\ndata: {born_again}\n\n")),
                }
                + &kind.ended(5);
            peer.send(text).await;
        });
        assert_eq!(take(&mut events, 99).await, "missed 4 7 missed 1 9 reset 5 ended", "{kind:?}");
        assert_eq!(events.counts().missed, 5);
        script.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_draining_server_is_come_back_to_after_a_moment_and_at_the_cursor() {
    for kind in Kind::BOTH {
        let (client, mut server) = fake::client();
        let mut events = kind.subscribe(&client, StartAt::Now);
        let script = tokio::spawn(async move {
            let mut peer = server.accept().await;
            let asked = peer.request().await.unwrap();
            assert_eq!(
                (asked.query("cursor"), asked.query("last_id"), asked.header("last-event-id")),
                (None, None, None)
            );
            let text = kind.head() + &kind.line("connected", 7, "") + &kind.update(8);
            peer.send(text + &kind.line("closed", 8, r#","reason":"draining""#) + "0\r\n\r\n").await;
            let drained = Instant::now();
            let mut peer = server.accept().await;
            let waited = drained.elapsed();
            assert_eq!(peer.request().await.unwrap().after(), 8);
            peer.send(kind.head() + &kind.line("connected", 8, "") + &kind.update(9) + &kind.ended(9)).await;
            waited
        });
        assert_eq!(take(&mut events, 9).await, "8 9 ended", "{kind:?}");
        let waited = script.await.unwrap();
        assert!(waited <= Duration::from_millis(1001), "{waited:?}");
        assert_eq!((events.counts().retries, events.counts().requests), (1, 2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_now_that_breaks_before_its_first_message_is_still_that_now() {
    for kind in Kind::BOTH {
        let (client, mut server) = fake::client();
        let mut events = kind.subscribe(&client, StartAt::Now);
        let script = tokio::spawn(async move {
            let mut peer = server.accept().await;
            peer.request().await.unwrap();
            peer.send(kind.head() + &kind.line("connected", 7, "")).await;
            drop(peer);
            let mut peer = server.accept().await;
            assert_eq!(peer.request().await.unwrap().after(), 7);
            peer.send(kind.head() + &kind.line("connected", 7, "") + &kind.update(8)).await;
            peer.until_closed().await;
        });
        assert_eq!(next(&mut events).await.as_deref(), Some("8"));
        drop(events);
        script.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn silence_for_two_and_a_half_heartbeats_is_death_and_heartbeats_are_life() {
    for kind in Kind::BOTH {
        let (client, mut server) = fake::client();
        let mut events = kind.subscribe(&client, StartAt::Oldest);
        let begun = Instant::now();
        let script = tokio::spawn(async move {
            let mut peer = server.accept().await;
            peer.request().await.unwrap();
            peer.send(kind.head() + &kind.line("connected", 0, "") + &kind.update(1)).await;
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_secs(15)).await;
                peer.send(kind.line("heartbeat", 1, "")).await;
            }
            peer.until_closed().await;
            let closed = Instant::now();
            let mut peer = server.accept().await;
            assert_eq!(peer.request().await.unwrap().after(), 1);
            peer.send(kind.head() + &kind.update(2)).await;
            peer.until_closed().await;
            closed
        });
        assert_eq!(take(&mut events, 2).await, "1 2");
        drop(events);
        let closed = script.await.unwrap().duration_since(begun).as_secs_f64();
        assert!((187.4..187.6).contains(&closed), "{kind:?}: {closed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_only_says_hello_counts_as_failing() {
    for kind in Kind::BOTH {
        let (builder, mut server) = fake::builder();
        let client = builder.max_retries(5).build().unwrap();
        let mut events = kind.subscribe(&client, StartAt::Oldest);
        let script = tokio::spawn(async move {
            for _ in 0..6 {
                let mut peer = server.accept().await;
                peer.request().await.unwrap();
                peer.send(kind.head() + &kind.line("connected", 0, "") + "0\r\n\r\n").await;
            }
        });
        assert_eq!(take(&mut events, 9).await, "error: the stream ended without its closing line");
        script.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn no_content_ends_an_event_source() {
    let (client, mut server) = fake::client();
    let mut events = EventSource::new(&client, channel()).start_at(StartAt::Oldest).subscribe();
    let script = tokio::spawn(async move {
        let mut peer = server.accept().await;
        assert_eq!(peer.request().await.unwrap().header("accept"), Some("text/event-stream"));
        peer.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    });
    assert_eq!(take(&mut events, 9).await, "ended");
    script.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_is_dropped_hangs_up() {
    for kind in Kind::BOTH {
        let (client, mut server) = fake::client();
        let mut events = kind.subscribe(&client, StartAt::Oldest);
        let script = tokio::spawn(async move {
            let mut peer = server.accept().await;
            peer.request().await.unwrap();
            peer.send(kind.head() + &kind.update(1)).await;
            peer.until_closed().await;
        });
        assert_eq!(next(&mut events).await.as_deref(), Some("1"));
        drop(events);
        script.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_cut_off_together_come_back_spread_out() {
    let (client, mut server) = fake::client();
    for _ in 0..1000 {
        let mut events = ChunkedStream::new(&client, channel()).start_at(StartAt::Oldest).subscribe();
        tokio::spawn(async move { next(&mut events).await });
    }
    for _ in 0..1000 {
        let mut peer = server.accept().await;
        peer.request().await.unwrap();
        peer.send(answer("503 Service Unavailable", "Retry-After: 10\r\nConnection: close\r\n", "")).await;
    }
    let refused = Instant::now();
    let mut tenths = [0; 10];
    let mut peers = Vec::new();
    for _ in 0..1000 {
        peers.push(server.accept().await);
        let late =
            refused.elapsed().as_millis().checked_sub(10_000).expect("nobody comes before the time told");
        tenths[usize::try_from(late / 100).unwrap().min(9)] += 1;
    }
    // A hundred expected in each.
    assert!(tenths.iter().all(|count| (50..150).contains(count)), "{tenths:?}");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_null_is_a_message() {
    for kind in Kind::BOTH {
        let (client, mut server) = fake::client();
        let mut events = kind.subscribe(&client, StartAt::Oldest);
        let script = tokio::spawn(async move {
            let mut peer = server.accept().await;
            peer.request().await.unwrap();
            // As long as the text that it replaces, so that the chunk is whole.
            peer.send(kind.head() + &kind.update(1).replace("\"mé1\"", " null ")).await;
            peer.until_closed().await;
        });
        assert_eq!(next(&mut events).await.as_deref(), Some("1"), "{kind:?}");
        drop(events);
        script.await.unwrap();
    }
}
