//! A socket that its connection lends out while it has nothing to write.
//!
//! To wake a connection for each piece of a stream costs more than the piece: most of the state of a connection has
//! nothing to do with it and is far from the processor. So a connection whose stream is at rest may let somebody else
//! write to its socket, until it is polled again for whatever reason and takes the socket back. Who has it writes whole
//! pieces as one chunk each; what a socket does not take at once is left to its connection, which has the deadlines.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use poll_core::Cursor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// The side of a socket that writes, as somebody else sees it.
pub(crate) type Lent = Mutex<Lending<dyn AsyncWrite + Send + Unpin>>;

/// A socket, and whose turn it is to write.
pub(crate) struct Lending<IO: ?Sized> {
    /// Told apart by this, those who have it on a list and those who had.
    listing: u32,
    /// `None` while the connection has it for itself.
    out: Option<Out>,
    io: IO,
}

/// A socket that is lent.
pub(crate) struct Out {
    /// Up to here its reader was given everything.
    pub(crate) at: Cursor,
    /// When something was written last, if anything was.
    pub(crate) written: Option<Instant>,
    /// Wakes the connection.
    waker: Waker,
    /// Set where the connection has to go on by itself: what it has to write before anything else.
    rest: Option<Box<Bytes>>,
}

/// What came of lending.
pub(crate) struct Back {
    /// See [`Out`].
    pub(crate) at: Cursor,
    /// See [`Out`].
    pub(crate) written: Option<Instant>,
    /// To be written before anything else, already in chunks.
    pub(crate) rest: Bytes,
}

impl<IO: ?Sized> Lending<IO> {
    /// Begins another listing: on the lists where it is, it is not any more.
    pub(crate) fn relist(&mut self) -> u32 {
        self.listing = self.listing.wrapping_add(1);
        self.listing
    }

    /// The listing that holds.
    pub(crate) fn listing(&self) -> u32 {
        self.listing
    }

    /// Lends a socket whose reader was given everything up to `at`; `waker` wakes its connection.
    pub(crate) fn lend(&mut self, at: Cursor, waker: &Waker) {
        self.out = Some(Out { at, written: None, waker: waker.clone(), rest: None });
    }

    /// Takes the socket back, if it is lent.
    pub(crate) fn take_back(&mut self) -> Option<Back> {
        let Out { at, written, rest, .. } = self.out.take()?;
        Some(Back { at, written, rest: rest.map_or_else(Bytes::new, |rest| *rest) })
    }

    /// Up to where the reader was given everything; `None` where the socket is not lent, or is to be taken back.
    pub(crate) fn at(&self) -> Option<Cursor> {
        self.out.as_ref().filter(|out| out.rest.is_none()).map(|out| out.at)
    }

    /// Leaves it to the connection to go on. Wake it with what this gives, and without a lock.
    #[must_use]
    pub(crate) fn give_up(&mut self) -> Option<Waker> {
        let out = self.out.as_mut()?;
        // Where a write has left something, that comes first all the same.
        out.rest.get_or_insert_default();
        Some(out.waker.clone())
    }
}

impl Lending<dyn AsyncWrite + Send + Unpin> {
    /// Writes chunks after which the reader has everything up to `end`. What does not leave at once is the connection's
    /// to write: wake it then with what this gives, and without a lock.
    #[must_use]
    pub(crate) fn write(&mut self, chunks: &Bytes, end: Cursor, now: Instant) -> Option<Waker> {
        let out = self.out.as_mut()?;
        // Where it has to wait, the connection will do that instead.
        let cx = &mut Context::from_waker(Waker::noop());
        let written = match Pin::new(&mut self.io).poll_write(cx, chunks) {
            Poll::Ready(Ok(written)) => written,
            // An error is met again by the connection.
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        };
        (out.at, out.written) = (end, Some(now));
        // A socket may have a buffer of its own, as one with TLS does.
        let left =
            written == chunks.len() && matches!(Pin::new(&mut self.io).poll_flush(cx), Poll::Ready(Ok(())));
        if left {
            return None;
        }
        out.rest = Some(Box::new(chunks.slice(written..)));
        Some(out.waker.clone())
    }
}

/// The lock is held for moves and for one write to a socket that does not wait.
pub(crate) fn lock<IO: ?Sized>(lent: &Mutex<Lending<IO>>) -> MutexGuard<'_, Lending<IO>> {
    // Nothing in here panics half-way.
    lent.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection's own socket, which it can lend.
pub(crate) enum Lendable<IO> {
    /// Never lent.
    Own(IO),
    Shared(Arc<Mutex<Lending<IO>>>),
    /// On the way from one to the other.
    Moving,
}

impl<IO> Lendable<IO> {
    #[inline]
    fn with<T>(&mut self, act: impl FnOnce(Pin<&mut IO>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>>
    where
        IO: Unpin,
    {
        match self {
            Self::Own(io) => act(Pin::new(io)),
            Self::Shared(shared) => act(Pin::new(&mut lock(shared).io)),
            Self::Moving => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl<IO: AsyncWrite + Send + Unpin + 'static> Lendable<IO> {
    /// The socket, for whoever it is lent to. It is closed when its connection is done with it, whoever has this.
    pub(crate) fn share(&mut self) -> Weak<Lent> {
        *self = match std::mem::replace(self, Self::Moving) {
            Self::Own(io) => Self::Shared(Arc::new(Mutex::new(Lending { listing: 0, out: None, io }))),
            other => other,
        };
        match self {
            Self::Shared(shared) => {
                let weak: Weak<Lent> = Arc::<Mutex<Lending<IO>>>::downgrade(shared);
                weak
            }
            Self::Own(_) | Self::Moving => Weak::<Mutex<Lending<IO>>>::new(),
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Lendable<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get_mut().with(|io| io.poll_read(cx, buf))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Lendable<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().with(|io| io.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().with(|io| io.poll_write_vectored(cx, parts))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Own(io) => io.is_write_vectored(),
            Self::Shared(shared) => lock(shared).io.is_write_vectored(),
            Self::Moving => false,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().with(|io| io.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().with(|io| io.poll_shutdown(cx))
    }
}
