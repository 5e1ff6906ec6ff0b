//! Where connections come from: TCP, or whatever else carries bytes both ways.
//!
//! A trait, so that tests run on in-memory pipes and a caller can bring a tunnel. It leaves HTTP alone.

use std::io;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Opens connections to the server.
pub trait Connect: Send + Sync + 'static {
    /// One new connection to `authority` (`host:port`). Dropping the future gives up.
    fn connect(&self, authority: &str) -> BoxFuture<'static, io::Result<Pipe>>;
}

/// Bytes both ways.
pub type Pipe = Box<dyn Duplex>;

/// What a [`Pipe`] must do; every fitting type does.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// Plain TCP. Small writes go out at once (`TCP_NODELAY`): a request is one write and its answer is waited for.
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
