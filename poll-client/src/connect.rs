//! How connections are opened: TCP, or any other bidirectional byte stream, such as a tunnel or an in-memory pipe.

use std::io;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// What a connection will carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// Opens connections to the server. For an `https` server the client shakes hands over them.
pub trait Connect: Send + Sync + 'static {
    /// Opens a connection to `authority` (`host:port`). Dropping the future cancels it.
    fn connect(&self, authority: &str) -> BoxFuture<'static, io::Result<Pipe>>;
}

/// A bidirectional byte stream.
pub type Pipe = Box<dyn Duplex>;

/// The traits of a [`Pipe`].
pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// Plain TCP with `TCP_NODELAY`, because a request is one small write whose answer is awaited.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

impl Connect for Tcp {
    fn connect(&self, authority: &str) -> BoxFuture<'static, io::Result<Pipe>> {
        let authority = authority.to_owned();
        async move {
            let stream = TcpStream::connect(authority).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Pipe)
        }
        .boxed()
    }
}
