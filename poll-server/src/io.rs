//! What poll-http reads from and writes to: a connection as it was accepted, or with TLS on it.
//!
//! Why one type: poll-http is compiled once for it, and a connection without TLS pays one comparison.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connection_io::ConnectionIo;
#[cfg(feature = "tls")]
use crate::tls::TlsStream;

/// See the [module](self).
#[derive(Debug)]
pub(crate) enum Io {
    Plain(ConnectionIo),
    /// Boxed: it is larger, and others should not pay for that.
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream<ConnectionIo>>),
}

#[cfg(feature = "tls")]
impl From<Box<TlsStream<ConnectionIo>>> for Io {
    fn from(stream: Box<TlsStream<ConnectionIo>>) -> Self {
        Self::Tls(stream)
    }
}

#[cfg(not(feature = "tls"))]
impl From<std::convert::Infallible> for Io {
    fn from(none: std::convert::Infallible) -> Self {
        match none {}
    }
}

/// Does the same with either.
macro_rules! either {
    ($io:expr, $inner:ident => $act:expr) => {
        match $io.get_mut() {
            Io::Plain($inner) => $act,
            #[cfg(feature = "tls")]
            Io::Tls($inner) => $act,
        }
    };
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, io => Pin::new(io).poll_read(cx, buf))
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, io => Pin::new(io).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, io => Pin::new(io).poll_write_vectored(cx, parts))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, io => Pin::new(io).poll_shutdown(cx))
    }
}
