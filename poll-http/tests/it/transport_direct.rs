//! The direct path of HTTP/1.1 at each stage of a connection: who leaves, who reads slowly, who asks ahead.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use poll_core::{Retention, Store};
use poll_http::{Body, ConnectionSettings, Drain, Piece, Service, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter, DuplexStream};
use tokio::time::Instant;

use crate::transport_toy::*;
use crate::world::{World, pass};

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";

fn once(body: Body) -> Toy {
    let body = std::sync::Mutex::new(Some(body));
    Toy::new(move |_, _| now(Response::new(body.lock().unwrap().take().unwrap_or_default())))
}

/// Lets all tasks run until none can.
async fn settle() {
    pass(1).await;
}

/// Counts how often something was called.
#[derive(Clone, Default)]
struct Calls(Arc<AtomicUsize>);

impl Calls {
    fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// How a client leaves.
#[derive(Clone, Copy, Debug)]
enum Leaves {
    Entirely,
    /// It ends its own side only.
    ByHalf,
}

/// Whether the connection ends within the moment in which its client leaves.
async fn leave(mut client: DuplexStream, served: Served, how: Leaves) {
    let begun = Instant::now();
    match how {
        Leaves::Entirely => drop(client),
        Leaves::ByHalf => client.shutdown().await.unwrap(),
    }
    // An error or not.
    let _ = served.await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO, "{how:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_before_an_answer_frees_everything_at_once() {
    for how in [Leaves::Entirely, Leaves::ByHalf] {
        // What was sent before it left; what follows the first request is read ahead.
        for sent in [GET.to_owned(), format!("{GET}GET /ne"), format!("{GET}{GET}{GET}")] {
            let held = Held::default();
            let toy = {
                let held = held.clone();
                Toy::new(move |_, _| forever(&held))
            };
            let (mut client, served) = connect(toy);
            send(&mut client, &sent).await;
            held.until(1).await;
            settle().await;
            leave(client, served, how).await;
            assert_eq!(held.count(), 0, "{sent:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_in_the_middle_of_an_answer_frees_everything_at_once() {
    for how in [Leaves::Entirely, Leaves::ByHalf] {
        // All is written and more is to come; or the pipe is full.
        for capacity in [1 << 16, 64] {
            let held = Held::default();
            let (feed, body) = fed();
            let (mut client, served) =
                pipe(once(body.on_end(held.clone().hold())), ConnectionSettings::default(), capacity);
            feed.send(Piece::Data(vec![b'.'; 5_000].into())).unwrap();
            send(&mut client, GET).await;
            held.until(1).await;
            settle().await;
            leave(client, served, how).await;
            assert_eq!(held.count(), 0);
            assert!(feed.is_closed());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_between_requests_has_ended_cleanly() {
    for how in [Leaves::Entirely, Leaves::ByHalf] {
        let (mut client, served) = connect(Toy::echo());
        send(&mut client, GET).await;
        read_to(&mut client, "/x").await;
        leave(client, served, how).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_and_the_end_of_its_sender_together_are_answered() {
    let (mut client, server) = tokio::io::duplex(1 << 16);
    send(&mut client, GET).await;
    client.shutdown().await.unwrap();
    let context = context(ConnectionSettings::default(), Drain::new());
    let served = tokio::spawn(serve(server, peer(), Toy::echo(), context));
    assert!(read_all(&mut client).await.ends_with("\r\n\r\n/x"));
    served.await.unwrap().unwrap();
}

/// A body of each make, 1 MiB and more.
fn large_bodies() -> [Body; 3] {
    let part = || Bytes::from(vec![b'p'; 1 << 19]);
    let (feed, streamed) = fed();
    for _ in 0..300 {
        feed.send(Piece::Data(vec![b's'; 4_001].into())).unwrap();
    }
    [Body::full(vec![b'f'; 1 << 20]), Body::spliced([part(), "middle".into(), part()]), streamed]
}

#[tokio::test(start_paused = true)]
async fn a_large_answer_arrives_whole_through_a_small_pipe_however_slowly_it_is_read() {
    for body in large_bodies() {
        let length = body.exact_length().map(|length| usize::try_from(length).unwrap());
        let written = Calls::default();
        let body = {
            let written = written.clone();
            body.on_written(move || written.add())
        };
        let (mut client, served) = pipe(once(body), ConnectionSettings::default(), 8_192);
        send(&mut client, GET).await;
        let mut all = Vec::new();
        let mut part = [0; 8_192];
        let mut head = 0;
        loop {
            pass(25_000).await;
            let count = client.read(&mut part).await.unwrap();
            assert!(count > 0, "cut after {}", all.len());
            all.extend(&part[..count]);
            if head == 0 {
                head = all.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
            }
            if length.map_or_else(|| all.ends_with(b"\r\n0\r\n\r\n"), |length| all.len() == head + length) {
                break;
            }
            assert!(!served.is_finished());
        }
        settle().await;
        assert_eq!(written.count(), 1);
        // The connection is good for another.
        send(&mut client, GET).await;
        assert!(read_to(&mut client, "\r\n\r\n").await.contains("content-length: 0\r\n"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_taken_is_cut_after_the_stall_limit_and_never_counts_as_written() {
    for body in large_bodies() {
        let (held, written) = (Held::default(), Calls::default());
        let body = {
            let written = written.clone();
            body.on_written(move || written.add())
        };
        let (mut client, served) =
            pipe(once(body.on_end(held.clone().hold())), ConnectionSettings::default(), 4_096);
        send(&mut client, GET).await;
        // Some progress first: the limit counts from the last.
        pass(20_000).await;
        client.read_exact(&mut [0; 4_096]).await.unwrap();
        settle().await;
        let begun = Instant::now();
        assert!(served.await.unwrap().is_err());
        let waited = begun.elapsed();
        assert!(waited > Duration::from_secs(29) && waited < Duration::from_secs(31), "{waited:?}");
        assert_eq!((held.count(), written.count()), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_counts_as_written_with_its_last_byte_and_not_before() {
    let written = Calls::default();
    let counted = {
        let written = written.clone();
        move |body: Body| {
            let written = written.clone();
            body.on_written(move || written.add())
        }
    };
    let toy = Toy::new(move |request, _| {
        let mut response = Response::new(counted(match request.uri().path() {
            "/empty" | "/304" => Body::empty(),
            _ => Body::full("written!"),
        }));
        if request.uri().path().starts_with("/304") {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        now(response)
    });
    let (mut client, served) = pipe(toy, ConnectionSettings::default(), 64);
    // A body that is not sent is not written.
    for (path, end, count) in [
        ("/empty", "\r\n\r\n", 1),
        ("/full", "written!", 2),
        ("/304", "\r\n\r\n", 3),
        ("/304f", "\r\n\r\n", 3),
    ] {
        let before = written.count();
        send(&mut client, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        settle().await;
        // The head alone is longer than the pipe.
        assert_eq!(written.count(), before, "{path}");
        read_to(&mut client, end).await;
        settle().await;
        assert_eq!(written.count(), count, "{path}");
    }
    send(&mut client, GET).await;
    settle().await;
    drop(client);
    assert!(served.await.unwrap().is_err());
    assert_eq!(written.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_piece_is_not_kept_back_by_a_socket_that_buffers() {
    let (feed, body) = fed();
    let (mut client, server) = tokio::io::duplex(64);
    // As a socket with TLS may, it keeps what is written until it is flushed.
    let io = BufWriter::new(server);
    tokio::spawn(serve(io, peer(), once(body), context(ConnectionSettings::default(), Drain::new())));
    send(&mut client, GET).await;
    tokio::time::timeout(Duration::from_secs(1), read_to(&mut client, "\r\n\r\n")).await.unwrap();
    feed.send(data("a line\n")).unwrap();
    tokio::time::timeout(Duration::from_secs(1), read_to(&mut client, "a line\n\r\n")).await.unwrap();
    drop(feed);
    read_to(&mut client, "0\r\n\r\n").await;
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_ahead_of_an_answer_is_bounded() {
    let held = Held::default();
    let toy = {
        let held = held.clone();
        Toy::new(move |_, _| forever(&held))
    };
    let (mut client, _served) = pipe(toy, ConnectionSettings::default(), 1_024);
    send(&mut client, GET).await;
    held.until(1).await;
    let mut taken = 0;
    while tokio::time::timeout(Duration::from_secs(1), client.write_all(&[b'G'; 256])).await.is_ok() {
        taken += 256;
        assert!(taken < 64 * 1024);
    }
    assert_eq!(held.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn requests_behind_a_waiting_poll_are_answered_in_turn() {
    for behind in [1, 2, 3, 40] {
        let world = World::new();
        let mut wire = world.connect();
        wire.send("GET", "/api/longpoll?channel=c&timeout=20", &[], b"").await;
        world.until_waiting(1).await;
        for n in 0..behind {
            wire.send("GET", &format!("/api/poll?channel=c&last_id={n}"), &[], b"").await;
            settle().await;
        }
        world.publish("c", "news").await;
        assert_eq!(wire.answer().await.contents(), ["news"]);
        for n in 0..behind {
            let answer = wire.answer().await;
            // A position that is not there yet is a reset, and everything is given.
            assert_eq!(answer.contents().len(), usize::from(n != 1), "{n}");
        }
        wire.leave().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_drained_poll_is_answered_in_time_and_told_to_close() {
    let spread = Duration::from_secs(4);
    // One waits for news, the other where nothing will ever come: at the end of a job that is done.
    for target in ["/api/longpoll?timeout=60", "/api/poll/progress%2Fj?timeout=60&since=99999999999"] {
        let world = World::new();
        let done = r#"{"step":1,"total":1,"status":"done"}"#;
        assert_eq!(world.post("/api/progress/j", "application/json", done).await.status, 202);
        let mut wires: Vec<_> = (0..20).map(|_| world.connect()).collect();
        for wire in &mut wires {
            wire.send("GET", target, &[], b"").await;
        }
        world.until_waiting(20).await;
        let begun = Instant::now();
        world.drain.begin(spread);
        for mut wire in wires {
            let answer = wire.answer().await;
            assert_eq!((answer.status, answer.field("connection")), (200, Some("close")));
            assert!(begun.elapsed() <= spread + Duration::from_millis(10), "{:?}", begun.elapsed());
            assert!(wire.is_closed().await);
        }
        assert_eq!(world.waiters(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_no_ring_has_told_of_the_drain_finds_it_when_it_is_looked_at() {
    let drain = Drain::new();
    // Driven by nobody, so that nobody rings, as when the ring of another thread came just before a poll registered.
    let service = Service::builder(Store::in_memory(Retention::default())).drain(drain.clone()).build();
    let (mut client, server) = tokio::io::duplex(4_096);
    tokio::spawn(serve(server, peer(), service, context(ConnectionSettings::default(), drain.clone())));
    send(&mut client, "GET /api/longpoll?timeout=60 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    settle().await;
    drain.begin(Duration::ZERO);
    // Makes the connection's task look.
    send(&mut client, "G").await;
    let answer = tokio::time::timeout(Duration::from_secs(1), read_all(&mut client)).await.unwrap();
    assert!(answer.contains("connection: close\r\n"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_under_way_when_the_drain_begins_ends_with_its_connection() {
    let drain = Drain::new();
    let (feed, body) = fed();
    let (mut client, served) = drained_pipe(once(body), ConnectionSettings::default(), 4_096, drain.clone());
    send(&mut client, GET).await;
    read_to(&mut client, "\r\n\r\n").await;
    drain.begin(Duration::ZERO);
    feed.send(data("still\n")).unwrap();
    read_to(&mut client, "still\n\r\n").await;
    settle().await;
    assert!(!served.is_finished());
    drop(feed);
    assert_eq!(read_all(&mut client).await, "0\r\n\r\n");
    served.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn part_of_a_head_outlives_the_beginning_of_a_drain_by_no_more_than_its_time() {
    for rest in [Some("xt HTTP/1.1\r\nHost: a\r\n\r\n"), None] {
        let drain = Drain::new();
        let (mut client, served) =
            drained_pipe(Toy::echo(), ConnectionSettings::default(), 4_096, drain.clone());
        send(&mut client, GET).await;
        read_to(&mut client, "/x").await;
        send(&mut client, "GET /ne").await;
        settle().await;
        let begun = Instant::now();
        drain.begin(Duration::ZERO);
        settle().await;
        if let Some(rest) = rest {
            send(&mut client, rest).await;
            let answer = read_all(&mut client).await;
            assert!(answer.contains("connection: close\r\n") && answer.ends_with("/next"), "{answer}");
        }
        // Served or not, it is over.
        let _ = served.await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(11), "{:?}", begun.elapsed());
    }
}
