//! Who reads a little: 4 KiB in the stall limit, or what is left, is enough, and less is not.

use std::time::Duration;

use http::Response;
use poll_http::{Body, ConnectionError, ConnectionSettings, Drain};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

use crate::transport_toy::{Http2, RAW_OPENING, Served, Toy, now, pipe, raw_get, send};
use crate::world::{pass, settle};

const STALL: Duration = Duration::from_secs(30);

/// Answers with so many bytes.
fn giving(bytes: usize) -> Toy {
    Toy::new(move |_, _| now(Response::new(Body::full("x".repeat(bytes)))))
}

/// Reads `bytes` every twenty seconds for as long as they come; gives how many came and how long it took.
async fn sip(client: &mut DuplexStream, bytes: usize) -> (usize, Duration) {
    let (begun, mut taken) = (Instant::now(), 0);
    let mut space = vec![0; bytes];
    loop {
        pass(20_000).await;
        match client.read(&mut space).await {
            Ok(count) if count > 0 => taken += count,
            _ => return (taken, begun.elapsed()),
        }
    }
}

/// An answer over each engine: a head that is not plain goes to hyper.
async fn asked(bytes: usize, plain: bool) -> (DuplexStream, Served) {
    let (mut client, served) = pipe(giving(bytes), ConnectionSettings::default(), 8 * 1024);
    let more = if plain { "" } else { "TE: trailers\r\n" };
    send(&mut client, &format!("GET / HTTP/1.1\r\nHost: toy\r\n{more}\r\n")).await;
    (client, served)
}

#[tokio::test(start_paused = true)]
async fn a_byte_every_twenty_seconds_is_not_enough() {
    for plain in [true, false] {
        let (mut client, served) = asked(20_000, plain).await;
        let ended = tokio::spawn(async move {
            let begun = Instant::now();
            let error = served.await.unwrap().unwrap_err();
            (begun.elapsed(), error)
        });
        sip(&mut client, 1).await;
        let (after, _) = ended.await.unwrap();
        assert!((STALL..STALL + Duration::from_secs(1)).contains(&after), "{after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn four_kibibytes_in_the_stall_limit_are_enough() {
    for plain in [true, false] {
        let (mut client, served) = asked(100_000, plain).await;
        // No more than 8 KiB are on their way.
        let mut taken = 0;
        let mut space = vec![0; 4_096];
        while taken < 100_000 {
            pass(29_000).await;
            let count = client.read(&mut space).await.unwrap();
            assert!(count > 0, "cut after {taken}");
            taken += count;
        }
        assert!(!served.is_finished());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_left_is_enough() {
    // The pipe takes 8 KiB; the last hundred bytes or so wait until there is room for them.
    for plain in [true, false] {
        let (mut client, served) = asked(8 * 1024, plain).await;
        let mut space = vec![0; 2_000];
        pass(25_000).await;
        assert!(client.read(&mut space).await.unwrap() > 0);
        pass(60_000).await;
        assert!(!served.is_finished(), "nothing is left that it had to take");
    }
}

#[tokio::test(start_paused = true)]
async fn a_window_of_a_byte_every_twenty_seconds_is_not_enough() {
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(10).initial_connection_window_size(1 << 20);
    let mut client = Http2::with(giving(20_000), ConnectionSettings::default(), Drain::new(), &builder).await;
    let mut body = client.get("/").await.await.unwrap().into_body();
    let begun = Instant::now();
    let error = loop {
        match body.data().await {
            Some(Ok(part)) => {
                pass(10_000).await;
                body.flow_control().release_capacity(part.len()).unwrap();
            }
            Some(Err(error)) => break error,
            None => panic!("ended"),
        }
    };
    assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
    let after = begun.elapsed();
    assert!((STALL..STALL + Duration::from_secs(11)).contains(&after), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_window_of_four_kibibytes_in_the_stall_limit_is_enough() {
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(4_096).initial_connection_window_size(1 << 20);
    let mut client =
        Http2::with(giving(100_000), ConnectionSettings::default(), Drain::new(), &builder).await;
    let mut body = client.get("/").await.await.unwrap().into_body();
    let mut taken = 0;
    while let Some(part) = body.data().await {
        let part = part.expect("not cut");
        taken += part.len();
        pass(25_000).await;
        body.flow_control().release_capacity(part.len()).unwrap();
    }
    assert_eq!(taken, 100_000);
}

/// SETTINGS with one entry: the window that streams have.
fn windows_of(bytes: u32) -> Vec<u8> {
    [&[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4][..], &bytes.to_be_bytes()].concat()
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_its_windows_back_is_cut_as_one_that_never_gave_any() {
    let (mut client, served) = pipe(giving(40_000), ConnectionSettings::default(), 4 * 1024);
    let preface = &RAW_OPENING[..24];
    let connection_window = [&[0, 0, 4, 8, 0, 0, 0, 0, 0][..], &(1_u32 << 30).to_be_bytes()].concat();
    client.write_all(&[preface, &windows_of(1 << 20), &connection_window].concat()).await.unwrap();
    for stream in (1..20).step_by(2) {
        client.write_all(&raw_get(stream, "/")).await.unwrap();
    }
    settle().await;
    // h2 has all of most answers, and may not send it any more.
    client.write_all(&windows_of(0)).await.unwrap();
    let begun = Instant::now();
    let reader = async {
        let mut head = [0; 9];
        while client.read_exact(&mut head).await.is_ok() {
            let [_, high, low, kind, flags, ..] = head;
            let mut payload = vec![0; usize::from(high) << 8 | usize::from(low)];
            client.read_exact(&mut payload).await.unwrap();
            if (kind, flags & 1) == (6, 0) {
                client.write_all(&[&[0, 0, 8, 6, 1, 0, 0, 0, 0][..], &payload].concat()).await.unwrap();
            }
        }
    };
    reader.await;
    let ended = served.await.unwrap();
    assert!(matches!(ended, Err(ConnectionError::Stuck)), "{ended:?}");
    let after = begun.elapsed();
    assert!((STALL..STALL + Duration::from_secs(2)).contains(&after), "{after:?}");
}
