//! Channels of large messages, and connections that take little of them.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;

use crate::client::Client;
use crate::secured::{Offer, Socket, begin};

/// Of each message.
const BYTES: usize = 60_000;

/// Publishes so many messages of this character.
pub(super) async fn publish(
    address: SocketAddr,
    channel: &str,
    character: &str,
    messages: usize,
) -> Result<()> {
    let (mut client, text) = (Client::new(address), character.repeat(BYTES));
    for _ in 0..messages {
        client.publish(channel, text.clone()).await?.json(201)?;
    }
    Ok(())
}

/// A question on a connection whose receive buffer is as small as the system makes it.
pub(super) async fn narrow(address: SocketAddr, target: &str) -> Result<Socket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4_096)?;
    let mut stream = begin(socket.connect(address).await.context("cannot connect")?, Offer::Http1).await?;
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
    stream.flush().await?;
    Ok(stream)
}
