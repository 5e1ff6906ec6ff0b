//! Connections within the process, without sockets.
//!
//! What: a [`Dialer`], whose connections a [`Listener`](crate::listen::Listener) hands to the acceptor.
//! Why: a simulation, a test or an embedding program can talk to the whole server with nothing of the operating system's in
//! between.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use tokio::io::DuplexStream;
use tokio::sync::mpsc;

/// The buffer of each direction of a connection, in bytes: as much as a socket's.
const BUFFER: usize = 64 << 10;

/// Connects to a server in the same process. Clones lead to the same one.
#[derive(Clone, Debug)]
pub struct Dialer(mpsc::UnboundedSender<(DuplexStream, SocketAddr)>);

/// The server's side.
#[derive(Debug)]
pub(crate) struct Backlog(mpsc::UnboundedReceiver<(DuplexStream, SocketAddr)>);

pub(crate) fn pair() -> (Dialer, Backlog) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Dialer(sender), Backlog(receiver))
}

impl Dialer {
    /// Opens a connection that seems to come from `peer`.
    ///
    /// # Errors
    /// When the server no longer listens.
    pub fn connect(&self, peer: SocketAddr) -> io::Result<DuplexStream> {
        self.connect_with(peer, BUFFER)
    }

    /// The same with so many bytes of buffer in each direction.
    ///
    /// # Errors
    /// When the server no longer listens.
    pub fn connect_with(&self, peer: SocketAddr, buffer: usize) -> io::Result<DuplexStream> {
        let (near, far) = tokio::io::duplex(buffer);
        self.0.send((far, peer)).map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
        Ok(near)
    }
}

impl Backlog {
    pub(crate) fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<(DuplexStream, SocketAddr)> {
        match ready!(self.0.poll_recv(context)) {
            Some(accepted) => Poll::Ready(accepted),
            // Nobody can connect any more.
            None => Poll::Pending,
        }
    }

    /// Refuses new connections from here on; those in the backlog can still be accepted.
    pub(crate) fn close(&mut self) {
        self.0.close();
    }
}
