//! A connection with TLS on it, as poll-http uses it.
//!
//! What: encrypts what is written and decrypts what is read, record by record (RFC 8446, section 5).
//! Why on rustls's connection without buffers: one that waits holds none, and what is written is encrypted into a buffer
//! that the worker's connections share, from which the socket takes it at once. Only what it does not take is kept here:
//! more is accepted as it leaves, so write progress measured above is the socket's.
//! Not here: the protocol's states (`session.rs`), the handshake's deadlines (`handshake.rs`).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use poll_core::{Charge, Kind, Memory};
use rustls::server::UnbufferedServerConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::charges::Charges;
use super::partial::{Partial, Waits};
use super::scratch::{self, RECORD};
use super::session::{Inbound, Session, Stop};

/// The most plaintext that is encrypted at once: one record.
const MOST: usize = 16 << 10;
/// The same while other connections hold much of what there is for unsent records.
const FEW: usize = 2 << 10;
/// As long as this much cannot be accepted, nothing is: small records are mostly framing.
const LEAST: usize = 1 << 10;
/// What is kept of a connection: keys, counters, the names that were agreed on.
const SESSION_BYTES: u64 = 4 << 10;
/// What a handshake message may need in all; client certificates are the largest.
pub(super) const HANDSHAKE: usize = 64 << 10;

/// See the [module](self).
pub(crate) struct TlsStream<IO> {
    io: IO,
    session: Session,
    /// Received and not decrypted.
    received: Vec<u8>,
    /// Whether `received` may hold a whole record.
    whole: Whole,
    outbound: Outbound,
    partial: Partial,
    charges: Charges,
    /// The session's keys, once the handshake is done.
    kept: Option<Charge>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Whole {
    Perhaps,
    No,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outbound {
    Open,
    /// A close_notify was written.
    Ended,
}

impl<IO> TlsStream<IO> {
    /// A connection from which `received` has been read.
    pub(super) fn new(
        io: IO,
        connection: UnbufferedServerConnection,
        received: Vec<u8>,
        waits: Waits,
        memory: &Memory,
    ) -> Self {
        Self {
            io,
            session: Session::new(connection),
            received,
            whole: Whole::Perhaps,
            outbound: Outbound::Open,
            partial: Partial { waits, here: None },
            charges: Charges::new(memory),
            kept: None,
        }
    }

    /// Charges for what is kept from here on.
    pub(super) fn keep_session(&mut self, memory: &Memory) {
        self.kept = Some(memory.charge_unbounded(Kind::TlsSessions, SESSION_BYTES));
    }

    /// What is charged for a part of a record, or of a handshake.
    pub(super) fn held(&self) -> u64 {
        self.charges.received()
    }

    pub(super) fn session(&self) -> &UnbufferedServerConnection {
        self.session.connection()
    }

    /// Charges for what is held.
    fn settle(&mut self) -> io::Result<()> {
        self.settle_limited();
        self.charges.settle_received(&self.received, &self.partial.waits.unfinished)
    }

    fn settle_limited(&mut self) {
        self.charges.settle_limited(&self.session.plain, &self.session.unsent);
    }

    /// How much of `length` bytes is encrypted now; nothing while too much is unsent.
    fn room(&self, length: usize) -> usize {
        let left = self.session.unsent.len();
        if left + LEAST > MOST {
            return 0;
        }
        let most = if length > FEW && self.charges.are_answers_scarce() { FEW } else { MOST - left };
        length.min(most)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> TlsStream<IO> {
    /// Ready when the handshake is done.
    pub(super) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut records = std::mem::take(&mut self.received);
            let processed = self.session.process(&mut records, Vec::extend_from_slice);
            let (done, stop) = match processed {
                Ok(processed) => processed,
                Err(error) => {
                    // An alert that does not leave at once is not waited for.
                    let _alert = self.poll_send(cx);
                    return Poll::Ready(Err(error));
                }
            };
            records.drain(..done);
            self.received = records;
            let _what_is_left_is_sent_later = self.poll_send(cx)?;
            match stop {
                Stop::Handshaking => {}
                Stop::Closed => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                // What is still unsent, tickets perhaps, leaves with the first response.
                Stop::Plain | Stop::Open | Stop::Going => {
                    self.received.shrink_to_fit();
                    self.settle()?;
                    return Poll::Ready(Ok(()));
                }
            }
            if self.received.len() >= HANDSHAKE {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            // Whether or not all was sent: a peer may read nothing before it has written all of its own.
            if ready!(self.poll_receive(cx))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Reads once, into `received`.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let io = &mut self.io;
        let received = &mut self.received;
        let read = scratch::for_receiving(RECORD, |space| {
            let mut read = ReadBuf::new(space);
            ready!(Pin::new(io).poll_read(cx, &mut read))?;
            // Exactly its size: a connection may be slow to send the rest.
            received.reserve_exact(read.filled().len());
            received.extend_from_slice(read.filled());
            Poll::Ready(io::Result::Ok(read.filled().len()))
        });
        let count = ready!(read)?;
        self.settle()?;
        Poll::Ready(Ok(count))
    }

    /// Ready when all that is encrypted is sent.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.session.unsent.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let (sent, outcome) = send(&mut self.io, cx, &self.session.unsent);
        self.session.unsent.drain(..sent);
        if self.session.unsent.is_empty() {
            self.session.unsent = Vec::new();
        }
        self.settle_limited();
        outcome
    }

    /// Decrypts one record into `buf`, of those that are here or of what is read now.
    fn poll_turn(
        &mut self,
        space: &mut [u8],
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let held = self.received.len();
        let mut filled = held;
        if self.whole == Whole::No {
            let mut read = ReadBuf::new(&mut space[held..]);
            if Pin::new(&mut self.io).poll_read(cx, &mut read)?.is_pending() {
                return self.partial.poll_over(held as u64, cx).map(Err);
            }
            filled += read.filled().len();
            if filled == held {
                // Whether anything is missing is for HTTP to tell.
                self.session.inbound = Inbound::Ended;
                return Poll::Ready(Ok(()));
            }
        }
        space[..held].copy_from_slice(&self.received);
        let processed = self.session.process(&mut space[..filled], |plain, bytes| {
            let (now, later) = bytes.split_at(bytes.len().min(buf.remaining()));
            buf.put_slice(now);
            plain.extend_from_slice(later);
        });
        let (done, stop) = match processed {
            Ok(processed) => processed,
            Err(error) => {
                let _alert = self.poll_send(cx);
                return Poll::Ready(Err(error));
            }
        };
        if done > 0 {
            self.partial.here = None;
        }
        self.whole = if stop == Stop::Plain { Whole::Perhaps } else { Whole::No };
        self.keep(&space[done..filled]);
        if stop == Stop::Closed {
            self.session.inbound = Inbound::Ended;
        }
        // What the protocol has answered.
        if !self.session.unsent.is_empty() {
            let _what_is_left_is_sent_later = self.poll_send(cx)?;
        }
        self.settle()?;
        Poll::Ready(Ok(()))
    }

    /// Keeps what is not decrypted, in exactly its size.
    fn keep(&mut self, rest: &[u8]) {
        if rest.is_empty() {
            self.received = Vec::new();
            self.whole = Whole::No;
        } else {
            self.received = rest.to_vec();
        }
    }

    /// Encrypts `bytes` and sends what the socket takes.
    fn write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<()> {
        scratch::for_sending(RECORD, |records| {
            let length = self.session.encrypt(&mut self.received, bytes, records)?;
            let mut rest = &records[..length];
            if self.session.unsent.is_empty() {
                let (sent, outcome) = send(&mut self.io, cx, rest);
                rest = &rest[sent..];
                if outcome?.is_ready() {
                    return Ok(());
                }
            }
            self.session.unsent.reserve_exact(rest.len());
            self.session.unsent.extend_from_slice(rest);
            let _the_rest_later = self.poll_send(cx)?;
            Ok(())
        })
    }
}

/// Sends what the socket takes of `bytes`. Returns how many those were, and whether they were all.
fn send<IO: AsyncWrite + Unpin>(
    io: &mut IO,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> (usize, Poll<io::Result<()>>) {
    let mut sent = 0;
    while sent < bytes.len() {
        match Pin::new(&mut *io).poll_write(cx, &bytes[sent..]) {
            Poll::Ready(Ok(0)) => return (sent, Poll::Ready(Err(io::ErrorKind::WriteZero.into()))),
            Poll::Ready(Ok(count)) => sent += count,
            Poll::Ready(Err(error)) => return (sent, Poll::Ready(Err(error))),
            Poll::Pending => return (sent, Poll::Pending),
        }
    }
    (sent, Poll::Ready(Ok(())))
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        loop {
            if !this.session.plain.is_empty() {
                this.session.read(buf);
                this.settle_limited();
                return Poll::Ready(Ok(()));
            }
            if this.session.inbound == Inbound::Ended || buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            let length = this.received.len() + RECORD;
            ready!(scratch::for_receiving(length, |space| this.poll_turn(space, cx, buf)))?;
            if buf.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let blocked = this.poll_send(cx)?.is_pending();
        let count = this.room(bytes.len());
        if count == 0 && !bytes.is_empty() {
            debug_assert!(blocked, "there is room unless the socket takes nothing");
            return Poll::Pending;
        }
        this.write(cx, &bytes[..count])?;
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Some(first) = parts.iter().find(|part| !part.is_empty()) else { return Poll::Ready(Ok(0)) };
        if first.len() >= MOST / 2 {
            return self.poll_write(cx, first);
        }
        // One record of several parts costs less than several records.
        let mut joined = Vec::with_capacity(parts.iter().map(|part| part.len()).sum::<usize>().min(MOST));
        for part in parts {
            joined.extend_from_slice(&part[..part.len().min(MOST - joined.len())]);
        }
        self.poll_write(cx, &joined)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    /// Tells the peer that this is the end (close_notify), so that it can tell it from a cut.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.outbound == Outbound::Open {
            this.outbound = Outbound::Ended;
            this.session.close(&mut this.received);
        }
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

impl<IO> std::fmt::Debug for TlsStream<IO> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsStream").field("unsent", &self.session.unsent.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
