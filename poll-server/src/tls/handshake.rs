//! A connection until its TLS handshake is done.
//!
//! What: waits for the first byte, runs the handshake on the worker within its deadline, and then begins to serve.
//! Why here and not where connections are accepted: a slow handshake must not delay other connections.
//! Not here: how long the first byte may take while connections are scarce (`first_byte.rs`).

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use poll_core::{Charge, Kind};
use poll_http::{ConnectionContext, ConnectionError, Cut, Peer, Secured, Timer, WaitDraining};
use rustls::server::UnbufferedServerConnection;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::time::Instant;

use super::certificates::Certificates;
use super::obtained::{Hello, Look};
use super::partial::Waits;
use super::scratch::{self, RECORD};
use super::stream::{HANDSHAKE, TlsStream};
use super::subject;
use super::unfinished::{self, Place, Unfinished};
use crate::connection_io::ConnectionIo;

/// What a handshake holds besides what was received and not sent: keys, and what both sides have offered.
const HANDSHAKE_BYTES: u64 = 4 << 10;

/// The answer to a request without TLS.
const SPEAKS_TLS: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 37\r\n\
    Connection: close\r\n\r\nThis port speaks TLS: ask by https.\r\n";

/// How long a silent connection may stay while the server drains.
const DRAINING: Duration = Duration::from_secs(1);

/// What the handshakes of one worker share.
#[derive(Clone, Debug)]
pub(crate) struct Handshakes {
    certificates: Certificates,
    unfinished: Unfinished,
    context: Arc<ConnectionContext>,
    /// For all clients without a certificate.
    unnamed: Arc<Secured>,
}

impl Handshakes {
    pub(crate) fn new(
        certificates: Certificates,
        unfinished: Unfinished,
        context: Arc<ConnectionContext>,
    ) -> Self {
        Self { certificates, unfinished, context, unnamed: Arc::default() }
    }
}

/// Serves a connection: its handshake, and then whatever `begin` makes of it.
pub(crate) fn serve<B, F>(
    io: ConnectionIo,
    peer: SocketAddr,
    handshakes: &Handshakes,
    begin: B,
) -> Connection<B, F>
where
    B: FnOnce(Box<TlsStream<ConnectionIo>>, Peer) -> F,
    F: Future<Output = Result<(), ConnectionError>> + Unpin,
{
    Connection::Handshake(Some(Box::new(Handshake::new(io, peer, handshakes.clone(), begin))))
}

/// A connection, from its first byte to its end.
pub(crate) enum Connection<B, F> {
    /// `None` only on the way to what follows. Boxed: it is large, and soon over.
    Handshake(Option<Box<Handshake<B>>>),
    Served(F),
}

/// Nothing in it is pinned in place.
impl<B, F: Unpin> Unpin for Connection<B, F> {}

impl<B, F> Future for Connection<B, F>
where
    B: FnOnce(Box<TlsStream<ConnectionIo>>, Peer) -> F,
    F: Future<Output = Result<(), ConnectionError>> + Unpin,
{
    type Output = Result<(), ConnectionError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut *self {
                Self::Served(served) => return Pin::new(served).poll(cx),
                Self::Handshake(handshake) => {
                    let Some(under_way) = handshake else { return Poll::Ready(Ok(())) };
                    let done = ready!(under_way.poll(cx));
                    let Some(handshake) = handshake.take() else { return Poll::Ready(Ok(())) };
                    match done {
                        Ok(()) => {
                            let Some(served) = handshake.finish() else { return Poll::Ready(Ok(())) };
                            *self = Self::Served(served);
                        }
                        // Strangers, scanners and clients that do not trust the certificate, all day long.
                        Err(error) => {
                            tracing::debug!(peer = %handshake.peer, "TLS handshake: {error}");
                            return Poll::Ready(Ok(()));
                        }
                    }
                }
            }
        }
    }
}

/// Whether a request begins like this: with a method, or the preface of HTTP/2. A record of TLS begins with its kind, which
/// is no letter (RFC 8446, section 5.1).
fn is_plain(received: &[u8]) -> bool {
    let end = received.iter().position(|byte| !byte.is_ascii_uppercase());
    end.is_some_and(|end| end >= 3 && received[end] == b' ')
}

/// Ready with what was read, which is something.
fn poll_received(io: &mut ConnectionIo, cx: &mut Context<'_>) -> Poll<io::Result<Vec<u8>>> {
    let received = ready!(scratch::for_receiving(RECORD, |space| {
        let mut read = ReadBuf::new(space);
        ready!(Pin::new(io).poll_read(cx, &mut read))?;
        Poll::Ready(io::Result::Ok(read.filled().to_vec()))
    }))?;
    if received.is_empty() {
        return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
    }
    Poll::Ready(Ok(received))
}

/// A handshake, or the wait for one.
pub(crate) struct Handshake<B> {
    stage: Stage,
    peer: SocketAddr,
    handshakes: Handshakes,
    timer: Timer,
    draining: Option<WaitDraining>,
    /// From the first byte.
    begun: Option<Begun>,
    begin: B,
}

/// What a handshake holds beside its connection, for as long as it runs.
struct Begun {
    charge: Charge,
    place: Place,
}

enum Stage {
    /// The peer has sent nothing, and nothing was made for it. `None` only on the way to what follows.
    Silent(Option<ConnectionIo>),
    /// What it has sent may be an authority's challenge, and is not whole.
    Looking(Option<Box<Looking>>),
    Running(Box<TlsStream<ConnectionIo>>, Purpose),
}

struct Looking {
    io: ConnectionIo,
    look: Look,
    received: Vec<u8>,
}

/// What follows the handshake.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Http,
    /// Nothing: it was the answer (RFC 8737, section 4).
    Challenge,
}

impl<B> Handshake<B> {
    fn new(io: ConnectionIo, peer: SocketAddr, handshakes: Handshakes, begin: B) -> Self {
        let mut timer = handshakes.context.timers.timer();
        timer.set(Instant::now() + handshakes.context.settings.keep_alive);
        let draining = Some(handshakes.context.drain.wait_draining());
        Self { stage: Stage::Silent(Some(io)), peer, handshakes, timer, draining, begun: None, begin }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let stage = match &mut self.stage {
                Stage::Running(stream, _) => match stream.poll_handshake(cx) {
                    Poll::Pending => Poll::Pending,
                    done => return done,
                },
                Stage::Looking(_) => self.poll_look(cx)?,
                Stage::Silent(_) => self.poll_first(cx)?,
            };
            if stage.is_pending() {
                return self.poll_overdue(cx);
            }
        }
    }

    /// Ready when the peer has sent something.
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Stage::Silent(silent) = &mut self.stage else { return Poll::Ready(Ok(())) };
        let Some(io) = silent else { return Poll::Ready(Err(io::ErrorKind::NotConnected.into())) };
        let received = ready!(poll_received(io, cx))?;
        if is_plain(&received) {
            // As much as leaves at once, which is all of it unless the peer is up to something.
            let _sent = Pin::new(io).poll_write(cx, SPEAKS_TLS);
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the peer speaks HTTP without TLS",
            )));
        }
        let context = &self.handshakes.context;
        let unfinished = &self.handshakes.unfinished;
        let mut charge = context.memory.charge_unbounded(Kind::TlsBuffers, 0);
        unfinished.grow(&mut charge, HANDSHAKE_BYTES).map_err(|full| {
            context.metrics.cut(Cut::Handshake);
            io::Error::new(io::ErrorKind::OutOfMemory, full)
        })?;
        self.begun = Some(Begun { charge, place: unfinished.begin(cx) });
        let Some(io) = silent.take() else { return Poll::Ready(Ok(())) };
        self.timer.set(Instant::now() + context.settings.head);
        Poll::Ready(match self.handshakes.certificates.look() {
            None => self.run(io, received, Hello::Usual),
            Some(look) => self.look(Box::new(Looking { io, look, received: Vec::new() }), &received),
        })
    }

    /// Ready when the peer has sent more.
    fn poll_look(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Stage::Looking(looking) = &mut self.stage else { return Poll::Ready(Ok(())) };
        let Some(under_way) = looking else { return Poll::Ready(Err(io::ErrorKind::NotConnected.into())) };
        let received = ready!(poll_received(&mut under_way.io, cx))?;
        let Some(looking) = looking.take() else { return Poll::Ready(Ok(())) };
        Poll::Ready(self.look(looking, &received))
    }

    fn look(&mut self, mut looking: Box<Looking>, received: &[u8]) -> io::Result<()> {
        // Held here, and by what looks at it.
        let held = 2 * received.len() as u64;
        if let Some(Begun { charge, .. }) = &mut self.begun {
            self.handshakes.unfinished.grow(charge, held).map_err(|full| {
                self.handshakes.context.metrics.cut(Cut::Handshake);
                io::Error::new(io::ErrorKind::OutOfMemory, full)
            })?;
        }
        looking.received.extend_from_slice(received);
        match looking.look.take(received) {
            Hello::Partial if looking.received.len() < HANDSHAKE => {
                self.stage = Stage::Looking(Some(looking));
                Ok(())
            }
            hello => {
                if let Some(Begun { charge, .. }) = &mut self.begun {
                    charge.shrink(charge.bytes().saturating_sub(HANDSHAKE_BYTES));
                }
                let Looking { io, received, .. } = *looking;
                self.run(io, received, hello)
            }
        }
    }

    fn run(&mut self, io: ConnectionIo, received: Vec<u8>, hello: Hello) -> io::Result<()> {
        let (config, purpose) = match hello {
            Hello::Challenge(config) => (config, Purpose::Challenge),
            Hello::Usual | Hello::Partial => (self.handshakes.certificates.in_force(), Purpose::Http),
        };
        let session = UnbufferedServerConnection::new(config).map_err(io::Error::other)?;
        let context = &self.handshakes.context;
        let waits = Waits {
            timers: context.timers.clone(),
            limit: context.settings.head,
            unfinished: self.handshakes.unfinished.clone(),
        };
        let stream = TlsStream::new(io, session, received, waits, &context.memory);
        self.stage = Stage::Running(Box::new(stream), purpose);
        Ok(())
    }

    /// Ready, with an error, when it has taken too long, or has to give way to newer ones.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(Begun { charge, place }) = &self.begun {
            let received = if let Stage::Running(stream, _) = &self.stage { stream.held() } else { 0 };
            if place.poll_displaced(charge.bytes() + received, cx).is_ready() {
                self.handshakes.context.metrics.cut(Cut::Handshake);
                return Poll::Ready(Err(unfinished::displaced()));
            }
        }
        if let (Some(draining), Stage::Silent(_)) = (&mut self.draining, &self.stage)
            && Pin::new(draining).poll(cx).is_ready()
        {
            self.draining = None;
            self.timer.set(Instant::now() + DRAINING);
        }
        ready!(self.timer.poll(cx));
        Poll::Ready(Err(match self.stage {
            Stage::Silent(_) => io::Error::new(io::ErrorKind::TimedOut, "the peer sent nothing"),
            Stage::Looking(_) | Stage::Running(..) => {
                self.handshakes.context.metrics.cut(Cut::Handshake);
                io::Error::new(io::ErrorKind::TimedOut, "it took too long")
            }
        }))
    }

    fn finish<F>(self) -> Option<F>
    where
        B: FnOnce(Box<TlsStream<ConnectionIo>>, Peer) -> F,
    {
        let Stage::Running(mut stream, Purpose::Http) = self.stage else { return None };
        let client = stream.session().peer_certificates().and_then(|chain| subject::of(chain.first()?));
        let secured = match client {
            Some(client) => Arc::new(Secured { client: Some(client.into()) }),
            None => self.handshakes.unnamed,
        };
        stream.keep_session(&self.handshakes.context.memory);
        Some((self.begin)(stream, Peer { address: self.peer, secured: Some(secured), record: None }))
    }
}
