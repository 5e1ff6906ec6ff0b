//! A socket that a connection shares with another writer while it has nothing to write itself.
//!
//! Waking a connection for each piece of a stream costs more than the piece: most of a connection's state has nothing to
//! do with it and is in no cache. So a connection whose stream has caught up may hand its writing side over, until it is
//! polled again for whatever reason and takes it back. The other writer writes whole pieces as one chunk each; what the
//! socket does not take at once is left to the connection, which has the timeouts.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use poll_core::{Cursor, Place};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// The writing side of a socket, as the other writer sees it.
pub(crate) type SharedWriter = Mutex<WriterState<dyn AsyncWrite + Send + Unpin>>;

/// A socket, and whose turn it is to write to it.
pub(crate) struct WriterState<IO: ?Sized> {
    /// Changes when the socket leaves the lists of other writers: what they listed under another number is out of date.
    listing: u32,
    /// `None` while the connection writes.
    handed_over: Option<HandedOver>,
    io: IO,
}

/// Up to where a reader was given everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reached {
    InChannel(Cursor),
    /// In each channel of a list; shared by all that are at the same place.
    InList(Arc<[Place]>),
}

impl From<Cursor> for Reached {
    fn from(at: Cursor) -> Self {
        Self::InChannel(at)
    }
}

impl From<Arc<[Place]>> for Reached {
    fn from(at: Arc<[Place]>) -> Self {
        Self::InList(at)
    }
}

/// A socket that was handed over.
pub(crate) struct HandedOver {
    /// Up to here its reader was given everything.
    pub(crate) at: Reached,
    /// When something was written last, if anything was.
    pub(crate) written: Option<Instant>,
    /// How many messages were written.
    delivered: u64,
    /// Wakes the connection.
    waker: Waker,
    /// Set where the connection has to go on by itself: what it has to write before anything else.
    rest: Option<Box<Bytes>>,
}

/// What the connection gets back.
pub(crate) struct Returned {
    /// See [`HandedOver`].
    pub(crate) at: Reached,
    /// See [`HandedOver`].
    pub(crate) written: Option<Instant>,
    /// See [`HandedOver`].
    pub(crate) delivered: u64,
    /// To be written before anything else, already in chunks.
    pub(crate) rest: Bytes,
}

impl<IO: ?Sized> WriterState<IO> {
    /// Takes the socket off all lists of other writers, by giving it another number.
    pub(crate) fn leave_lists(&mut self) -> u32 {
        self.listing = self.listing.wrapping_add(1);
        self.listing
    }

    /// The number under which lists have it.
    pub(crate) fn listing(&self) -> u32 {
        self.listing
    }

    /// Hands over a socket whose reader was given everything up to `at`; `waker` wakes its connection.
    pub(crate) fn hand_over(&mut self, at: Reached, waker: &Waker) {
        self.handed_over =
            Some(HandedOver { at, written: None, delivered: 0, waker: waker.clone(), rest: None });
    }

    /// Takes the socket back, if it is handed over.
    pub(crate) fn take_back(&mut self) -> Option<Returned> {
        let HandedOver { at, written, delivered, rest, .. } = self.handed_over.take()?;
        Some(Returned { at, written, delivered, rest: rest.map_or_else(Bytes::new, |rest| *rest) })
    }

    /// Up to where the reader was given everything; `None` where the socket is not handed over, or is to be taken back.
    pub(crate) fn at(&self) -> Option<&Reached> {
        self.handed_over.as_ref().filter(|over| over.rest.is_none()).map(|over| &over.at)
    }

    /// Leaves it to the connection to go on. Wake it with what this gives, and without a lock.
    #[must_use]
    pub(crate) fn hand_back(&mut self) -> Option<Waker> {
        let over = self.handed_over.as_mut()?;
        // Where a write has left something, that comes first all the same.
        over.rest.get_or_insert_default();
        Some(over.waker.clone())
    }
}

impl WriterState<dyn AsyncWrite + Send + Unpin> {
    /// Writes chunks after which the reader has everything up to `end`. What does not leave at once is the connection's
    /// to write: wake it then with what this gives, and without a lock.
    #[must_use]
    pub(crate) fn write(
        &mut self,
        chunks: &Bytes,
        messages: u64,
        end: Reached,
        now: Instant,
    ) -> Option<Waker> {
        let over = self.handed_over.as_mut()?;
        // Where it has to wait, the connection will do that instead.
        let cx = &mut Context::from_waker(Waker::noop());
        let written = match Pin::new(&mut self.io).poll_write(cx, chunks) {
            Poll::Ready(Ok(written)) => written,
            // An error is met again by the connection.
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        };
        (over.at, over.written) = (end, Some(now));
        over.delivered += messages;
        // A socket may have a buffer of its own, as one with TLS does.
        let left =
            written == chunks.len() && matches!(Pin::new(&mut self.io).poll_flush(cx), Poll::Ready(Ok(())));
        if left {
            return None;
        }
        over.rest = Some(Box::new(chunks.slice(written..)));
        Some(over.waker.clone())
    }
}

/// The lock is held for moves and for one write to a socket that does not wait.
pub(crate) fn lock<IO: ?Sized>(writer: &Mutex<WriterState<IO>>) -> MutexGuard<'_, WriterState<IO>> {
    // Nothing in here panics half-way.
    writer.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection's own socket, which it can share.
pub(crate) enum ShareableIo<IO> {
    /// Never shared.
    Own(IO),
    Shared(Arc<Mutex<WriterState<IO>>>),
    /// On the way from one to the other.
    Moving,
}

impl<IO> ShareableIo<IO> {
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

impl<IO: AsyncWrite + Send + Unpin + 'static> ShareableIo<IO> {
    /// The socket, for another writer. It is closed when its connection is done with it, even if this is still held.
    pub(crate) fn share(&mut self) -> Weak<SharedWriter> {
        *self = match std::mem::replace(self, Self::Moving) {
            Self::Own(io) => {
                Self::Shared(Arc::new(Mutex::new(WriterState { listing: 0, handed_over: None, io })))
            }
            other => other,
        };
        match self {
            Self::Shared(shared) => {
                let weak: Weak<SharedWriter> = Arc::<Mutex<WriterState<IO>>>::downgrade(shared);
                weak
            }
            Self::Own(_) | Self::Moving => Weak::<Mutex<WriterState<IO>>>::new(),
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for ShareableIo<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get_mut().with(|io| io.poll_read(cx, buf))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for ShareableIo<IO> {
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
