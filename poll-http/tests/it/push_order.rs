//! The order of promises on a connection: a peer that sees a promised number below an earlier one has to end the
//! connection (RFC 9113, section 5.1.1).

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use poll_http::{Body, ConnectionSettings, Piece, Promise};
use tokio::io::{AsyncWriteExt, DuplexStream};

use crate::transport_toy::*;

const DATA: u8 = 0;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;

fn promise(feed: usize, n: usize, size: usize) -> Piece {
    Piece::Push(Promise {
        path: format!("/m/{feed}/{n}"),
        headers: HeaderMap::new(),
        body: vec![b'm'; size].into(),
        announce: format!("pushed {n}\n").into(),
        inline: format!("inline {n}\n").into(),
    })
}

/// Streams the body that belongs to a path.
fn feeding(bodies: Vec<Body>) -> Toy {
    let bodies = bodies.into_iter().enumerate().map(|(n, body)| (format!("/{n}"), body));
    let bodies = Mutex::new(bodies.collect::<HashMap<_, _>>());
    Toy::new(move |request: Request<_>, _| {
        now(Response::new(bodies.lock().unwrap().remove(request.uri().path()).unwrap_or_default()))
    })
}

/// What came on a connection: the numbers promised, and the text of each stream.
#[derive(Default)]
struct Came {
    promised: Vec<u32>,
    texts: HashMap<u8, String>,
}

impl Came {
    async fn read(&mut self, client: &mut DuplexStream) {
        let frame = raw_frame(client).await;
        match frame.kind {
            PUSH_PROMISE => {
                let promised = u32::from_be_bytes(frame.payload[..4].try_into().unwrap());
                let last = self.promised.last().copied().unwrap_or_default();
                assert!(promised > last, "{promised} promised after {last}");
                self.promised.push(promised);
            }
            // Only streams of the peer's own have text.
            DATA if frame.stream % 2 == 1 => {
                self.texts.entry(frame.stream).or_default().push_str(str::from_utf8(&frame.payload).unwrap());
            }
            PING => {
                client.write_all(&[0, 0, 8, PING, 1, 0, 0, 0, 0]).await.unwrap();
                client.write_all(&frame.payload).await.unwrap();
            }
            _ => {}
        }
    }

    /// Reads until so many lines came on each of these streams.
    async fn until(&mut self, client: &mut DuplexStream, streams: &[u8], lines: usize) {
        let lines_of = |came: &Self, stream| came.texts.get(stream).map_or(0, |text| text.lines().count());
        while streams.iter().any(|stream| lines_of(self, stream) < lines) {
            self.read(client).await;
        }
    }

    /// The lines of a stream, each of which is its own number, in order; says how many were pushed.
    fn pushed(&self, stream: u8) -> usize {
        let lines = self.texts[&stream].lines().enumerate();
        lines
            .filter(|(n, line)| {
                assert!(line.ends_with(&format!(" {n}")), "line {n} of stream {stream}: {line}");
                line.starts_with("pushed")
            })
            .count()
    }
}

async fn open(client: &mut DuplexStream, streams: u8) {
    client.write_all(RAW_OPENING).await.unwrap();
    let requests = (0..streams).flat_map(|n| raw_get(2 * n + 1, &format!("/{n}")));
    client.write_all(&requests.collect::<Vec<_>>()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn streams_that_catch_up_together_promise_in_the_order_of_their_numbers() {
    let (feeds, bodies): (Vec<_>, Vec<_>) = (0..4).map(|_| fed()).unzip();
    for (feed, sender) in feeds.iter().enumerate() {
        (0..20).for_each(|n| sender.send(promise(feed, n, 50)).unwrap());
    }
    let (mut client, _served) = connect(feeding(bodies));
    open(&mut client, 4).await;
    let mut came = Came::default();
    came.until(&mut client, &[1, 3, 5, 7], 20).await;
    for stream in [1, 3, 5, 7] {
        assert_eq!(came.pushed(stream), 20, "there is room for all of them");
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_to_many_at_once_is_pushed_to_all() {
    let (feeds, bodies): (Vec<_>, Vec<_>) = (0..8).map(|_| fed()).unzip();
    let (mut client, _served) = connect(feeding(bodies));
    open(&mut client, 8).await;
    let streams: Vec<u8> = (0..8).map(|n| 2 * n + 1).collect();
    let mut came = Came::default();
    for n in 0..10 {
        for (feed, sender) in feeds.iter().enumerate() {
            sender.send(promise(feed, n, 50)).unwrap();
        }
        came.until(&mut client, &streams, n + 1).await;
    }
    assert_eq!(came.promised.len(), 80);
    assert!(streams.iter().all(|&stream| came.pushed(stream) == 10));
}

#[tokio::test(start_paused = true)]
async fn a_full_socket_changes_nothing_in_the_order() {
    let (feeds, bodies): (Vec<_>, Vec<_>) = (0..3).map(|_| fed()).unzip();
    for (feed, sender) in feeds.iter().enumerate() {
        (0..30).for_each(|n| sender.send(promise(feed, n, 700)).unwrap());
    }
    let (mut client, served) = pipe(feeding(bodies), ConnectionSettings::default(), 1000);
    open(&mut client, 3).await;
    let mut came = Came::default();
    // Nothing is read for a while, so that what is promised stays where it is.
    tokio::time::sleep(Duration::from_secs(1)).await;
    came.until(&mut client, &[1, 3, 5], 30).await;
    assert!([1, 3, 5].map(|stream| came.pushed(stream)).iter().sum::<usize>() > 30);
    assert!(!served.is_finished());
}

#[tokio::test(start_paused = true)]
async fn promises_that_are_lost_with_their_stream_leave_the_others_inline() {
    let (feeds, bodies): (Vec<_>, Vec<_>) = (0..2).map(|_| fed()).unzip();
    (0..60).for_each(|n| feeds[0].send(promise(0, n, 900)).unwrap());
    let (mut client, served) = pipe(feeding(bodies), ConnectionSettings::default(), 300);
    open(&mut client, 2).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    // The first stream is reset while most of what it promised has not left.
    client.write_all(&[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    (0..20).for_each(|n| feeds[1].send(promise(1, n, 50)).unwrap());
    let mut came = Came::default();
    came.until(&mut client, &[3], 20).await;
    assert_eq!(came.pushed(3), 0);
    // What is lost keeps nothing, so the connection does not count as stuck.
    let longer = ConnectionSettings::default().stall + Duration::from_secs(1);
    let reading = async {
        loop {
            came.read(&mut client).await;
        }
    };
    assert!(tokio::time::timeout(longer, reading).await.is_err());
    feeds[1].send(promise(1, 20, 50)).unwrap();
    came.until(&mut client, &[3], 21).await;
    assert!(!served.is_finished());
}
