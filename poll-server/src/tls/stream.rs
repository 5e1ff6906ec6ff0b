//! A connection with TLS on it, as poll-http uses it.
//!
//! What: encrypts what is written and decrypts what is read, record by record (RFC 8446, section 5).
//! Why on rustls's connection without buffers: one that waits holds none, and what is written is encrypted into a buffer
//! that the worker's connections share, from which the socket takes it at once. Only what it does not take is kept here:
//! more is accepted as it leaves, so write progress measured above is the socket's.
//! On the account a part of a record is TLS's; what was decrypted and not read counts as a body, and what is not sent as an
//! answer, so that neither takes the room of handshakes.
//! Not here: the handshake's deadlines (`handshake.rs`).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use poll_core::{Charge, Kind, Memory};
use poll_http::{Timer, Timers};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::scratch::{self, RECORD};
use super::unfinished::{self, Place, Unfinished};

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
    session: UnbufferedServerConnection,
    /// Received and not decrypted.
    received: Vec<u8>,
    /// Whether `received` may hold a whole record.
    whole: Whole,
    /// Decrypted and not read.
    plain: Vec<u8>,
    /// How much of `plain` was read.
    taken: usize,
    /// Encrypted and not sent.
    unsent: Vec<u8>,
    inbound: Inbound,
    outbound: Outbound,
    partial: Partial,
    charges: Charges,
    /// The session's keys, once the handshake is done.
    kept: Option<Charge>,
}

/// For what the vectors hold.
struct Charges {
    received: Charge,
    plain: Charge,
    unsent: Charge,
}

/// How long a record may take from its first byte to its end, and how long it may hold memory that others want.
struct Partial {
    waits: Waits,
    /// While a part of one is here. Boxed: connections that wait have none.
    here: Option<Box<(Timer, Place)>>,
}

/// What a connection needs to wait for the rest of a record.
pub(super) struct Waits {
    pub(super) timers: Timers,
    pub(super) limit: Duration,
    pub(super) unfinished: Unfinished,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Whole {
    Perhaps,
    No,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Inbound {
    Open,
    /// The peer closed it, with or without a word.
    Ended,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outbound {
    Open,
    /// A close_notify was written.
    Ended,
}

/// Where processing records has stopped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// Something was decrypted.
    Plain,
    /// Something was done, and there may be more.
    Going,
    /// More has to be received first; the handshake is not done.
    Handshaking,
    /// The same, and it is done.
    Open,
    /// Both sides have closed.
    Closed,
}

impl<IO> TlsStream<IO> {
    /// A connection from which `received` has been read.
    pub(super) fn new(
        io: IO,
        session: UnbufferedServerConnection,
        received: Vec<u8>,
        waits: Waits,
        memory: &Memory,
    ) -> Self {
        Self {
            io,
            session,
            received,
            whole: Whole::Perhaps,
            plain: Vec::new(),
            taken: 0,
            unsent: Vec::new(),
            inbound: Inbound::Open,
            outbound: Outbound::Open,
            partial: Partial { waits, here: None },
            charges: Charges {
                received: memory.charge_unbounded(Kind::TlsBuffers, 0),
                plain: memory.charge_unbounded(Kind::Bodies, 0),
                unsent: memory.charge_unbounded(Kind::Answers, 0),
            },
            kept: None,
        }
    }

    /// Charges for what is kept from here on.
    pub(super) fn keep_session(&mut self, memory: &Memory) {
        self.kept = Some(memory.charge_unbounded(Kind::TlsSessions, SESSION_BYTES));
    }

    /// What is charged for a part of a record, or of a handshake.
    pub(super) fn held(&self) -> u64 {
        self.charges.received.bytes()
    }

    pub(super) fn session(&self) -> &UnbufferedServerConnection {
        &self.session
    }

    /// Processes `records` until something was decrypted, or more is needed. Returns how many of the bytes are done with.
    fn process(
        &mut self,
        records: &mut [u8],
        mut decrypted: impl FnMut(&mut Vec<u8>, &[u8]),
    ) -> io::Result<(usize, Stop)> {
        let mut done = 0;
        loop {
            let UnbufferedStatus { discard, state } = self.session.process_tls_records(&mut records[done..]);
            done += discard;
            let state = match state {
                Ok(state) => state,
                Err(error) => {
                    self.take_alert();
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            };
            let plain = &mut self.plain;
            let (more, stop) =
                handle(state, &mut self.unsent, &mut self.inbound, |bytes| decrypted(plain, bytes))?;
            done += more;
            if stop != Stop::Going {
                return Ok((done, stop));
            }
        }
    }

    /// What is said to a peer before it is left: an alert, and what the protocol had to say before it.
    fn take_alert(&mut self) {
        loop {
            // What was received is not looked at again.
            let UnbufferedStatus { state, .. } = self.session.process_tls_records(&mut []);
            let Ok(state @ ConnectionState::EncodeTlsData(_)) = state else { return };
            if handle(state, &mut self.unsent, &mut self.inbound, |_| {}).is_err() {
                return;
            }
        }
    }

    /// Encrypts `bytes` into `records`, behind whatever the protocol has to say first. Returns their length.
    fn encrypt(&mut self, bytes: &[u8], records: &mut [u8]) -> io::Result<usize> {
        self.when_open(|traffic| traffic.encrypt(bytes, records).map_err(unencrypted))
    }

    fn when_open<T>(
        &mut self,
        write: impl FnOnce(
            &mut rustls::unbuffered::WriteTraffic<'_, rustls::server::ServerConnectionData>,
        ) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            let UnbufferedStatus { mut discard, state } =
                self.session.process_tls_records(&mut self.received);
            let state = state.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            if let ConnectionState::WriteTraffic(mut traffic) = state {
                let written = write(&mut traffic);
                self.received.drain(..discard);
                return written;
            }
            let plain = &mut self.plain;
            let (more, stop) =
                handle(state, &mut self.unsent, &mut self.inbound, |bytes| plain.extend_from_slice(bytes))?;
            discard += more;
            self.received.drain(..discard);
            if matches!(stop, Stop::Handshaking | Stop::Closed) {
                return Err(io::ErrorKind::NotConnected.into());
            }
        }
    }

    /// Charges for what is held.
    fn settle(&mut self) -> io::Result<()> {
        self.settle_limited();
        let (held, charge) = (self.received.capacity() as u64, &mut self.charges.received);
        let charged = charge.bytes();
        if held <= charged {
            charge.shrink(charged - held);
            return Ok(());
        }
        let grown = self.partial.waits.unfinished.grow(charge, held - charged);
        grown.map_err(|full| io::Error::new(io::ErrorKind::OutOfMemory, full))
    }

    /// The same for what is limited already: to one record that is not read, and one that is not sent.
    fn settle_limited(&mut self) {
        let Charges { plain, unsent, .. } = &mut self.charges;
        for (charge, held) in [(plain, &self.plain), (unsent, &self.unsent)] {
            let (charged, held) = (charge.bytes(), held.capacity() as u64);
            charge.grow_unbounded(held.saturating_sub(charged));
            charge.shrink(charged.saturating_sub(held));
        }
    }

    /// How much of `length` bytes is encrypted now; nothing while too much is unsent.
    fn room(&self, length: usize) -> usize {
        let left = self.unsent.len();
        if left + LEAST > MOST {
            return 0;
        }
        let memory = self.charges.unsent.memory();
        let scarce = || memory.used(Kind::Answers) > memory.bound(Kind::Answers) / 4;
        let most = if length > FEW && scarce() { FEW } else { MOST - left };
        length.min(most)
    }

    fn take_plain(&mut self, buf: &mut ReadBuf<'_>) {
        let count = buf.remaining().min(self.plain.len() - self.taken);
        buf.put_slice(&self.plain[self.taken..self.taken + count]);
        self.taken += count;
        if self.taken == self.plain.len() {
            (self.plain, self.taken) = (Vec::new(), 0);
            self.settle_limited();
        }
    }
}

/// Does what a state asks for. Returns how many more bytes are done with.
fn handle<Data>(
    state: ConnectionState<'_, '_, Data>,
    unsent: &mut Vec<u8>,
    inbound: &mut Inbound,
    mut decrypted: impl FnMut(&[u8]),
) -> io::Result<(usize, Stop)> {
    let mut done = 0;
    let stop = match state {
        ConnectionState::ReadTraffic(mut traffic) => {
            let mut stop = Stop::Going;
            while let Some(record) = traffic.next_record() {
                let record = record.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                done += record.discard;
                // An empty one is allowed, and means nothing.
                if !record.payload.is_empty() {
                    decrypted(record.payload);
                    stop = Stop::Plain;
                }
            }
            stop
        }
        ConnectionState::EncodeTlsData(mut data) => {
            let begin = unsent.len();
            if let Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) =
                data.encode(&mut [])
            {
                unsent.resize(begin + required_size, 0);
                let written = data.encode(&mut unsent[begin..]).map_err(io::Error::other)?;
                unsent.truncate(begin + written);
            }
            Stop::Going
        }
        ConnectionState::TransmitTlsData(data) => {
            // It leaves with what is unsent, in its order.
            data.done();
            Stop::Going
        }
        ConnectionState::PeerClosed => {
            *inbound = Inbound::Ended;
            Stop::Going
        }
        ConnectionState::Closed => Stop::Closed,
        ConnectionState::BlockedHandshake => Stop::Handshaking,
        ConnectionState::WriteTraffic(_) => Stop::Open,
        // Early data is not offered.
        _ => return Err(io::ErrorKind::Unsupported.into()),
    };
    Ok((done, stop))
}

fn unencrypted(error: EncryptError) -> io::Error {
    // The key has been used as often as is safe, or a bug here.
    io::Error::other(error)
}

impl<IO: AsyncRead + AsyncWrite + Unpin> TlsStream<IO> {
    /// Ready when the handshake is done.
    pub(super) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut records = std::mem::take(&mut self.received);
            let processed = self.process(&mut records, Vec::extend_from_slice);
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
        if self.unsent.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let (sent, outcome) = send(&mut self.io, cx, &self.unsent);
        self.unsent.drain(..sent);
        if self.unsent.is_empty() {
            self.unsent = Vec::new();
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
                self.inbound = Inbound::Ended;
                return Poll::Ready(Ok(()));
            }
        }
        space[..held].copy_from_slice(&self.received);
        let processed = self.process(&mut space[..filled], |plain, bytes| {
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
            self.inbound = Inbound::Ended;
        }
        // What the protocol has answered.
        if !self.unsent.is_empty() {
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
            let length = self.encrypt(bytes, records)?;
            let mut rest = &records[..length];
            if self.unsent.is_empty() {
                let (sent, outcome) = send(&mut self.io, cx, rest);
                rest = &rest[sent..];
                if outcome?.is_ready() {
                    return Ok(());
                }
            }
            self.unsent.reserve_exact(rest.len());
            self.unsent.extend_from_slice(rest);
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

impl Partial {
    /// Ready, with an error, when the rest of a record does not come, or the part that is here has to give way.
    fn poll_over(&mut self, held: u64, cx: &mut Context<'_>) -> Poll<io::Error> {
        if held == 0 {
            return Poll::Pending;
        }
        let Waits { timers, limit, unfinished } = &self.waits;
        let here = self.here.get_or_insert_with(|| {
            let mut timer = timers.timer();
            timer.set(Instant::now() + *limit);
            Box::new((timer, unfinished.begin(cx)))
        });
        let (timer, place) = &mut **here;
        if place.poll_displaced(held, cx).is_ready() {
            return Poll::Ready(unfinished::displaced());
        }
        timer.poll(cx).map(|()| io::Error::new(io::ErrorKind::TimedOut, "a TLS record took too long"))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        loop {
            if !this.plain.is_empty() {
                this.take_plain(buf);
                return Poll::Ready(Ok(()));
            }
            if this.inbound == Inbound::Ended || buf.remaining() == 0 {
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
            let mut alert = [0; 64];
            let length =
                this.when_open(|traffic| traffic.queue_close_notify(&mut alert).map_err(unencrypted));
            // After a fault there is nothing to say that was not said.
            this.unsent.extend_from_slice(&alert[..length.unwrap_or_default()]);
        }
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

impl<IO> std::fmt::Debug for TlsStream<IO> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsStream").field("unsent", &self.unsent.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
