//! Writes a response: its head, its body, and each piece as one chunk.
//!
//! Small parts are joined, so that head and body, or a piece with its framing, leave in one write; large ones are written
//! without a copy. Nothing is kept once it is written.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http::header::{CONNECTION, DATE};
use http::{HeaderName, HeaderValue, StatusCode};
use tokio::io::AsyncWrite;

use crate::message::chunk;
use crate::message::json::write_number;
use crate::message::reply::{Reply, Sniffing};
use crate::transport::date::{with_common_fields, with_date};
use crate::transport::http1::fast::buffer_pool;
use crate::transport::http1::persistence::Persistence;

/// Parts up to this many bytes are joined with their neighbours.
const JOINED: usize = 1024;
/// Parts handed to the socket at once.
const PARTS: usize = 16;
const CLOSE: &str = "close";

/// How the end of a body is delimited (RFC 9112, section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is no body: 204 and 304.
    Bodiless,
    /// `Content-Length`, in bytes.
    Length(u64),
    /// Chunked.
    Chunks,
}

impl Framing {
    /// For a body of this length, if it is known.
    pub(crate) fn of(status: StatusCode, length: Option<u64>) -> Self {
        match length {
            _ if status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED => Self::Bodiless,
            Some(length) => Self::Length(length),
            None => Self::Chunks,
        }
    }
}

/// The part of a response still to be written.
#[derive(Default)]
pub(crate) struct ResponseBuffer {
    /// Before `joined`.
    parts: VecDeque<Bytes>,
    joined: Vec<u8>,
    /// How many bytes of `joined` the socket has.
    taken: usize,
}

impl ResponseBuffer {
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.joined.len() == self.taken
    }

    /// How many bytes are to be written.
    pub(crate) fn len(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum::<usize>() + self.joined.len() - self.taken
    }

    /// Makes room for this many more bytes.
    fn reserve(&mut self, bytes: usize) {
        if self.joined.capacity() == 0 {
            self.joined = buffer_pool::take();
        }
        self.joined.reserve(bytes);
    }

    /// A connection that waits holds no buffer.
    fn clear(&mut self) {
        buffer_pool::give(std::mem::take(&mut self.joined));
        self.taken = 0;
        if self.parts.capacity() > 0 {
            self.parts = VecDeque::new();
        }
    }

    /// Writes the head of a response that has been through [`Reply::leave_framing`]. Returns whether the connection persists:
    /// the response itself may close it.
    pub(crate) fn head(
        &mut self,
        reply: &Reply,
        framing: Framing,
        keep_alive: Duration,
        persistence: Persistence,
    ) -> Persistence {
        self.reserve(JOINED);
        self.status(reply.status);
        self.static_field("content-type: ", reply.media.map(str::as_bytes));
        self.static_field("cache-control: ", reply.cache.as_deref().map(str::as_bytes));
        self.static_field("etag: ", reply.tag.as_deref());
        self.static_field("location: ", reply.location.as_deref());
        if let Some(id) = &reply.id {
            self.joined.extend_from_slice(b"x-request-id: ");
            id.write(&mut self.joined);
            self.joined.extend_from_slice(b"\r\n");
        }
        if reply.sniffing == Sniffing::Forbidden
            && reply.headers().is_none()
            && persistence == Persistence::Keep
        {
            with_common_fields(reply.made, keep_alive, |common| {
                self.joined.extend_from_slice(&common.kept);
                self.framing(framing);
                self.joined.extend_from_slice(&common.dated);
            });
            return persistence;
        }
        self.remaining_fields(reply, framing, keep_alive, persistence)
    }

    /// The rest of any other head.
    fn remaining_fields(
        &mut self,
        reply: &Reply,
        framing: Framing,
        keep_alive: Duration,
        persistence: Persistence,
    ) -> Persistence {
        if reply.sniffing == Sniffing::Forbidden {
            self.joined.extend_from_slice(b"x-content-type-options: nosniff\r\n");
        }
        let closes = reply.headers().is_some_and(|headers| headers.contains_key(CONNECTION));
        let persistence = if closes { Persistence::Close } else { persistence };
        let mut dated = false;
        for (name, value) in reply.headers().into_iter().flatten().filter(|(name, _)| *name != CONNECTION) {
            dated |= name == DATE;
            self.field(name, value.as_bytes());
        }
        match persistence {
            Persistence::Keep => self.keep_alive(keep_alive),
            Persistence::Close => self.field(&CONNECTION, CLOSE.as_bytes()),
        }
        self.framing(framing);
        if !dated {
            with_date(reply.made, |date| self.static_field("date: ", Some(date.as_bytes())));
        }
        self.joined.extend_from_slice(b"\r\n");
        persistence
    }

    /// The field that delimits the body.
    fn framing(&mut self, framing: Framing) {
        match framing {
            Framing::Bodiless => {}
            Framing::Chunks => self.joined.extend_from_slice(b"transfer-encoding: chunked\r\n"),
            Framing::Length(length) => {
                self.joined.extend_from_slice(b"content-length: ");
                write_number(&mut self.joined, length);
                self.joined.extend_from_slice(b"\r\n");
            }
        }
    }

    fn status(&mut self, status: StatusCode) {
        let line: &[u8] = match status {
            StatusCode::OK => b"HTTP/1.1 200 OK\r\n",
            StatusCode::CREATED => b"HTTP/1.1 201 Created\r\n",
            StatusCode::NOT_MODIFIED => b"HTTP/1.1 304 Not Modified\r\n",
            _ => {
                self.joined.extend_from_slice(b"HTTP/1.1 ");
                self.joined.extend_from_slice(status.as_str().as_bytes());
                self.joined.push(b' ');
                self.joined.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
                b"\r\n"
            }
        };
        self.joined.extend_from_slice(line);
    }

    fn keep_alive(&mut self, time: Duration) {
        self.joined.extend_from_slice(b"keep-alive: timeout=");
        write_number(&mut self.joined, time.as_secs());
        self.joined.extend_from_slice(b"\r\n");
    }

    /// A field of ours, if it has a value; `name` ends in a colon and a space.
    #[inline]
    fn static_field(&mut self, name: &'static str, value: Option<&[u8]>) {
        let Some(value) = value else { return };
        debug_assert!(HeaderValue::from_bytes(value).is_ok(), "our own values can be written");
        self.joined.extend_from_slice(name.as_bytes());
        self.joined.extend_from_slice(value);
        self.joined.extend_from_slice(b"\r\n");
    }

    fn field(&mut self, name: &HeaderName, value: &[u8]) {
        self.joined.extend_from_slice(name.as_str().as_bytes());
        self.joined.extend_from_slice(b": ");
        self.joined.extend_from_slice(value);
        self.joined.extend_from_slice(b"\r\n");
    }

    /// One piece of the body, not empty.
    pub(crate) fn piece(&mut self, bytes: Bytes, framing: Framing) {
        self.reserve(bytes.len().min(JOINED) + chunk::OVERHEAD);
        if framing == Framing::Chunks {
            chunk::write_size(&mut self.joined, bytes.len());
        }
        self.framed(bytes);
        if framing == Framing::Chunks {
            self.joined.extend_from_slice(chunk::LINE_END);
        }
    }

    /// Bytes that are framed already.
    pub(crate) fn framed(&mut self, bytes: Bytes) {
        if bytes.len() <= JOINED {
            self.reserve(bytes.len());
            self.joined.extend_from_slice(&bytes);
        } else {
            self.part();
            self.parts.push_back(bytes);
        }
    }

    /// Makes what is joined a part of its own.
    fn part(&mut self) {
        let joined = Bytes::from(std::mem::take(&mut self.joined)).split_off(self.taken);
        self.taken = 0;
        if !joined.is_empty() {
            self.parts.push_back(joined);
        }
    }

    /// The end of the body.
    pub(crate) fn end(&mut self, framing: Framing) {
        if framing == Framing::Chunks {
            self.joined.extend_from_slice(b"0\r\n\r\n");
        }
    }

    /// Writes all of it, as the socket accepts it.
    pub(crate) fn poll_write<IO: AsyncWrite + Unpin>(
        &mut self,
        io: &mut IO,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let joined = &self.joined[self.taken..];
            let written = if self.parts.is_empty() {
                ready!(Pin::new(&mut *io).poll_write(cx, joined))?
            } else {
                let last = (!joined.is_empty()).then_some(joined);
                let all = self.parts.iter().map(|part| &part[..]).chain(last).take(PARTS);
                let mut slices = [IoSlice::new(&[]); PARTS];
                let count =
                    slices.iter_mut().zip(all).map(|(slice, part)| *slice = IoSlice::new(part)).count();
                ready!(Pin::new(&mut *io).poll_write_vectored(cx, &slices[..count]))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        self.clear();
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut count: usize) {
        while count > 0
            && let Some(part) = self.parts.front_mut()
        {
            let taken = count.min(part.len());
            part.advance(taken);
            count -= taken;
            if part.is_empty() {
                self.parts.pop_front();
            }
        }
        self.taken += count;
    }
}
