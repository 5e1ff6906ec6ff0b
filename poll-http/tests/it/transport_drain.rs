//! Draining: idle connections close, what is under way is finished, and everyone is told once.

use std::time::Duration;

use http::Response;
use poll_http::{Body, ConnectionSettings, Drain, Phase};
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::transport_toy::*;

#[tokio::test(start_paused = true)]
async fn phases_only_move_forward() {
    let drain = Drain::new();
    assert_eq!(drain.phase(), Phase::Serving);
    drain.begin_unready();
    assert_eq!(drain.phase(), Phase::Unready);
    let spread = Duration::from_secs(3);
    drain.begin(spread);
    drain.begin(Duration::ZERO);
    drain.begin_unready();
    assert_eq!(drain.phase(), Phase::Draining { spread });
}

#[tokio::test(start_paused = true)]
async fn all_waiting_clients_are_told_and_those_that_left_are_not() {
    let drain = Drain::new();
    let waiters: Vec<_> = (0..100).map(|_| tokio::spawn(drain.wait_draining())).collect();
    let left = tokio::spawn(drain.wait_draining());
    tokio::task::yield_now().await;
    left.abort();
    assert!(left.await.unwrap_err().is_cancelled());
    drain.begin_unready();
    tokio::task::yield_now().await;
    assert!(waiters.iter().all(|waiter| !waiter.is_finished()));
    drain.begin(Duration::ZERO);
    for waiter in waiters {
        waiter.await.unwrap();
    }
    drain.wait_draining().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_has_been_idle_closes_at_once_and_another_has_a_second() {
    for (idle, waits) in [(60, 0), (0, 1)] {
        let drain = Drain::new();
        let settings = ConnectionSettings::default;
        let (mut fresh, fresh_served) = drained_pipe(Toy::echo(), settings(), 4096, drain.clone());
        let (mut used, used_served) = drained_pipe(Toy::echo(), settings(), 4096, drain.clone());
        send(&mut used, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
        read_to(&mut used, "/x").await;
        tokio::time::sleep(Duration::from_secs(idle)).await;
        let begun = Instant::now();
        drain.begin(Duration::ZERO);
        assert_eq!(read_all(&mut fresh).await, "");
        assert_eq!(read_all(&mut used).await, "");
        assert_eq!(begun.elapsed().as_secs(), waits);
        drop((fresh, used));
        fresh_served.await.unwrap().unwrap();
        used_served.await.unwrap().unwrap();
        assert_eq!(begun.elapsed().as_secs(), waits);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_comes_while_the_drain_begins_is_answered_and_told_that_it_was_the_last() {
    let used = "GET /first HTTP/1.1\r\nHost: a\r\n\r\n";
    // By the direct way and by the engine, on connections that were used and on those that were not.
    for (before, request) in [
        (Some(used), "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"),
        (Some("OPTIONS /first HTTP/1.1\r\nHost: a\r\n\r\n"), "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"),
        (None, "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"),
        (None, "DELETE /next HTTP/1.1\r\nHost: a\r\n\r\n"),
    ] {
        let drain = Drain::new();
        let (mut client, served) =
            drained_pipe(Toy::echo(), ConnectionSettings::default(), 4096, drain.clone());
        if let Some(before) = before {
            send(&mut client, before).await;
            read_to(&mut client, "/first").await;
        }
        drain.begin(Duration::ZERO);
        tokio::time::sleep(Duration::from_millis(900)).await;
        send(&mut client, request).await;
        let answer = read_all(&mut client).await;
        assert!(answer.contains("connection: close\r\n") && answer.ends_with("\r\n\r\n/next"), "{answer}");
        drop(client);
        served.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn all_requests_that_came_together_are_answered_and_the_last_is_told() {
    // By the direct way and by the engine.
    for method in ["GET", "OPTIONS"] {
        let drain = Drain::new();
        let (mut client, _served) =
            drained_pipe(Toy::echo(), ConnectionSettings::default(), 1 << 17, drain.clone());
        // More than is read at once.
        let requests: String =
            (0..500).map(|n| format!("{method} /{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
        send(&mut client, &requests).await;
        drain.begin(Duration::ZERO);
        let answers = read_all(&mut client).await;
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 500, "{method}");
        assert_eq!(answers.matches("connection: close\r\n").count(), 1, "{method}");
        assert!(answers.ends_with("\r\n\r\n/499"), "{method}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_the_last_answer_is_read_and_resets_nothing() {
    let drain = Drain::new();
    let (mut client, served) = drained_pipe(Toy::echo(), ConnectionSettings::default(), 4096, drain.clone());
    drain.begin(Duration::ZERO);
    send(&mut client, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(read_all(&mut client).await.ends_with("/x"));
    // Not closed while this side may still send.
    send(&mut client, "GET /too-late HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(!served.is_finished());
    drop(client);
    served.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_under_way_is_answered_with_connection_close() {
    let (go, gone) = watch::channel(());
    let held = Held::default();
    let toy = {
        let held = held.clone();
        Toy::new(move |_, _| {
            let mut gone = gone.clone();
            let holding = held.clone().hold();
            Box::pin(async move {
                gone.changed().await.unwrap();
                drop(holding);
                Response::new(Body::full("late"))
            })
        })
    };
    let drain = Drain::new();
    let (mut client, served) = drained_pipe(toy, ConnectionSettings::default(), 4096, drain.clone());
    send(&mut client, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    held.until(1).await;
    drain.begin(Duration::ZERO);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!served.is_finished());
    go.send(()).unwrap();
    let answer = read_all(&mut client).await;
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("\r\n\r\nlate"), "{answer}");
    served.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_already_there_is_answered_while_draining() {
    let drain = Drain::new();
    drain.begin(Duration::ZERO);
    let (mut client, server) = tokio::io::duplex(4096);
    send(&mut client, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let context = context(ConnectionSettings::default(), drain);
    let served = tokio::spawn(poll_http::serve(server, peer(), Toy::echo(), context));
    let answer = read_all(&mut client).await;
    assert!(answer.ends_with("\r\n\r\n/x"), "{answer}");
    served.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_http2_peer_is_told_twice_and_what_it_asked_in_between_is_answered() {
    const DATA: u8 = 0;
    const PING: u8 = 6;
    const GOAWAY: u8 = 7;
    let drain = Drain::new();
    let (mut client, served) =
        drained_pipe(Toy::echo(), ConnectionSettings::default(), 1 << 16, drain.clone());
    client.write_all(RAW_OPENING).await.unwrap();
    client.write_all(&raw_get(1, "/first")).await.unwrap();
    while raw_frame(&mut client).await.kind != DATA {}
    drain.begin(Duration::ZERO);
    // The highest number there is: nothing is refused yet (RFC 9113, section 6.8).
    let (mut told, mut ping) = (None, None);
    while told.is_none() || ping.is_none() {
        let frame = raw_frame(&mut client).await;
        match frame.kind {
            GOAWAY => told = Some(frame.payload[..4].to_vec()),
            PING => ping = Some(frame.payload),
            _ => {}
        }
    }
    assert_eq!(told.unwrap(), [0x7f, 0xff, 0xff, 0xff]);
    // Asked before the peer has heard of it.
    client.write_all(&raw_get(3, "/second")).await.unwrap();
    client.write_all(&[&[0, 0, 8, PING, 1, 0, 0, 0, 0], &ping.unwrap()[..]].concat()).await.unwrap();
    let mut answered = None;
    let last = loop {
        let frame = raw_frame(&mut client).await;
        match frame.kind {
            DATA if frame.stream == 3 => answered = Some(frame.payload),
            GOAWAY => break frame.payload[..4].to_vec(),
            _ => {}
        }
    };
    assert_eq!(last, [0, 0, 0, 3], "what was taken up is said");
    while answered.is_none() {
        let frame = raw_frame(&mut client).await;
        answered = (frame.kind == DATA).then_some(frame.payload);
    }
    assert_eq!(answered.unwrap(), b"/second");
    drop(client);
    served.await.unwrap().unwrap();
}
