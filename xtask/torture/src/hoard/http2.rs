//! Hoarding over HTTP/2: many streams on few connections.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use http::{Method, Request};
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};

use super::Aim;
use super::attack::{ESCAPED, FAT, Told};

/// Streams a connection, as many as the server allows.
const STREAMS: usize = 1_000;

/// A connection, driven until it is dropped.
struct Http2 {
    sender: SendRequest<Bytes>,
    driver: AbortHandle,
}

impl Http2 {
    /// Whose streams open with a window of so many bytes.
    async fn open(aim: Aim, window: u32) -> Result<Self> {
        let stream = TcpStream::connect(aim.address).await.context("cannot connect")?;
        let mut builder = Builder::new();
        builder.initial_window_size(window);
        let (sender, connection) = builder.handshake(stream).await.context("no HTTP/2")?;
        let driver = tokio::task::spawn_local(async { connection.await.unwrap_or_default() });
        Ok(Self { sender, driver: driver.abort_handle() })
    }

    async fn ready(&self) -> Result<SendRequest<Bytes>> {
        self.sender.clone().ready().await.context("the connection is gone")
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Waits with the longest names there may be.
pub(super) async fn names(aim: Aim, hand: usize) -> Result<Told> {
    let connection = Http2::open(aim, 65_535).await?;
    let mut waiting = JoinSet::new();
    for number in 0..STREAMS {
        let channel = format!("{hand}-{number:0>1000}");
        let target = format!("http://{}/api/longpoll?timeout=45&channel={channel}", aim.address);
        let name = format!("{hand}-{number:0>240}");
        let request = Request::get(target).header("x-client-id", name).body(())?;
        let (response, _) = connection.ready().await?.send_request(request, true)?;
        waiting.spawn_local(response);
    }
    ends(waiting).await
}

/// Begins posts of a mebibyte each, sends what the windows take, and finishes none.
pub(super) async fn bodies(aim: Aim) -> Result<Told> {
    let connection = Http2::open(aim, 65_535).await?;
    let mut waiting = JoinSet::new();
    for _ in 0..STREAMS {
        let target = format!("http://{}/api/message?channel=bodies", aim.address);
        let request = Request::builder().method(Method::POST).uri(target);
        let request = request.header("content-type", "application/x-ndjson").body(())?;
        let (response, mut stream) = connection.ready().await?.send_request(request, false)?;
        let line = Bytes::from("1\n".repeat(8_000));
        for _ in 0..64 {
            stream.reserve_capacity(line.len());
            stream.send_data(line.clone(), false)?;
        }
        waiting.spawn_local(async move {
            let answer = response.await;
            drop(stream);
            answer
        });
    }
    ends(waiting).await
}

/// Asks for large answers with a window in which none fits, and reads nothing.
pub(super) async fn unread(aim: Aim, hand: usize) -> Result<Told> {
    let connection = Http2::open(aim, 0).await?;
    let mut waiting = JoinSet::new();
    for number in 0..STREAMS {
        let channel = if hand.is_multiple_of(2) { FAT } else { ESCAPED };
        let target = format!("http://{}/api/poll?channel={channel}&last_id={}", aim.address, number % 280);
        let (response, _) = connection.ready().await?.send_request(Request::get(target).body(())?, true)?;
        waiting.spawn_local(async move {
            let answer = response.await?;
            if !answer.status().is_success() {
                return Ok(answer);
            }
            // Held, unread, until the server resets it.
            let (head, mut body) = answer.into_parts();
            match body.data().await {
                Some(Err(error)) => Err(error),
                _ => Ok(http::Response::from_parts(head, body)),
            }
        });
    }
    ends(waiting).await
}

/// What became of the streams.
async fn ends(mut waiting: JoinSet<Result<http::Response<h2::RecvStream>, h2::Error>>) -> Result<Told> {
    let mut told = Told::default();
    while let Some(answer) = waiting.join_next().await {
        match answer.context("a stream's task panicked")? {
            Ok(answer) => told.status(answer.status().as_u16()),
            Err(error) if error.is_reset() => {
                told.requests += 1;
                told.refused += 1;
            }
            Err(_) => told.cut += 1,
        }
    }
    Ok(told)
}
