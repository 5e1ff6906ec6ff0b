//! The only answer body of the crate.
//!
//! Both protocols carry the same [`Body`]: hyper reads it as an [`http_body::Body`], HTTP/2 by [`Body::poll_piece`],
//! because only there can a piece be a push. A piece is a frame is a chunk: what a pattern hands over at once leaves
//! at once and whole. What the bytes mean is not known here.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use poll_core::{Batch, Charge};

use crate::message::shared_writer::SharedWriter;

/// One answer's body.
pub struct Body {
    kind: Kind,
    /// Dropped at the end, whichever way it comes. Nearly always empty, which costs no allocation.
    guards: Vec<Box<dyn Any + Send>>,
    /// Called once the last byte is written, and never if it is not.
    written: Option<Written>,
    counts: Counts,
    /// Bytes of it that nobody else holds, where all are here.
    own: usize,
    /// Of these, what is on no account.
    uncharged: usize,
}

/// When a body counts as written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counts {
    /// Once the peer's socket or stream has it, which our own connections know.
    Sent,
    /// Once its last piece was taken: more is not known of somebody else's server.
    Taken,
}

/// Parts that are no more than this together are handed over as one: a frame more costs more than the copy.
const JOINED: usize = 1024;

/// What is to be done when an answer is written.
pub(crate) type Written = Box<dyn FnOnce() + Send>;

enum Kind {
    /// Nothing, or nothing more.
    Ended,
    Full(Bytes),
    /// What is left of head, middle and tail, none of it empty but at the front.
    Spliced([Bytes; 3]),
    Stream(Box<dyn Pieces + Send>),
    /// The same, where every piece is there when it is asked for.
    Drawn(Box<dyn Pieces + Send>),
    Broadcastable(Box<dyn Broadcastable + Send>),
}

/// How many bytes are held of a batch for whoever asks, if nobody else holds it.
pub(crate) fn held_for_one(batch: &Arc<Batch>) -> usize {
    if Arc::strong_count(batch) > 1 { 0 } else { usize::try_from(batch.weight()).unwrap_or(usize::MAX) }
}

/// A body that comes piece by piece.
pub trait Pieces {
    /// The next piece; `None` is a clean end. Not polled again after the end.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>>;

    /// How many bytes are kept for what is still to come, and for nobody else, about.
    fn held(&self) -> usize {
        0
    }
}

/// Pieces that others may get just the same, so that one can write them for all.
pub(crate) trait Broadcastable: Pieces {
    /// All that was given is written and nothing more is there: the socket that `share` gives may be handed over from
    /// here on.
    /// Its connection is woken by `waker` once it has to do something itself. Pieces come as chunks.
    fn hand_over(&mut self, share: &mut dyn FnMut() -> Weak<SharedWriter>, waker: &Waker);

    /// Called before a piece is asked for again: the socket is the connection's own. Gives what is to be written before
    /// anything else, in chunks already.
    fn take_back(&mut self) -> Bytes;
}

/// What a body hands over at once.
#[derive(Debug)]
pub enum Piece {
    /// One chunk in HTTP/1.1, one or more DATA frames in HTTP/2. Never empty.
    Data(Bytes),
    /// A message to be pushed. Only where [`PushPolicy`](crate::PushPolicy) said that push is possible.
    Push(Promise),
    /// There is no memory for the next piece: the answer breaks off, so that its reader can tell that from its end.
    Broken,
}

/// A pushed message: a PUSH_PROMISE (RFC 9113, section 8.4) with its own answer.
#[derive(Debug)]
pub struct Promise {
    /// Path and query of the request that the promise stands for.
    pub path: String,
    /// Header fields of the pushed answer; its status is 200.
    pub headers: HeaderMap,
    /// Body of the pushed answer.
    pub body: Bytes,
    /// For the main stream once the promise is sent.
    pub announce: Bytes,
    /// For the main stream when the promise cannot be sent: the peer's stream limit or window is full, or push is off.
    pub inline: Bytes,
}

impl Body {
    /// No bytes, and known to be none.
    #[must_use]
    pub fn empty() -> Self {
        Self::of(Kind::Ended)
    }

    /// These bytes, of known length.
    #[must_use]
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let own = bytes.len();
        let uncharged = own;
        Self { own, uncharged, ..Self::of(if bytes.is_empty() { Kind::Ended } else { Kind::Full(bytes) }) }
    }

    /// Head, middle and tail one after the other, of known length. None is copied, so the middle may be shared.
    #[must_use]
    pub fn spliced(parts: [Bytes; 3]) -> Self {
        let own = parts.iter().map(Bytes::len).sum();
        Self { own, uncharged: own, ..Self::of(if own == 0 { Kind::Ended } else { Kind::Spliced(parts) }) }
    }

    /// The same, of which `shared` bytes are held for others as well, and all but a little is charged by its source.
    #[must_use]
    pub(crate) fn sharing(self, shared: usize) -> Self {
        Self { own: self.own.saturating_sub(shared), uncharged: 0, ..self }
    }

    /// Of what is [held](Self::held), what is on no account.
    pub(crate) fn uncharged(&self) -> usize {
        if self.in_pieces() { 0 } else { self.uncharged }
    }

    /// How many bytes are kept for this answer alone, about.
    pub(crate) fn held(&self) -> usize {
        match &self.kind {
            Kind::Ended | Kind::Full(_) | Kind::Spliced(_) => self.own,
            Kind::Stream(pieces) | Kind::Drawn(pieces) => pieces.held(),
            Kind::Broadcastable(pieces) => pieces.held(),
        }
    }

    /// Pieces as they come, of unknown length: chunked in HTTP/1.1.
    #[must_use]
    pub fn stream(pieces: impl Pieces + Send + 'static) -> Self {
        Self::of(Kind::Stream(Box::new(pieces)))
    }

    /// The same, where no piece is waited for. They are made as the peer takes them, and none is held for one that does
    /// not.
    pub(crate) fn drawn(pieces: impl Pieces + Send + 'static) -> Self {
        Self::of(Kind::Drawn(Box::new(pieces)))
    }

    /// Whether the next piece is made when it is asked for.
    pub(crate) fn is_drawn(&self) -> bool {
        matches!(self.kind, Kind::Drawn(_))
    }

    /// Whether the body comes piece by piece.
    pub(crate) fn in_pieces(&self) -> bool {
        matches!(self.kind, Kind::Stream(_) | Kind::Drawn(_) | Kind::Broadcastable(_))
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

    /// Keeps `guard` until the body has been handed over or is dropped, whatever comes first. Any number may be added.
    #[must_use]
    pub fn on_end(mut self, guard: impl Any + Send) -> Self {
        self.guards.push(Box::new(guard));
        self
    }

    /// Calls `written` when the whole body has left for the peer: in HTTP/1 when the socket has taken it, in HTTP/2
    /// when the stream has. Not called where that does not come about.
    #[must_use]
    pub fn on_written(mut self, written: impl FnOnce() + Send + 'static) -> Self {
        self.written = Some(Box::new(written));
        self
    }

    /// Keeps `guard` until the whole body has left for the peer, or will not.
    #[must_use]
    pub(crate) fn until_written(mut self, guard: impl Send + 'static) -> Self {
        let before = self.written.take();
        self.on_written(move || {
            before.into_iter().for_each(|written| written());
            drop(guard);
        })
    }

    /// The same with its bytes charged for as long as any of them is held, where all are here.
    #[must_use]
    pub(crate) fn charged(mut self, charge: Charge) -> Self {
        if let Kind::Full(bytes) = &mut self.kind {
            *bytes = charge.hold(std::mem::take(bytes));
            self.uncharged = 0;
        }
        self
    }

    /// For a server that is not ours: the body counts as written once that has taken it.
    pub(crate) fn written_when_taken(self) -> Self {
        Self { counts: Counts::Taken, ..self }
    }

    /// What is to be done once what was handed over is written; nothing before all was.
    pub(crate) fn take_written(&mut self) -> Option<Written> {
        if self.is_ended() { self.written.take() } else { None }
    }

    /// Gives all of a body whose length is known to `each`, without pieces around it; says whether it is such a body.
    pub(crate) fn take_whole(&mut self, mut each: impl FnMut(Bytes)) -> bool {
        if self.in_pieces() {
            return false;
        }
        match std::mem::replace(&mut self.kind, Kind::Ended) {
            Kind::Full(bytes) => each(bytes),
            Kind::Spliced(parts) => parts.into_iter().filter(|part| !part.is_empty()).for_each(each),
            Kind::Ended | Kind::Stream(_) | Kind::Drawn(_) | Kind::Broadcastable(_) => {}
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
            Kind::Stream(_) | Kind::Drawn(_) | Kind::Broadcastable(_) => {
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

    /// How many bytes are left, if that is known.
    #[must_use]
    pub fn exact_length(&self) -> Option<u64> {
        match &self.kind {
            Kind::Ended => Some(0),
            Kind::Full(bytes) => Some(bytes.len() as u64),
            Kind::Spliced(parts) => Some(parts.iter().map(|part| part.len() as u64).sum()),
            Kind::Stream(_) | Kind::Drawn(_) | Kind::Broadcastable(_) => None,
        }
    }

    /// Whether nothing is left and that is known without polling.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        matches!(self.kind, Kind::Ended)
    }

    /// [`poll_piece`](Self::poll_piece) that tells a body that breaks off by an error, also where a stream panics: one bad
    /// stream must end its own answer, not the worker.
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

    /// The next piece of a stream that is not empty: an empty chunk would be the end (RFC 9112, section 7.1).
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        loop {
            let next = match &mut self.kind {
                Kind::Stream(pieces) | Kind::Drawn(pieces) => pieces.poll_piece(cx),
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
        Self { kind, guards: Vec::new(), written: None, counts: Counts::Sent, own: 0, uncharged: 0 }
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

/// HTTP/1.1's view: a push cannot be, so its line comes inline.
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

/// Why a body broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyError {
    /// The code that makes the pieces panicked.
    Panicked,
    /// What is left of it cannot be given.
    Broken,
}

impl std::fmt::Display for BodyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Panicked => f.write_str("the source of the body panicked"),
            Self::Broken => f.write_str("what is left of the body cannot be given"),
        }
    }
}

impl std::error::Error for BodyError {}
