//! Requests over HTTP/2 that go on after their answer: what is malformed in them stays an error of their stream, and
//! what is not is let go of (RFC 9113, sections 8.1 and 8.1.1).

use std::time::Duration;

use http::{Response, StatusCode};
use poll_http::Body;
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

use crate::transport_toy::*;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const NO_ERROR: u32 = 0;
const PROTOCOL_ERROR: u32 = 1;

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// `POST /`, of which more is to come.
fn post(stream: u8) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, b"\x83\x86\x84\x01\x03toy")
}

/// Answers before anything of the request's content has come.
fn hasty() -> Toy {
    Toy::new(|_, _| {
        let mut response = Response::new(Body::full("no"));
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        now(response)
    })
}

/// A connection on which the answer to an unfinished request has come whole.
async fn answered() -> (DuplexStream, Served) {
    let (mut client, served) = connect(hasty());
    client.write_all(RAW_OPENING).await.unwrap();
    client.write_all(&post(1)).await.unwrap();
    loop {
        let frame = raw_frame(&mut client).await;
        if frame.kind == DATA && frame.flags & END_STREAM != 0 {
            return (client, served);
        }
    }
}

/// The reason for which stream 1 is reset.
async fn reset(client: &mut DuplexStream) -> u32 {
    loop {
        let frame = raw_frame(client).await;
        if frame.kind == RST_STREAM {
            assert_eq!(frame.stream, 1);
            return u32::from_be_bytes(frame.payload.try_into().unwrap());
        }
    }
}

/// The connection answers as ever.
async fn goes_on(client: &mut DuplexStream) {
    client.write_all(&raw_get(3, "/")).await.unwrap();
    while raw_frame(client).await.stream != 3 {}
}

#[tokio::test(start_paused = true)]
async fn a_second_head_that_does_not_end_the_stream_is_an_error_after_the_answer_too() {
    for before in [&[][..], &frame(DATA, 0, 1, b"test")] {
        let (mut client, _served) = answered().await;
        client.write_all(before).await.unwrap();
        client.write_all(&frame(HEADERS, END_HEADERS, 1, b"\0\x06x-test\x02ok")).await.unwrap();
        assert_eq!(reset(&mut client).await, PROTOCOL_ERROR);
        goes_on(&mut client).await;
    }
}

#[tokio::test(start_paused = true)]
async fn trailers_with_a_pseudo_header_field_are_an_error_whenever_they_come() {
    for trailers in [&b"\x82"[..], b"\0\x05:path\x01/", b"\x20\x82", b"\0\x06x-test\x02ok\x83"] {
        let trailers = frame(HEADERS, END_HEADERS | END_STREAM, 1, trailers);
        let (mut client, _served) = answered().await;
        client.write_all(&trailers).await.unwrap();
        assert_eq!(reset(&mut client).await, PROTOCOL_ERROR);
        goes_on(&mut client).await;
        // And where the answer still waits for the end of the request.
        let held = Held::default();
        let waiting = {
            let held = held.clone();
            Toy::new(move |_, _| forever(&held))
        };
        let (mut client, _served) = connect(waiting);
        client.write_all(RAW_OPENING).await.unwrap();
        client.write_all(&post(1)).await.unwrap();
        held.until(1).await;
        client.write_all(&trailers).await.unwrap();
        assert_eq!(reset(&mut client).await, PROTOCOL_ERROR);
        held.until(0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_ends_after_its_answer_is_not_reset() {
    for end in
        [frame(DATA, END_STREAM, 1, b"test"), frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\0\x01x\x01y")]
    {
        let (mut client, served) = answered().await;
        client.write_all(&end).await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
        client.write_all(&raw_get(3, "/")).await.unwrap();
        let next = raw_frame(&mut client).await;
        assert!(next.stream == 0 || next.kind == HEADERS, "{}", next.kind);
        assert!(!served.is_finished());
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_on_sending_is_asked_to_stop() {
    let (mut client, _served) = answered().await;
    let begun = Instant::now();
    assert_eq!(reset(&mut client).await, NO_ERROR);
    assert_eq!(begun.elapsed().as_secs(), 1);
    // What was under way by then does no harm.
    client.write_all(&frame(DATA, 0, 1, b"test")).await.unwrap();
    goes_on(&mut client).await;
}
