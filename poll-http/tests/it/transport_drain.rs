//! Draining: idle connections close, what is under way is finished, and everyone is told once.

use std::time::Duration;

use http::Response;
use poll_http::{Body, ConnectionSettings, Drain, Phase};
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
async fn everyone_who_waits_is_told_and_who_left_is_not() {
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
async fn an_idle_connection_closes_at_once() {
    let drain = Drain::new();
    let settings = ConnectionSettings::default;
    let (mut fresh, fresh_served) = drained_pipe(Toy::echo(), settings(), 4096, drain.clone());
    let (mut used, used_served) = drained_pipe(Toy::echo(), settings(), 4096, drain.clone());
    send(&mut used, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    read_to(&mut used, "/x").await;
    let begun = Instant::now();
    drain.begin(Duration::ZERO);
    assert_eq!(read_all(&mut fresh).await, "");
    assert_eq!(read_all(&mut used).await, "");
    fresh_served.await.unwrap().unwrap();
    used_served.await.unwrap().unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
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
    let settings = std::sync::Arc::new(ConnectionSettings::default());
    let served = tokio::spawn(poll_http::serve(server, peer(), Toy::echo(), settings, drain));
    let answer = read_all(&mut client).await;
    assert!(answer.ends_with("\r\n\r\n/x"), "{answer}");
    served.await.unwrap().unwrap();
}
