//! The acceptor: accepts connections from all listeners and hands each to the least busy worker.
//!
//! What: accepts while there is room, pauses while there is none, and survives the errors of `accept(2)`.
//! Why: one acceptor spreads connections evenly; the kernel's hash would not.
//! Not here: serving them (`worker.rs`).

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpListener;

use crate::connection_io::Accepted;
use crate::connection_limit::ConnectionLimit;
use crate::in_process::Backlog;
use crate::listen::{Listener, Role, Source, drop_handshakes};
use crate::worker::{Arrived, Dispatcher};

/// How long to wait when the kernel is out of file descriptors or memory. An immediate retry would fail again, and a loop
/// would only use processor time that others need to close something.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// How long to wait for handshakes under way before the last connections are accepted: a round trip around the world.
const HANDSHAKE: Duration = Duration::from_millis(300);

/// Accepts until it is dropped; dropping it closes the listeners.
pub(crate) struct Acceptor {
    listeners: Vec<Incoming>,
    /// Where the next search starts, so that a busy listener starves no other.
    first: usize,
    limit: ConnectionLimit,
    dispatcher: Dispatcher,
    exhaustion: Exhaustion,
}

/// Whether the last attempt failed because no file descriptor was left, which is logged once and not ten times a second.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Exhaustion {
    Logged,
    None,
}

/// A listener on this runtime, and what it is for.
struct Incoming {
    source: IncomingSource,
    role: Role,
}

enum IncomingSource {
    Tcp(TcpListener),
    /// Connections that wait here are for the process that comes next.
    Inherited(TcpListener),
    InProcess(Backlog),
}

impl Incoming {
    fn new(listener: Listener) -> io::Result<Self> {
        let role = listener.role();
        let source = match listener.source {
            Source::Tcp(socket) => IncomingSource::Tcp(TcpListener::from_std(socket)?),
            Source::Inherited(socket) => IncomingSource::Inherited(TcpListener::from_std(socket)?),
            Source::InProcess(backlog) => IncomingSource::InProcess(backlog),
        };
        Ok(Self { source, role })
    }

    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Arrived>> {
        let (accepted, peer) = match &mut self.source {
            IncomingSource::Tcp(listener) | IncomingSource::Inherited(listener) => {
                let (stream, peer) = ready!(listener.poll_accept(context))?;
                (Accepted::Tcp(stream.into_std()?), peer)
            }
            IncomingSource::InProcess(backlog) => {
                let (stream, peer) = ready!(backlog.poll_accept(context));
                (Accepted::InProcess(stream), peer)
            }
        };
        // A dual-stack listener shows IPv4 peers as ::ffff:a.b.c.d, which no configured network matches.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        Poll::Ready(Ok(Arrived { accepted, peer, role: self.role }))
    }

    fn is_inherited(&self) -> bool {
        matches!(self.source, IncomingSource::Inherited(_))
    }

    /// Lets no more connections begin.
    fn close(&mut self) -> io::Result<()> {
        match &mut self.source {
            IncomingSource::Tcp(listener) => drop_handshakes(&SockRef::from(&*listener)),
            IncomingSource::InProcess(backlog) => {
                backlog.close();
                Ok(())
            }
            IncomingSource::Inherited(_) => Ok(()),
        }
    }
}

impl Acceptor {
    pub(crate) fn new(
        listeners: Vec<Listener>,
        limit: ConnectionLimit,
        dispatcher: Dispatcher,
    ) -> io::Result<Self> {
        let listeners = listeners.into_iter().map(Incoming::new).collect::<io::Result<_>>()?;
        Ok(Self { listeners, first: 0, limit, dispatcher, exhaustion: Exhaustion::None })
    }

    /// Accepts forever. Dropping the future loses no connection.
    pub(crate) async fn run(&mut self) -> Infallible {
        loop {
            if self.limit.is_full() {
                let connections = self.limit.max();
                tracing::warn!(
                    connections,
                    "accepting pauses: {connections} connections are open (max-sockets)"
                );
                self.limit.until_room().await;
                // At the same level as the pause: at the bound, anyone who comes and goes causes both.
                tracing::warn!("accepting goes on: a connection was closed");
            }
            let accepted = std::future::poll_fn(|context| self.poll_accept(context)).await;
            if self.take(accepted) == Next::Pause {
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }

    /// Accepts every connection that has begun, then closes the listeners. Closing them earlier would reset connections in
    /// their queues, which their clients take to be open. Inherited ones stay open elsewhere, and so do their queues.
    pub(crate) async fn finish(mut self) {
        self.listeners.retain(|listener| !listener.is_inherited());
        if self.listeners.is_empty() {
            return;
        }
        self.first = 0;
        for listener in &mut self.listeners {
            if let Err(error) = listener.close() {
                tracing::debug!("connections may come until the end: {error}");
            }
        }
        // Waits for handshakes under way.
        let _elapsed = tokio::time::timeout(HANDSHAKE, self.run()).await;
        let mut context = Context::from_waker(Waker::noop());
        loop {
            self.limit.until_room().await;
            let Poll::Ready(accepted) = self.poll_accept(&mut context) else { break };
            if self.take(accepted) == Next::Pause {
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }

    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Arrived>> {
        let count = self.listeners.len();
        for step in 0..count {
            let index = (self.first + step) % count;
            if let Poll::Ready(accepted) = self.listeners[index].poll_accept(context) {
                self.first = (index + 1) % count;
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    }

    fn take(&mut self, accepted: io::Result<Arrived>) -> Next {
        match accepted {
            Ok(arrived) => {
                self.exhaustion = Exhaustion::None;
                self.dispatcher.dispatch(arrived, &self.limit);
                Next::Accept
            }
            Err(error) if is_peers(&error) => Next::Accept,
            Err(error) => {
                if self.exhaustion == Exhaustion::None {
                    tracing::warn!(%error, "cannot accept, still trying: {error}");
                }
                self.exhaustion = Exhaustion::Logged;
                Next::Pause
            }
        }
    }
}

#[derive(PartialEq, Eq)]
enum Next {
    Accept,
    Pause,
}

/// Errors of a connection that was gone before it was accepted; the next one is unaffected.
fn is_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted,
        NetworkUnreachable, TimedOut,
    };
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkUnreachable
            | TimedOut
    )
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn a_connection_that_has_begun_is_accepted_and_no_other_begins() {
        use super::*;
        use crate::listen::bind;
        use std::io::{Read as _, Write as _};
        use std::net::TcpStream;

        let listener = bind(&["127.0.0.1:0".parse().unwrap()], Duration::from_secs(30)).unwrap().remove(0);
        let address = listener.address();
        let Source::Tcp(socket) = &listener.source else { panic!("{listener:?}") };
        let mut begun = TcpStream::connect(address).unwrap();
        begun.write_all(b"hello").unwrap();
        drop_handshakes(&SockRef::from(socket)).unwrap();
        let late = TcpStream::connect_timeout(&address, Duration::from_millis(50));
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
        socket.set_nonblocking(false).unwrap();
        let (mut accepted, _) = socket.accept().unwrap();
        drop(listener);
        accepted.set_nonblocking(false).unwrap();
        let mut text = [0; 5];
        accepted.read_exact(&mut text).unwrap();
        accepted.write_all(&text).unwrap();
        begun.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"hello");
        assert_eq!(TcpStream::connect(address).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
