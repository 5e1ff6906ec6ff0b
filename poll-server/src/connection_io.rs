//! The socket of a connection, which is written to without asking the runtime first.
//!
//! What: an accepted TCP socket as poll-http reads and writes it.
//! Why: a socket nearly always takes an answer, and what the runtime knows of it is far from the processor when a message
//! goes to thousands.
//! Not here: deadlines, framing (poll-http); how long the first byte may take (`first_byte.rs`).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::SendFlags;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop::poll_proceed;

use crate::connection_limit::Sockets;
use crate::first_byte::Silence;

/// A closed connection is an error, not a signal, where that can be said with each write; else the runtime of the
/// language has said it for all.
#[cfg(target_os = "linux")]
const FLAGS: SendFlags = SendFlags::NOSIGNAL;
#[cfg(not(target_os = "linux"))]
const FLAGS: SendFlags = SendFlags::empty();

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    /// Until the peer's first byte.
    silence: Option<Box<Silence>>,
}

impl Socket {
    /// Takes up a non-blocking stream on the current runtime.
    pub(crate) fn new(stream: std::net::TcpStream, sockets: &Sockets) -> io::Result<Self> {
        let stream = TcpStream::from_std(stream)?;
        Ok(Self { stream, silence: Some(Box::new(Silence::new(sockets.clone()))) })
    }

    #[cold]
    fn poll_first_read(&mut self, cx: &mut Context<'_>, read: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
        if let (Some(silence), Poll::Pending) = (&mut self.silence, &read) {
            // As if the peer had left: it has asked for nothing.
            return silence.poll(cx).map(Ok);
        }
        self.silence = None;
        read
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if self.silence.is_some() { self.poll_first_read(cx, read) } else { read }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // Who writes and writes gives way now and then, as to the runtime's own sockets.
        let turn = ready!(poll_proceed(cx));
        match rustix::net::send(&self.stream, bytes, FLAGS) {
            // For the runtime to hear, which then tells when the socket takes more.
            Err(Errno::AGAIN | Errno::INTR) => {
                drop(turn);
                Pin::new(&mut self.stream).poll_write(cx, bytes)
            }
            written => {
                turn.made_progress();
                Poll::Ready(written.map_err(io::Error::from))
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use poll_http::Metrics;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::connection_limit::Bounds;

    async fn pair() -> (Socket, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, accepted) =
            tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let bounds = Bounds { most: 10, per_address: 10, proxies: Vec::new() };
        let sockets = Sockets::new(bounds, Metrics::new());
        let accepted = accepted.unwrap().0.into_std().unwrap();
        (Socket::new(accepted, &sockets).unwrap(), client.unwrap())
    }

    #[tokio::test]
    async fn a_writer_who_has_to_wait_is_woken() {
        let (mut socket, mut client) = pair().await;
        let bytes: Vec<u8> = (0..16 << 20).map(|number: u32| number.to_le_bytes()[1]).collect();
        let (written, read) = tokio::join!(
            async {
                socket.write_all(&bytes).await?;
                socket.shutdown().await
            },
            async {
                let mut read = Vec::new();
                client.read_to_end(&mut read).await.map(|_| read)
            }
        );
        written.unwrap();
        assert!(read.unwrap() == bytes);
    }

    #[tokio::test]
    async fn who_writes_and_writes_gives_way() {
        let (mut socket, client) = pair().await;
        let other = tokio::spawn(async {});
        // Far less than a socket holds: it never has to wait.
        for _ in 0..1_000 {
            socket.write_all(b"x").await.unwrap();
        }
        assert!(other.is_finished());
        drop(client);
    }

    #[tokio::test]
    async fn a_peer_who_has_left_is_an_error() {
        let (mut socket, client) = pair().await;
        drop(client);
        let mut broken = Ok(());
        while broken.is_ok() {
            broken = socket.write_all(b"anybody?").await;
            tokio::task::yield_now().await;
        }
        let kind = broken.unwrap_err().kind();
        assert!(matches!(kind, io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset), "{kind}");
    }
}
