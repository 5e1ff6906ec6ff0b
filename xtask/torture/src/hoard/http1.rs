//! Hoarding over HTTP/1.1. Each function goes on for some requests, or until the server cuts it.

use anyhow::Result;
use http::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Duration, sleep};

use super::target::{Target, count};
use crate::client::{Client, connect};
use crate::large::narrow;

/// A channel of large messages, and one of control characters, which are six bytes each in JSON.
pub(super) const LARGE: [&str; 2] = ["fat", "escaped"];
/// Messages of each.
pub(super) const MESSAGES: usize = 300;
/// Requests after which a client begins again.
const TURN: usize = 200;

pub(super) async fn keys(target: &Target, number: usize) -> Result<()> {
    let mut client = Client::new(target.address);
    for channel in 0..TURN {
        let request = Request::post(format!("/api/message?channel=keys-{number}-{}", channel % 100));
        let key = format!("{:x}{:x}", rand::random::<u128>(), rand::random::<u128>());
        let request = request.header("content-type", "text/plain").header("idempotency-key", key);
        target.told(client.ask(request, "x".repeat(2_000)).await?.status);
    }
    Ok(())
}

pub(super) async fn receipts(target: &Target, number: usize) -> Result<()> {
    let mut client = Client::new(target.address);
    let request = Request::post(format!("/api/message?channel=receipts-{number}"));
    let request = request.header("content-type", "application/x-ndjson");
    target.told(client.ask(request, "1\n".repeat(1_000)).await?.status);
    for _ in 0..TURN {
        let request = Request::get(format!("/api/poll?channel=receipts-{number}"));
        let request = request.header("x-client-id", format!("{:0>250}", rand::random::<u128>()));
        target.told(client.ask(request, "").await?.status);
    }
    Ok(())
}

pub(super) async fn channels(target: &Target) -> Result<()> {
    let mut client = Client::new(target.address);
    for _ in 0..TURN {
        target.told(client.publish(&format!("{:0>1000}", rand::random::<u128>()), "x").await?.status);
    }
    Ok(())
}

/// Sends nearly all of a body, then waits for what the server does.
pub(super) async fn bodies(target: &Target, number: usize) -> Result<()> {
    count(&target.requests);
    let mut stream = connect(target.address).await?;
    let body = "x".repeat(60_000);
    let framing = if number.is_multiple_of(2) {
        format!("Content-Length: 60001\r\n\r\n{body}")
    } else {
        format!("Transfer-Encoding: chunked\r\n\r\nea60\r\n{body}\r\n")
    };
    let head = format!("POST /api/message?channel=bodies HTTP/1.1\r\nHost: {}\r\n", target.address);
    stream.write_all(format!("{head}Content-Type: text/plain\r\n{framing}").as_bytes()).await?;
    let mut answer = [0; 1024];
    let read = stream.read(&mut answer).await?;
    let is_refused =
        [b"408", b"429", b"503", b"507"].iter().any(|status| answer[..read].get(9..12) == Some(*status));
    count(if is_refused { &target.refused } else { &target.cut });
    Ok(())
}

/// Asks for more than any socket holds and reads nothing.
pub(super) async fn unread(target: &Target, number: usize) -> Result<()> {
    count(&target.requests);
    let from = format!("/api/poll?channel={}&last_id={}", LARGE[number % 2], number % 280);
    let stream = narrow(target.address, &from).await?;
    // The server cuts it in its own time.
    while !is_reset(&stream) && !target.is_over() {
        sleep(Duration::from_millis(500)).await;
    }
    count(&target.cut);
    Ok(())
}

fn is_reset(stream: &TcpStream) -> bool {
    stream.take_error().is_ok_and(|error| error.is_some())
}

/// Follows a large channel, taking a byte at a time.
pub(super) async fn slow_reader(target: &Target, number: usize) -> Result<()> {
    count(&target.requests);
    let mut stream =
        narrow(target.address, &format!("/api/stream?channel={}&last_id={}", LARGE[0], number % 280)).await?;
    while stream.read(&mut [0]).await? > 0 {
        sleep(Duration::from_secs(1)).await;
    }
    count(&target.cut);
    Ok(())
}

/// Reads channels that others have pushed out of memory.
pub(super) async fn cold_reads(target: &Target) -> Result<()> {
    let mut client = Client::new(target.address);
    for _ in 0..TURN {
        let from = rand::random::<u64>() % 280;
        let channel = LARGE[usize::from(from % 2 == 1)];
        let large = format!("/api/poll?channel={channel}&last_id={from}&limit=20");
        target.told(client.get(&large).await?.status);
        let small = format!("/api/poll?channel=keys-0-{}", rand::random::<u64>() % 10_000);
        target.told(client.get(&small).await?.status);
    }
    Ok(())
}
