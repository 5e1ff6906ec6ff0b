//! The one acceptor: takes connections from all listeners and hands each to the least busy worker.
//!
//! What: accepts while there is room, pauses while there is none, and survives what `accept(2)` can say.
//! Why: one acceptor spreads connections evenly where the kernel's hash would not.
//! Not here: serving them (`worker.rs`).

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};

use crate::connection_limit::Sockets;
use crate::listen::{Listener, let_nobody_in};
use crate::worker::Hands;

/// How long to leave a kernel alone that is out of descriptors or memory: it says so again at once, and
/// asking in a loop would only burn the processor that could close something.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// How long a handshake may be under way when the last connections are taken: a round trip around the world.
const HANDSHAKE: Duration = Duration::from_millis(300);

/// Accepts until it is dropped; dropping it closes the listeners.
pub(crate) struct Acceptor {
    listeners: Vec<TcpListener>,
    /// Where the next look starts, so that a busy listener starves no other.
    first: usize,
    sockets: Sockets,
    hands: Hands,
    exhaustion: Exhaustion,
}

/// Whether the last attempt failed for want of descriptors, so that it is told once and not ten times a second.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Exhaustion {
    Told,
    None,
}

impl Acceptor {
    pub(crate) fn new(listeners: Vec<Listener>, sockets: Sockets, hands: Hands) -> io::Result<Self> {
        let listeners = listeners.into_iter().map(|listener| TcpListener::from_std(listener.socket));
        let listeners = listeners.collect::<io::Result<_>>()?;
        Ok(Self { listeners, first: 0, sockets, hands, exhaustion: Exhaustion::None })
    }

    /// Accepts for ever. Dropping the future between two connections loses none.
    pub(crate) async fn run(&mut self) -> Infallible {
        loop {
            if self.sockets.is_full() {
                tracing::warn!("accepting pauses: {} sockets are open (max-sockets)", self.sockets.most());
                self.sockets.until_room().await;
                // As loud as its beginning: at the limit, whoever comes and goes brings both about.
                tracing::warn!("accepting goes on: a socket was closed");
            }
            let accepted = std::future::poll_fn(|context| self.poll_accept(context)).await;
            if self.take(accepted) == Next::Pause {
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }

    /// Takes every connection that has begun, then closes the listeners: closing them with a connection in their
    /// queues would reset it, and its client believes it to be open.
    pub(crate) async fn finish(mut self) {
        for listener in &self.listeners {
            if let Err(error) = let_nobody_in(&SockRef::from(listener)) {
                tracing::debug!("connections may come until the end: {error}");
            }
        }
        // For those whose handshake was under way.
        let _elapsed = tokio::time::timeout(HANDSHAKE, self.run()).await;
        let mut context = Context::from_waker(Waker::noop());
        loop {
            self.sockets.until_room().await;
            let Poll::Ready(accepted) = self.poll_accept(&mut context) else { break };
            if self.take(accepted) == Next::Pause {
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }

    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
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

    fn take(&mut self, accepted: io::Result<(TcpStream, SocketAddr)>) -> Next {
        match accepted.and_then(|(stream, peer)| Ok((stream.into_std()?, peer))) {
            Ok((stream, peer)) => {
                self.exhaustion = Exhaustion::None;
                // A dual-stack listener shows IPv4 peers as ::ffff:a.b.c.d, which no rule is written for.
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                self.hands.hand(stream, peer, &self.sockets);
                Next::Accept
            }
            Err(error) if is_peers(&error) => Next::Accept,
            Err(error) => {
                if self.exhaustion == Exhaustion::None {
                    tracing::warn!("cannot accept, trying on: {error}");
                }
                self.exhaustion = Exhaustion::Told;
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

/// Errors of one connection that was gone before it was accepted; the next one is unharmed.
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use super::*;
    use crate::listen::bind;

    #[test]
    fn a_connection_that_has_begun_is_taken_and_no_other_begins() {
        let listener = bind(&["127.0.0.1:0".parse().unwrap()], Duration::from_secs(30)).unwrap().remove(0);
        let address = listener.address();
        let mut begun = TcpStream::connect(address).unwrap();
        begun.write_all(b"hello").unwrap();
        let_nobody_in(&SockRef::from(&listener.socket)).unwrap();
        let late = TcpStream::connect_timeout(&address, Duration::from_millis(50));
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
        listener.socket.set_nonblocking(false).unwrap();
        let (mut accepted, _) = listener.socket.accept().unwrap();
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
