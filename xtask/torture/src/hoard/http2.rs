//! Hoarding over HTTP/2: many streams on few connections.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use http::Request;
use tokio::task::{AbortHandle, JoinSet};

use super::http1::LARGE;
use super::target::{Target, count};
use crate::client::http2;

/// Streams a connection, as many as the server allows.
const STREAMS: usize = 1_000;

/// A connection that is driven until it is dropped.
struct Http2 {
    sender: SendRequest<Bytes>,
    driver: AbortHandle,
}

impl Http2 {
    /// Whose streams open with a window of so many bytes.
    async fn open(address: SocketAddr, window: u32) -> Result<Self> {
        let (sender, driver) = http2(address, Builder::new().initial_window_size(window)).await?;
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
pub(super) async fn names(target: &Target, number: usize) -> Result<()> {
    let connection = Http2::open(target.address, 65_535).await?;
    let mut waiting = JoinSet::new();
    for stream in 0..STREAMS {
        let channel = format!("{number}-{stream:0>1000}");
        let uri = format!("http://{}/api/longpoll?timeout=45&channel={channel}", target.address);
        let request = Request::get(uri).header("x-client-id", format!("{number}-{stream:0>240}")).body(())?;
        let (response, _) = connection.ready().await?.send_request(request, true)?;
        waiting.spawn_local(response);
    }
    ends(target, waiting).await
}

/// Begins posts of a mebibyte each, sends what the windows take, and finishes none.
pub(super) async fn bodies(target: &Target) -> Result<()> {
    let connection = Http2::open(target.address, 65_535).await?;
    let mut waiting = JoinSet::new();
    for _ in 0..STREAMS {
        let request = Request::post(format!("http://{}/api/message?channel=bodies", target.address));
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
    ends(target, waiting).await
}

/// Asks for large answers with a window in which none fits, and reads nothing.
pub(super) async fn unread(target: &Target, number: usize) -> Result<()> {
    let connection = Http2::open(target.address, 0).await?;
    let mut waiting = JoinSet::new();
    let channel = LARGE[number % 2];
    for stream in 0..STREAMS {
        let uri = format!("http://{}/api/poll?channel={channel}&last_id={}", target.address, stream % 280);
        let (response, _) = connection.ready().await?.send_request(Request::get(uri).body(())?, true)?;
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
    ends(target, waiting).await
}

/// Counts what became of the streams.
async fn ends(
    target: &Target,
    mut waiting: JoinSet<Result<http::Response<h2::RecvStream>, h2::Error>>,
) -> Result<()> {
    while let Some(answer) = waiting.join_next().await {
        match answer.context("a stream's task panicked")? {
            Ok(answer) => target.told(answer.status().as_u16()),
            // As good as a 503.
            Err(error) if error.is_reset() => target.told(503),
            Err(_) => count(&target.cut),
        }
    }
    Ok(())
}
