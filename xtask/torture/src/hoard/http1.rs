//! Hoarding over HTTP/1.1. Each function goes on until its time is over or the server cuts it.

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Duration, sleep};

use super::Aim;
use super::attack::{ESCAPED, FAT, Told};
use crate::http1::Connection;

/// Requests of one turn, after which the counts are told.
const TURN: usize = 200;

pub(super) async fn keys(aim: Aim, hand: usize) -> Result<Told> {
    let (mut connection, mut told) = (Connection::open(aim.address).await?, Told::default());
    let text = "x".repeat(2_000);
    for number in 0..TURN {
        let target = format!("/api/message?channel=keys-{hand}-{}", number % 100);
        let key = format!("{:x}{:x}", rand::random::<u128>(), rand::random::<u128>());
        let lines = [("Content-Type", "text/plain"), ("Idempotency-Key", &*key)];
        connection.ask("POST", &target, &lines, &text).await?;
        told.status(connection.answer().await?.head.status);
    }
    Ok(told)
}

pub(super) async fn receipts(aim: Aim, hand: usize) -> Result<Told> {
    let (mut connection, mut told) = (Connection::open(aim.address).await?, Told::default());
    let target = format!("/api/message?channel=receipts-{hand}");
    connection
        .ask("POST", &target, &[("Content-Type", "application/x-ndjson")], &"1\n".repeat(1_000))
        .await?;
    told.status(connection.answer().await?.head.status);
    for _ in 0..TURN {
        let name = format!("{:0>250}", rand::random::<u128>());
        let target = format!("/api/poll?channel=receipts-{hand}");
        connection.ask("GET", &target, &[("X-Client-ID", &*name)], "").await?;
        told.status(connection.answer().await?.head.status);
    }
    Ok(told)
}

pub(super) async fn channels(aim: Aim, _hand: usize) -> Result<Told> {
    let (mut connection, mut told) = (Connection::open(aim.address).await?, Told::default());
    for _ in 0..TURN {
        let target = format!("/api/message?channel={:0>1000}", rand::random::<u128>());
        connection.ask("POST", &target, &[("Content-Type", "text/plain")], "x").await?;
        told.status(connection.answer().await?.head.status);
    }
    Ok(told)
}

/// Sends nearly all of a body, then waits for what the server does.
pub(super) async fn bodies(aim: Aim, hand: usize) -> Result<Told> {
    let mut told = Told { requests: 1, ..Told::default() };
    let mut stream = TcpStream::connect(aim.address).await.context("cannot connect")?;
    let (address, body) = (aim.address, "x".repeat(60_000));
    let head = format!(
        "POST /api/message?channel=bodies HTTP/1.1\r\nHost: {address}\r\nContent-Type: text/plain\r\n"
    );
    let rest = if hand.is_multiple_of(2) {
        format!("Content-Length: 60001\r\n\r\n{body}")
    } else {
        format!("Transfer-Encoding: chunked\r\n\r\nea60\r\n{body}\r\n")
    };
    stream.write_all(format!("{head}{rest}").as_bytes()).await?;
    let mut answer = [0; 1024];
    let read = stream.read(&mut answer).await?;
    let status = answer.get(9..12).and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
    if read > 12 && matches!(status, Some(408u16 | 429 | 503 | 507)) {
        told.refused += 1;
    } else {
        told.cut += 1;
    }
    Ok(told)
}

/// Asks for more than any socket holds and reads nothing.
pub(super) async fn unread(aim: Aim, hand: usize) -> Result<Told> {
    let channel = if hand.is_multiple_of(2) { FAT } else { ESCAPED };
    let target = format!("/api/poll?channel={channel}&last_id={}", hand % 280);
    let mut stream = narrow(aim, &target).await?;
    // The server cuts it in its own time; until then nothing is read.
    stream.writable().await?;
    loop {
        sleep(Duration::from_millis(500)).await;
        if stream.write_all(b"").await.is_err() || is_closed(&stream) || aim.is_over() {
            return Ok(Told { requests: 1, cut: 1, ..Told::default() });
        }
    }
}

/// Follows a large channel, taking a byte at a time.
pub(super) async fn slow_reader(aim: Aim, hand: usize) -> Result<Told> {
    let target = format!("/api/stream?channel={FAT}&last_id={}", hand % 280);
    let mut stream = narrow(aim, &target).await?;
    let mut byte = [0; 1];
    while stream.read(&mut byte).await? > 0 {
        sleep(Duration::from_secs(1)).await;
    }
    Ok(Told { requests: 1, cut: 1, ..Told::default() })
}

/// Reads channels that others have pushed out of memory.
pub(super) async fn cold_reads(aim: Aim, _hand: usize) -> Result<Told> {
    let (mut connection, mut told) = (Connection::open(aim.address).await?, Told::default());
    for _ in 0..TURN {
        let position = rand::random::<u64>() % 280;
        let channel = if position.is_multiple_of(2) { FAT } else { ESCAPED };
        let target = format!("/api/poll?channel={channel}&last_id={position}&limit=20");
        connection.ask("GET", &target, &[], "").await?;
        told.status(connection.answer().await?.head.status);
        let target = format!("/api/poll?channel=keys-0-{}", rand::random::<u64>() % 10_000);
        connection.ask("GET", &target, &[], "").await?;
        told.status(connection.answer().await?.head.status);
    }
    Ok(told)
}

/// A connection whose receive buffer is as small as the system makes it, with a question on it.
async fn narrow(aim: Aim, target: &str) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4_096)?;
    let mut stream = socket.connect(aim.address).await.context("cannot connect")?;
    let head = format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", aim.address);
    stream.write_all(head.as_bytes()).await?;
    Ok(stream)
}

/// Whether the peer has reset the connection.
fn is_closed(stream: &TcpStream) -> bool {
    stream.take_error().is_ok_and(|error| error.is_some())
}
