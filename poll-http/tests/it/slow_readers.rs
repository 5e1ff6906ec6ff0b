//! Who reads a little: 4 KiB in the stall limit, or what is left, is enough, and less is not.

use std::time::Duration;

use http::Response;
use poll_http::{Body, ConnectionError, ConnectionSettings, Drain};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

use crate::transport_toy::{
    Http2, Served, Toy, drained_pipe, now, pipe, raw_get, raw_opening_wide, raw_windows, send,
};
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

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_its_windows_back_is_cut_as_one_that_never_gave_any() {
    let (mut client, served) = pipe(giving(40_000), ConnectionSettings::default(), 4 * 1024);
    client.write_all(&raw_opening_wide()).await.unwrap();
    for stream in (1..20).step_by(2) {
        client.write_all(&raw_get(stream, "/")).await.unwrap();
    }
    settle().await;
    // h2 has all of most answers, and may not send it any more.
    client.write_all(&raw_windows(0)).await.unwrap();
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

/// Asks for so many answers over HTTP/2, with windows that take them all, and sends nothing more.
async fn asked_http2(client: &mut DuplexStream, answers: u8) {
    client.write_all(&raw_opening_wide()).await.unwrap();
    for number in 0..answers {
        client.write_all(&raw_get(2 * number + 1, "/")).await.unwrap();
    }
}

fn never_idle() -> ConnectionSettings {
    ConnectionSettings { keep_alive: Duration::from_secs(3_600), ..ConnectionSettings::default() }
}

/// Kinds and payloads of the whole frames in these bytes.
fn frames(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut frames = Vec::new();
    while let [high, middle, low, kind, _, _, _, _, _, rest @ ..] = bytes {
        let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
        let Some((payload, rest)) = rest.split_at_checked(length) else { break };
        frames.push((*kind, payload));
        bytes = rest;
    }
    frames
}

/// How much of answers there is in these bytes.
fn data(bytes: &[u8]) -> usize {
    frames(bytes).into_iter().filter(|(kind, _)| *kind == 0).map(|(_, payload)| payload.len()).sum()
}

/// Reads `bytes` every fifteen seconds until the connection ends; gives how much of answers there was in it.
async fn read_slowly(client: &mut DuplexStream, bytes: u64) -> usize {
    let mut read = Vec::new();
    loop {
        pass(15_000).await;
        if (&mut *client).take(bytes).read_to_end(&mut read).await.unwrap_or_default() == 0 {
            return data(&read);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_that_makes_progress_and_says_nothing_is_not_cut() {
    let (mut client, _served) = pipe(giving(1 << 20), never_idle(), 4 * 1024);
    asked_http2(&mut client, 1).await;
    assert_eq!(read_slowly(&mut client, 5_000).await, 1 << 20);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_that_answers_a_ping_when_it_comes_to_it_is_not_cut() {
    let (mut client, served) = pipe(giving(18_500), never_idle(), 4 * 1024);
    asked_http2(&mut client, 1).await;
    let (mut read, mut answered) = (Vec::new(), 0);
    // The last of it is written two seconds before the peer would have been silent for too long, and a PING comes behind it.
    for pause in [16_000; 4].into_iter().chain([1_000; 60]) {
        pass(pause).await;
        let part = (&mut client).take(5_000);
        let _ = tokio::time::timeout(Duration::from_millis(1), { part }.read_to_end(&mut read)).await;
        let pings: Vec<_> = frames(&read).into_iter().filter(|(kind, _)| *kind == 6).collect();
        for (_, payload) in &pings[answered..] {
            client.write_all(&[&[0, 0, 8, 6, 1, 0, 0, 0, 0], *payload].concat()).await.unwrap();
        }
        answered = pings.len();
    }
    assert!(!served.is_finished() && answered > 0);
    assert_eq!(data(&read), 18_500);
}

#[tokio::test(start_paused = true)]
async fn too_little_is_not_enough_where_the_whole_connection_waits_for_it() {
    for bytes in [0, 1, 1_000] {
        let (mut client, served) = pipe(giving(1 << 20), ConnectionSettings::default(), 4 * 1024);
        let begun = Instant::now();
        asked_http2(&mut client, 1).await;
        let ended = tokio::spawn(async move { (served.await.unwrap(), begun.elapsed()) });
        if bytes == 0 {
            pass(60_000).await;
        } else {
            read_slowly(&mut client, bytes).await;
        }
        let (ended, after) = ended.await.unwrap();
        assert!(matches!(ended, Err(ConnectionError::Http2(_))), "{ended:?}");
        assert!((STALL..STALL + Duration::from_secs(1)).contains(&after), "{after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_has_only_to_be_read_keeps_its_connection() {
    let short = ConnectionSettings { keep_alive: Duration::from_secs(5), ..ConnectionSettings::default() };
    // One that h2 holds, and some that have left it and not this side.
    for (answers, bytes) in [(1, 60_000), (20, 500)] {
        for settings in [ConnectionSettings::default(), short.clone()] {
            let (drain, drains) = (Drain::new(), settings.keep_alive > short.keep_alive);
            let (mut client, served) = drained_pipe(giving(bytes), settings, 4 * 1024, drain.clone());
            asked_http2(&mut client, answers).await;
            settle().await;
            if drains {
                drain.begin(Duration::ZERO);
            }
            let taken = read_slowly(&mut client, 5_000).await;
            assert_eq!(taken, usize::from(answers) * bytes, "drains: {drains}");
            served.await.unwrap().unwrap();
        }
    }
}
