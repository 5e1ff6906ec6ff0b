//! Hoarding over HTTP/1.1.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use http::request::Builder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::sleep;

use crate::client::{Client, connect};
use crate::large::narrow;

/// Asks so many things, one after another on one connection.
pub(super) async fn ask(
    address: SocketAddr,
    times: usize,
    request: impl Fn(usize) -> Builder,
    body: &str,
) -> Result<()> {
    let mut client = Client::new(address);
    for number in 0..times {
        client.ask(request(number), body.to_owned()).await?;
    }
    Ok(())
}

/// Sends nearly all of a body, then waits for what the server does.
pub(super) async fn begin(address: SocketAddr, client: usize) -> Result<()> {
    let mut stream = connect(address).await?;
    let body = "x".repeat(60_000);
    let framing = match client % 2 {
        0 => format!("Content-Length: 60001\r\n\r\n{body}"),
        _ => format!("Transfer-Encoding: chunked\r\n\r\nea60\r\n{body}\r\n"),
    };
    let head = format!("POST /api/message?channel=bodies HTTP/1.1\r\nHost: {address}\r\n");
    stream.write_all(format!("{head}Content-Type: text/plain\r\n{framing}").as_bytes()).await?;
    let _answer = stream.read(&mut [0; 1024]).await?;
    Ok(())
}

/// Asks for more than any socket holds and reads nothing, until the server cuts it in its own time.
pub(super) async fn unread(address: SocketAddr, target: &str) -> Result<()> {
    let stream = narrow(address, target).await?;
    while stream.take_error()?.is_none() {
        sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

/// Takes a byte at a time.
pub(super) async fn read_slowly(address: SocketAddr, target: &str) -> Result<()> {
    let mut stream = narrow(address, target).await?;
    while stream.read(&mut [0]).await? > 0 {
        sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}
