//! Hoarding over HTTP/2: many streams on few connections.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures_util::future::join_all;
use h2::client::Builder;
use http::Uri;
use http::request;

use crate::client::http2;

/// Streams a connection, as many as the server allows.
const STREAMS: usize = 1_000;

/// Asks on every stream of one connection, with a window of so many bytes for each answer. Of a body so many pieces of
/// 16 kB are sent as far as the windows take them, and never its end. Answers are held, unread.
pub(super) async fn ask(
    address: SocketAddr,
    window: u32,
    request: impl Fn(usize) -> request::Builder,
    pieces: usize,
) -> Result<()> {
    let (sender, driver) = http2(address, Builder::new().initial_window_size(window)).await?;
    let _ends_with_us = AbortOnDrop(driver.abort_handle());
    let piece = Bytes::from("1\n".repeat(8_000));
    let mut waiting = Vec::new();
    for number in 0..STREAMS {
        let mut request = request(number).body(())?;
        *request.uri_mut() = Uri::try_from(format!("http://{address}{}", request.uri()))?;
        let mut ready = sender.clone().ready().await.context("the connection is gone")?;
        let (response, mut stream) = ready.send_request(request, pieces == 0)?;
        for _ in 0..pieces {
            stream.reserve_capacity(piece.len());
            stream.send_data(piece.clone(), false)?;
        }
        waiting.push(async move {
            let mut body = response.await?.into_body();
            let _first = body.data().await.transpose()?;
            drop(stream);
            Ok::<_, h2::Error>(body)
        });
    }
    join_all(waiting).await;
    Ok(())
}

struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
