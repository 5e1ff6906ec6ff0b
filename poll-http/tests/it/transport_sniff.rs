//! Which protocol a connection speaks, and what becomes of one that does not say.

use std::time::Duration;

use http::{Request, Response, Version};
use poll_http::{Body, ConnectionError, ConnectionSettings, Protocol};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::transport_toy::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const EMPTY_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

#[tokio::test(start_paused = true)]
async fn the_preface_split_at_any_byte_is_http2() {
    for split in 0..=PREFACE.len() {
        let (mut client, _served) = connect(Toy::echo());
        client.write_all(&PREFACE[..split]).await.unwrap();
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        client.write_all(&PREFACE[split..]).await.unwrap();
        client.write_all(EMPTY_SETTINGS).await.unwrap();
        let mut head = [0; 9];
        client.read_exact(&mut head).await.unwrap();
        assert_eq!(head[3], 4, "the server's SETTINGS come first, split {split}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_method_that_begins_like_the_preface_is_http1() {
    let toy = Toy::new(|request, connection| {
        assert_eq!((request.version(), connection.protocol), (Version::HTTP_11, Protocol::Http11));
        now(Response::new(Body::full(request.method().as_str().to_owned())))
    });
    for method in ["P", "PRI", "PRINT", "PUT", "GET"] {
        let (mut client, _served) = connect(toy.clone());
        for byte in format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n").bytes() {
            client.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let answer = read_to(&mut client, &format!("\r\n\r\n{method}")).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_byte_ends_cleanly_after_the_keep_alive_time() {
    let (mut client, served) = connect(Toy::echo());
    let begun = Instant::now();
    assert_eq!(read_all(&mut client).await, "");
    served.await.unwrap().unwrap();
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_secs(75) && waited < Duration::from_secs(76), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn part_of_a_preface_has_the_time_of_a_head() {
    let (mut client, served) = connect(Toy::echo());
    tokio::time::advance(Duration::from_secs(70)).await;
    send(&mut client, "PRI * HT").await;
    let begun = Instant::now();
    assert_eq!(read_all(&mut client).await, "");
    assert!(matches!(served.await.unwrap(), Err(ConnectionError::Preface(_))));
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_secs(10) && waited < Duration::from_secs(11), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_preface_without_settings_is_closed() {
    let (mut client, served) = connect(Toy::echo());
    client.write_all(PREFACE).await.unwrap();
    let begun = Instant::now();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert!(matches!(served.await.unwrap(), Err(ConnectionError::Silent)));
    assert!(begun.elapsed() < Duration::from_secs(11));
}

#[tokio::test(start_paused = true)]
async fn garbage_after_the_preface_closes_the_connection_and_nothing_else() {
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n and some more bytes, so that a frame's head is whole"[..],
        &[0xFF; 64],
        // HEADERS on stream 0; DATA on an idle stream; SETTINGS of a bad length.
        &[0, 0, 1, 1, 5, 0, 0, 0, 0, 0x82],
        &[0, 0, 1, 0, 0, 0, 0, 0, 1, 0],
        &[0, 0, 5, 4, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0],
    ] {
        let (mut client, served) = connect(Toy::echo());
        client.write_all(PREFACE).await.unwrap();
        client.write_all(garbage).await.unwrap();
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest).await;
        // An error or not, but an end and no panic.
        let _ = served.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_leaves_before_a_request_is_no_error() {
    for opening in ["", "P", "PRI * HTTP/2.0"] {
        let (mut client, served) = connect(Toy::echo());
        send(&mut client, opening).await;
        drop(client);
        served.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_be_shorter_than_the_preface_was_long() {
    let toy = Toy::new(|_: Request<_>, _| now(Response::new(Body::empty())));
    let (mut client, _served) = pipe(toy, ConnectionSettings::default(), 8);
    send(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(read_to(&mut client, "\r\n\r\n").await.contains("content-length: 0\r\n"));
}
