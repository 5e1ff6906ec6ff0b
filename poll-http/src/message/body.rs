//! The body of an answer, the same for both protocols.
//!
//! hyper reads it as an [`http_body::Body`], HTTP/2 by [`Body::poll_piece`], because only there can a piece be a push. A
//! piece is a frame is a chunk: what a pattern yields at once is sent at once and whole.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use poll_core::Charge;

use crate::message::shared_writer::SharedWriter;

/// The body of an answer.
pub struct Body {
    kind: Kind,
    /// Dropped when the body ends or is dropped.
    guards: Vec<Box<dyn Any + Send>>,
    /// Called once the last byte is written.
    written: Option<Written>,
    counts: Counts,
    coding: Coding,
    /// Bytes that no other answer shares, of a body of known length.
    own: usize,
    /// Those of them that are not charged to the memory account.
    uncharged: usize,
}

/// The content coding of a body (RFC 9110, section 8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
}

/// When a body counts as written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counts {
    /// Once the socket or stream has accepted it, on our own connections.
    Sent,
    /// Once its last piece was taken: another server tells no more.
    Taken,
}

/// Parts of at most this many bytes in all are joined: a frame costs more than the copy.
const JOINED: usize = 1024;

/// Called when an answer is written.
pub(crate) type Written = Box<dyn FnOnce() + Send>;

enum Kind {
    Ended,
    Full(Bytes),
    /// What is left of head, middle and tail.
    Spliced([Bytes; 3]),
    Stream(Box<dyn Pieces + Send>),
    /// Pieces that are rendered when polled, without waiting.
    Lazy(Box<dyn Pieces + Send>),
    Broadcastable(Box<dyn Broadcastable + Send>),
}

/// A batch's bytes in memory, if no one else holds it.
pub(crate) fn held_for_one<B>(batch: &Arc<B>, weight: impl FnOnce(&B) -> u64) -> usize {
    if Arc::strong_count(batch) > 1 { 0 } else { usize::try_from(weight(batch)).unwrap_or(usize::MAX) }
}

/// The source of a body in pieces.
pub trait Pieces {
    /// The next piece; `None` is a clean end. Not polled again after the end.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>>;

    /// About how many bytes are kept for the remaining pieces and for no other answer.
    fn held(&self) -> usize {
        0
    }
}

/// Pieces that other answers share, so that one task can write them for all.
pub(crate) trait Broadcastable: Pieces {
    /// All pieces so far are written: the socket from `share` may be handed over until it is [taken
    /// back](Self::take_back). `waker` wakes the connection when it has something to do itself. Pieces are written as
    /// chunks.
    fn hand_over(&mut self, share: &mut dyn FnMut() -> Weak<SharedWriter>, waker: &Waker);

    /// Called before the next piece is polled: the socket belongs to the connection again. Returns chunks that have to
    /// be written first.
    fn take_back(&mut self) -> Bytes;
}

/// A piece of a body.
#[derive(Debug)]
pub enum Piece {
    /// One chunk in HTTP/1.1, one or more DATA frames in HTTP/2. Never empty.
    Data(Bytes),
    /// A message to be pushed, only if [`PushPolicy`](crate::PushPolicy) allows it.
    Push(Promise),
    /// There is no memory for the next piece: the answer is aborted, so that its reader can tell this from its end.
    Broken,
}

/// A pushed message: a PUSH_PROMISE (RFC 9113, section 8.4) with its own answer.
#[derive(Debug)]
pub struct Promise {
    /// Path and query of the promised request.
    pub path: String,
    /// Header fields of the pushed answer; its status is 200.
    pub headers: HeaderMap,
    /// Body of the pushed answer.
    pub body: Bytes,
    /// Sent on the main stream after the promise.
    pub announce: Bytes,
    /// Sent on the main stream instead of the promise, if the peer's stream limit or window is exhausted or push is off.
    pub inline: Bytes,
}

impl Body {
    /// An empty body.
    #[must_use]
    pub fn empty() -> Self {
        Self::of(Kind::Ended)
    }

    /// A body of known length.
    #[must_use]
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let own = bytes.len();
        let uncharged = own;
        Self { own, uncharged, ..Self::of(if bytes.is_empty() { Kind::Ended } else { Kind::Full(bytes) }) }
    }

    /// Head, middle and tail, of known length. They are not copied, so they may be shared.
    #[must_use]
    pub fn spliced(parts: [Bytes; 3]) -> Self {
        let own = parts.iter().map(Bytes::len).sum();
        Self { own, uncharged: own, ..Self::of(if own == 0 { Kind::Ended } else { Kind::Spliced(parts) }) }
    }

    /// Says that other answers share `shared` of its bytes, whose source has charged them.
    #[must_use]
    pub(crate) fn sharing(self, shared: usize) -> Self {
        Self { own: self.own.saturating_sub(shared), uncharged: 0, ..self }
    }

    /// Says that its bytes have this coding.
    #[must_use]
    pub(crate) fn coded(self, coding: Coding) -> Self {
        Self { coding, ..self }
    }

    /// The coding of its bytes.
    pub(crate) fn coding(&self) -> Coding {
        self.coding
    }

    /// How many of the bytes [held](Self::held) are not charged.
    pub(crate) fn uncharged(&self) -> usize {
        if self.in_pieces() { 0 } else { self.uncharged }
    }

    /// About how many bytes are kept for this answer alone.
    pub(crate) fn held(&self) -> usize {
        match &self.kind {
            Kind::Ended | Kind::Full(_) | Kind::Spliced(_) => self.own,
            Kind::Stream(pieces) | Kind::Lazy(pieces) => pieces.held(),
            Kind::Broadcastable(pieces) => pieces.held(),
        }
    }

    /// A body of unknown length: chunked in HTTP/1.1.
    #[must_use]
    pub fn stream(pieces: impl Pieces + Send + 'static) -> Self {
        Self::of(Kind::Stream(Box::new(pieces)))
    }

    /// The same, with pieces that are rendered as the peer takes them and never waited for.
    pub(crate) fn lazy(pieces: impl Pieces + Send + 'static) -> Self {
        Self::of(Kind::Lazy(Box::new(pieces)))
    }

    /// Whether pieces are rendered when polled.
    pub(crate) fn is_lazy(&self) -> bool {
        matches!(self.kind, Kind::Lazy(_))
    }

    /// Whether the body is of unknown length.
    pub(crate) fn in_pieces(&self) -> bool {
        matches!(self.kind, Kind::Stream(_) | Kind::Lazy(_) | Kind::Broadcastable(_))
    }

    /// The same, where one may write for many.
    pub(crate) fn broadcastable(pieces: impl Broadcastable + Send + 'static) -> Self {
        Self::of(Kind::Broadcastable(Box::new(pieces)))
    }

    /// See [`Broadcastable::hand_over`].
    pub(crate) fn hand_over(&mut self, share: &mut dyn FnMut() -> Weak<SharedWriter>, waker: &Waker) {
        if let Kind::Broadcastable(pieces) = &mut self.kind {
            pieces.hand_over(share, waker);
        }
    }

    /// See [`Broadcastable::take_back`].
    pub(crate) fn take_back(&mut self) -> Bytes {
        if let Kind::Broadcastable(pieces) = &mut self.kind { pieces.take_back() } else { Bytes::new() }
    }

    /// Keeps `guard` until the body has ended or is dropped. Any number may be added.
    #[must_use]
    pub fn on_end(mut self, guard: impl Any + Send) -> Self {
        self.guards.push(Box::new(guard));
        self
    }

    /// Calls `written` once the socket, or in HTTP/2 the stream, has accepted the whole body, and never if it does not.
    #[must_use]
    pub fn on_written(mut self, written: impl FnOnce() + Send + 'static) -> Self {
        self.written = Some(Box::new(written));
        self
    }

    /// Keeps `guard` until the whole body is written or dropped.
    #[must_use]
    pub(crate) fn until_written(self, guard: impl Send + 'static) -> Self {
        self.also_on_written(move || drop(guard))
    }

    /// Calls `written` after what is called already once the whole body is written.
    #[must_use]
    pub(crate) fn also_on_written(mut self, written: impl FnOnce() + Send + 'static) -> Self {
        let before = self.written.take();
        self.on_written(move || {
            before.into_iter().for_each(|written| written());
            written();
        })
    }

    /// Charges the bytes of a [full](Self::full) body for as long as any of them is held.
    #[must_use]
    pub(crate) fn charged(mut self, charge: Charge) -> Self {
        if let Kind::Full(bytes) = &mut self.kind {
            *bytes = charge.hold(std::mem::take(bytes));
            self.uncharged = 0;
        }
        self
    }

    /// For another server: the body counts as written once all its pieces were taken.
    pub(crate) fn written_when_taken(self) -> Self {
        Self { counts: Counts::Taken, ..self }
    }

    /// What to call once the pieces taken so far are written, if they were the last.
    pub(crate) fn take_written(&mut self) -> Option<Written> {
        if self.is_ended() { self.written.take() } else { None }
    }

    /// Passes a body of known length to `each`. Returns false if it is not one.
    pub(crate) fn take_whole(&mut self, mut each: impl FnMut(Bytes)) -> bool {
        if self.in_pieces() {
            return false;
        }
        match std::mem::replace(&mut self.kind, Kind::Ended) {
            Kind::Full(bytes) => each(bytes),
            Kind::Spliced(parts) => parts.into_iter().filter(|part| !part.is_empty()).for_each(each),
            Kind::Ended | Kind::Stream(_) | Kind::Lazy(_) | Kind::Broadcastable(_) => {}
        }
        self.guards.clear();
        true
    }

    /// The next piece; `None` is a clean end.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        let piece = match &mut self.kind {
            Kind::Ended => None,
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.kind = Kind::Ended;
                Some(Piece::Data(bytes))
            }
            Kind::Spliced(parts) if parts.iter().map(Bytes::len).sum::<usize>() <= JOINED => {
                let whole = parts.concat();
                self.kind = Kind::Ended;
                Some(Piece::Data(whole.into()))
            }
            Kind::Spliced(parts) => {
                let next = parts.iter_mut().find(|part| !part.is_empty()).map(std::mem::take);
                if parts.iter().all(Bytes::is_empty) {
                    self.kind = Kind::Ended;
                }
                next.map(Piece::Data)
            }
            Kind::Stream(_) | Kind::Lazy(_) | Kind::Broadcastable(_) => {
                let next = std::task::ready!(self.poll_next(cx));
                if matches!(next, None | Some(Piece::Broken)) {
                    self.kind = Kind::Ended;
                }
                next
            }
        };
        if matches!(self.kind, Kind::Ended) {
            self.guards.clear();
        }
        Poll::Ready(piece)
    }

    /// How many bytes are left, if known.
    #[must_use]
    pub fn exact_length(&self) -> Option<u64> {
        match &self.kind {
            Kind::Ended => Some(0),
            Kind::Full(bytes) => Some(bytes.len() as u64),
            Kind::Spliced(parts) => Some(parts.iter().map(|part| part.len() as u64).sum()),
            Kind::Stream(_) | Kind::Lazy(_) | Kind::Broadcastable(_) => None,
        }
    }

    /// Whether the body is known to have ended.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        matches!(self.kind, Kind::Ended)
    }

    /// [`poll_piece`](Self::poll_piece) with an error for a body that is aborted or panics: a faulty stream must end its
    /// own answer, not the worker.
    pub(crate) fn poll_piece_caught(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Piece>, BodyError>> {
        if !self.in_pieces() {
            return self.poll_piece(cx).map(Ok);
        }
        if let Ok(poll) = catch_unwind(AssertUnwindSafe(|| self.poll_piece(cx))) {
            return poll.map(|piece| match piece {
                Some(Piece::Broken) => Err(BodyError::Broken),
                piece => Ok(piece),
            });
        }
        self.kind = Kind::Ended;
        self.guards.clear();
        Poll::Ready(Err(BodyError::Panicked))
    }

    /// The next piece that is not empty: an empty chunk would end the body (RFC 9112, section 7.1).
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        loop {
            let next = match &mut self.kind {
                Kind::Stream(pieces) | Kind::Lazy(pieces) => pieces.poll_piece(cx),
                Kind::Broadcastable(pieces) => pieces.poll_piece(cx),
                Kind::Ended | Kind::Full(_) | Kind::Spliced(_) => Poll::Ready(None),
            };
            match std::task::ready!(next) {
                Some(Piece::Data(bytes)) if bytes.is_empty() => {}
                next => return Poll::Ready(next),
            }
        }
    }

    fn of(kind: Kind) -> Self {
        Self {
            kind,
            guards: Vec::new(),
            written: None,
            counts: Counts::Sent,
            coding: Coding::Identity,
            own: 0,
            uncharged: 0,
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").field("exact_length", &self.exact_length()).finish_non_exhaustive()
    }
}

/// For HTTP/1.1, which has no push: messages are sent inline.
impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = loop {
            break match std::task::ready!(self.poll_piece_caught(cx)) {
                Ok(Some(Piece::Data(bytes))) => Some(Ok(Frame::data(bytes))),
                Ok(Some(Piece::Push(promise))) if promise.inline.is_empty() => continue,
                Ok(Some(Piece::Push(promise))) => Some(Ok(Frame::data(promise.inline))),
                Ok(Some(Piece::Broken)) => Some(Err(BodyError::Broken)),
                Ok(None) => None,
                Err(error) => Some(Err(error)),
            };
        };
        if self.counts == Counts::Taken && !matches!(frame, Some(Err(_))) {
            self.take_written().into_iter().for_each(|written| written());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.is_ended()
    }

    fn size_hint(&self) -> SizeHint {
        self.exact_length().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Why a body was aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyError {
    /// The code that makes the pieces panicked.
    Panicked,
    /// The rest of it is not available.
    Broken,
}

impl std::fmt::Display for BodyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Panicked => f.write_str("the source of the body panicked"),
            Self::Broken => f.write_str("the rest of the body is not available"),
        }
    }
}

impl std::error::Error for BodyError {}
