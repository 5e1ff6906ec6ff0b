//! Reading from and writing to an accepted connection.
//!
//! What: a TCP socket, or one end of a pipe within the process, as poll-http uses it.
//! Why not tokio's socket alone: it asks the runtime for permission before each write, although a socket nearly always
//! takes an answer. Here the write is tried first.
//! Not here: timeouts and framing (poll-http); how long the first byte may take (`first_byte.rs`).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::SendFlags;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop::poll_proceed;

use poll_http::ConnectionRecord;

use crate::connection_limit::ConnectionLimit;
use crate::first_byte::FirstByte;

/// Makes writing to a closed connection an error rather than a signal. Where that cannot be asked for with each write,
/// Rust's runtime ignores the signal.
#[cfg(target_os = "linux")]
const FLAGS: SendFlags = SendFlags::NOSIGNAL;
#[cfg(not(target_os = "linux"))]
const FLAGS: SendFlags = SendFlags::empty();

/// A connection that was accepted, and belongs to no runtime yet.
#[derive(Debug)]
pub(crate) enum Accepted {
    Tcp(std::net::TcpStream),
    InProcess(DuplexStream),
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct ConnectionIo {
    stream: Stream,
    /// Until the peer's first byte.
    first_byte: Option<Box<FirstByte>>,
    /// What operators see of it, if they see any.
    record: Option<ConnectionRecord>,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    InProcess(DuplexStream),
}

impl ConnectionIo {
    /// Takes a connection up on the current runtime.
    pub(crate) fn new(
        accepted: Accepted,
        limit: &ConnectionLimit,
        record: Option<ConnectionRecord>,
    ) -> io::Result<Self> {
        let stream = match accepted {
            Accepted::Tcp(stream) => Stream::Tcp(TcpStream::from_std(stream)?),
            Accepted::InProcess(stream) => Stream::InProcess(stream),
        };
        Ok(Self { stream, first_byte: Some(Box::new(FirstByte::new(limit.clone()))), record })
    }

    /// Tells operators of what was written.
    fn count(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let (Some(record), Poll::Ready(Ok(bytes))) = (&self.record, &written) {
            record.sent(*bytes);
        }
        written
    }

    #[cold]
    fn poll_first_read(&mut self, cx: &mut Context<'_>, read: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
        if let (Some(first_byte), Poll::Pending) = (&mut self.first_byte, &read) {
            // Looks as if the peer had left; it has asked for nothing.
            return first_byte.poll_timeout(cx).map(Ok);
        }
        self.first_byte = None;
        read
    }
}

impl AsyncRead for ConnectionIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::InProcess(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        if let Some(record) = &self.record {
            record.received(buf.filled().len() - before);
        }
        if self.first_byte.is_some() { self.poll_first_read(cx, read) } else { read }
    }
}

impl AsyncWrite for ConnectionIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.stream.poll_write(cx, bytes);
        self.count(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Stream::InProcess(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
        };
        self.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Stream::InProcess(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::InProcess(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl Stream {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let stream = match self {
            Self::Tcp(stream) => stream,
            Self::InProcess(stream) => return Pin::new(stream).poll_write(cx, bytes),
        };
        // A task that keeps writing yields now and then, as with the runtime's own sockets.
        let budget = ready!(poll_proceed(cx));
        match rustix::net::send(&*stream, bytes, FLAGS) {
            // Through the runtime, which then wakes the task when the socket has room.
            Err(Errno::AGAIN | Errno::INTR) => {
                drop(budget);
                Pin::new(stream).poll_write(cx, bytes)
            }
            written => {
                budget.made_progress();
                Poll::Ready(written.map_err(io::Error::from))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use poll_http::Metrics;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::connection_limit::Bounds;

    async fn pair() -> (ConnectionIo, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, accepted) =
            tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let bounds = Bounds { max: 10, per_address: 10, proxies: Vec::new() };
        let limit = ConnectionLimit::new(bounds, Metrics::new());
        let accepted = Accepted::Tcp(accepted.unwrap().0.into_std().unwrap());
        (ConnectionIo::new(accepted, &limit, None).unwrap(), client.unwrap())
    }

    #[tokio::test]
    async fn a_writer_that_has_to_wait_is_woken() {
        let (mut connection, mut client) = pair().await;
        let bytes: Vec<u8> = (0..16 << 20).map(|number: u32| number.to_le_bytes()[1]).collect();
        let (written, read) = tokio::join!(
            async {
                connection.write_all(&bytes).await?;
                connection.shutdown().await
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
    async fn a_task_that_keeps_writing_yields() {
        let (mut connection, client) = pair().await;
        let other = tokio::spawn(async {});
        // Far less than a socket holds: it never has to wait.
        for _ in 0..1_000 {
            connection.write_all(b"x").await.unwrap();
        }
        assert!(other.is_finished());
        drop(client);
    }

    #[tokio::test]
    async fn a_peer_that_has_left_is_an_error() {
        let (mut connection, client) = pair().await;
        drop(client);
        let mut broken = Ok(());
        while broken.is_ok() {
            broken = connection.write_all(b"anybody?").await;
            tokio::task::yield_now().await;
        }
        let kind = broken.unwrap_err().kind();
        assert!(matches!(kind, io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset), "{kind}");
    }
}
