//! One HTTP/2 stream, from its request to the end of its response.
//!
//! It is a future of its connection, not a task: ten thousand of them are ten thousand small allocations in one task.
//! Dropping it resets the stream, and a reset by the peer drops the handler or the body at once.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use h2::Reason;
use h2::server::SendResponse;
use http::{Method, Response, StatusCode};
use pin_project_lite::pin_project;

use crate::message::body::{Body, Piece, Promise};
use crate::message::connection_info::{PushPolicy, Unread};
use crate::message::early_hints::Preload;
use crate::message::reply::Reply;
use crate::transport::http2::backlog::{Kept, Queued};
use crate::transport::http2::content::Came;
use crate::transport::http2::flow::{Flow, Gone, Last};
use crate::transport::http2::head::{self, Wants};
use crate::transport::http2::push::{Origin, StreamContext};
use crate::transport::http2::wait_queue::Ticket;

/// A push is promised if the window admits at least this much of it, or all of it.
const WORTH_A_PROMISE: usize = 16 * 1024;

/// What a response depends on of its request.
pub(super) struct Asked {
    pub(super) wants: Wants,
    pub(super) pauses: Pauses,
    /// Only where push is possible.
    pub(super) origin: Option<Box<Origin>>,
    /// Whether its content has arrived, if it has any.
    pub(super) came: Option<Came>,
    /// Its place among those that are paused.
    pub(super) ticket: Ticket,
}

/// Whether a response is held back while its peer leaves too much unread.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pauses {
    /// The request may publish, which must not wait.
    Never,
    /// Unless it is ready at once: then pausing would only hold it for longer.
    OnceItWaits,
    Now,
}

impl Pauses {
    pub(super) fn of(method: &Method) -> Self {
        if method.is_safe() { Self::OnceItWaits } else { Self::Never }
    }
}

pin_project! {
    /// A stream that is being answered.
    pub(super) struct Stream<F> {
        #[pin]
        phase: StreamPhase<F>,
        shared: Arc<StreamContext>,
    }
}

pin_project! {
    #[project = PhaseProjected]
    #[project_replace = PhaseReplaced]
    enum StreamPhase<F> {
        Awaited { #[pin] future: F, respond: SendResponse<Queued>, asked: Asked },
        Sending { sending: Box<Sending> },
        Done,
    }
}

impl<F> Stream<F> {
    pub(super) fn new(
        future: F,
        respond: SendResponse<Queued>,
        asked: Asked,
        shared: Arc<StreamContext>,
    ) -> Self {
        Self { phase: StreamPhase::Awaited { future, respond, asked }, shared }
    }

    /// Sends a response; returns the stream while some of it is left.
    pub(super) fn begin(
        cx: &mut Context<'_>,
        reply: Reply,
        respond: SendResponse<Queued>,
        asked: Asked,
        shared: Arc<StreamContext>,
    ) -> Option<Self> {
        let phase = StreamPhase::sent(cx, reply, respond, asked, &shared)?;
        Some(Self { phase, shared })
    }
}

impl<F: Future<Output: Into<Reply>>> Future for Stream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        match this.phase.as_mut().project() {
            PhaseProjected::Awaited { future, respond, asked } => {
                if asked.pauses == Pauses::Now
                    && this.shared.backlog.poll_pause(cx, &mut asked.ticket).is_pending()
                {
                    let _ = ready!(respond.poll_reset(cx));
                    this.phase.set(StreamPhase::Done);
                    return Poll::Ready(());
                }
                let reply: Reply = match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
                    Ok(Poll::Ready(answer)) => answer.into(),
                    Ok(Poll::Pending) => {
                        if asked.pauses == Pauses::OnceItWaits {
                            asked.pauses = Pauses::Now;
                        }
                        // The peer has lost interest, or the connection is gone.
                        let _ = ready!(respond.poll_reset(cx));
                        this.phase.set(StreamPhase::Done);
                        return Poll::Ready(());
                    }
                    Err(_) => {
                        respond.send_reset(Reason::INTERNAL_ERROR);
                        this.phase.set(StreamPhase::Done);
                        return Poll::Ready(());
                    }
                };
                // The handler's future is dropped here, before anything of its response is sent.
                let PhaseReplaced::Awaited { respond, asked, .. } =
                    this.phase.as_mut().project_replace(StreamPhase::Done)
                else {
                    return Poll::Ready(());
                };
                let Some(phase) = StreamPhase::sent(cx, reply, respond, asked, this.shared) else {
                    return Poll::Ready(());
                };
                this.phase.set(phase);
                Poll::Pending
            }
            PhaseProjected::Sending { sending } => {
                ready!(sending.poll(cx, this.shared));
                this.phase.set(StreamPhase::Done);
                Poll::Ready(())
            }
            PhaseProjected::Done => Poll::Ready(()),
        }
    }
}

impl<F> StreamPhase<F> {
    /// Sends a response; nearly always nothing is left of it. Boxed where something is, so that streams that wait for their
    /// handler take no room for it.
    fn sent(
        cx: &mut Context<'_>,
        reply: Reply,
        respond: SendResponse<Queued>,
        asked: Asked,
        shared: &StreamContext,
    ) -> Option<Self> {
        let mut sending = Sending::begin(cx, reply, respond, asked, shared)?;
        let sent = sending.poll(cx, shared).is_ready();
        (!sent).then(|| Self::Sending { sending: Box::new(sending) })
    }
}

/// A response whose head is sent.
struct Sending {
    body: Body,
    flow: Flow,
    respond: SendResponse<Queued>,
    origin: Option<Box<Origin>>,
    /// A message whose turn to be promised has not come.
    promise: Option<Box<Promise>>,
    /// Its place among those that wait to promise.
    promises: Ticket,
    came: Option<Came>,
    rest: Rest,
    /// Its place among those that are paused.
    ticket: Ticket,
}

/// Whether anything is left to send.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    Some,
    None,
}

impl Sending {
    /// Sends what comes before the body; `None` if the stream is gone.
    fn begin(
        cx: &mut Context<'_>,
        reply: Reply,
        mut respond: SendResponse<Queued>,
        asked: Asked,
        shared: &StreamContext,
    ) -> Option<Self> {
        // Nothing may be promised on a stream that the peer has reset (RFC 9113, section 6.6).
        if let Some(preload) = reply.extension::<Preload>()
            && respond.poll_reset(cx).is_pending()
        {
            announce(preload, &mut respond, asked.origin.as_deref(), shared);
        }
        let (head, body) = head::finished(without_content(reply, shared), asked.wants);
        let stream = respond.send_response(head, body.is_none()).ok()?;
        let rest = if body.is_some() { Rest::Some } else { Rest::None };
        let Asked { origin, came, .. } = asked;
        let (body, flow) = (body.unwrap_or_default(), Flow::new(stream, &shared.backlog));
        Some(Self {
            body,
            flow,
            respond,
            origin,
            promise: None,
            promises: Ticket::default(),
            came,
            rest,
            ticket: Ticket::default(),
        })
    }

    /// Ready when both sides are done with the stream or it is gone.
    fn poll(&mut self, cx: &mut Context<'_>, shared: &StreamContext) -> Poll<()> {
        if self.rest == Rest::Some {
            if ready!(self.poll_send(cx, shared)).is_err() {
                return Poll::Ready(());
            }
            self.rest = Rest::None;
            self.flow.all_taken();
        }
        // Dropping a stream whose request has not ended resets it. Until then h2 checks what comes, so it is held for a
        // moment: malformed frames stay an error (RFC 9113, section 8.1.1).
        match &self.came {
            Some(came) if !came.is_whole() => self.flow.poll_linger(cx, &shared.deadlines),
            _ => Poll::Ready(()),
        }
    }

    /// Ready when all is handed over.
    fn poll_send(&mut self, cx: &mut Context<'_>, shared: &StreamContext) -> Poll<Result<(), Gone>> {
        loop {
            // END_STREAM goes with the last bytes of a body of known length, so that no empty frame has to follow.
            let last = if self.body.is_ended() { Last::Yes } else { Last::No };
            if !self.flow.is_sent() {
                let sent = self.flow.poll_send(cx, last, &shared.deadlines, shared.stall);
                ready!(self.held_up(sent))?;
                if last == Last::Yes {
                    self.body.take_written().into_iter().for_each(|written| written());
                    return Poll::Ready(Ok(()));
                }
            }
            if let Some(promise) = self.promise.take() {
                let (stream, may_push) = (self.respond.stream_id(), self.may_push(shared));
                let ticket = &mut self.promises;
                if may_push && shared.poll_promise(cx, stream, ticket).is_pending() {
                    self.flow.hold(Kept { all: self.body.held() + promise.body.len(), uncharged: 0 });
                    self.promise = Some(promise);
                    return self.flow.poll_gone(cx).map(|()| Err(Gone));
                }
                self.promise(*promise, shared);
                continue;
            }
            ready!(self.poll_before_piece(cx, shared))?;
            match self.body.poll_piece_caught(cx) {
                Poll::Ready(Ok(Some(Piece::Data(bytes)))) => self.flow.give(bytes),
                Poll::Ready(Ok(Some(Piece::Push(promise)))) => self.promise = Some(Box::new(promise)),
                Poll::Ready(Ok(Some(Piece::Broken)) | Err(_)) => {
                    self.flow.abort();
                    return Poll::Ready(Err(Gone));
                }
                Poll::Ready(Ok(None)) => {
                    self.flow.end();
                    self.body.take_written().into_iter().for_each(|written| written());
                    return Poll::Ready(Ok(()));
                }
                Poll::Pending => {
                    self.flow.all_taken();
                    return self.flow.poll_gone(cx).map(|()| Err(Gone));
                }
            }
        }
    }

    /// Ready when the next piece may be asked for: of a body that renders on demand once there is room for it, and of any
    /// other not while its connection leaves too much unread.
    fn poll_before_piece(&mut self, cx: &mut Context<'_>, shared: &StreamContext) -> Poll<Result<(), Gone>> {
        if self.body.is_lazy() {
            let room = self.flow.poll_room(cx, &shared.deadlines, shared.stall);
            return self.held_up(room);
        }
        let rests = self.body.in_pieces() && self.body.held() == 0;
        if rests && shared.backlog.poll_pause(cx, &mut self.ticket).is_pending() {
            self.flow.all_taken();
            return self.flow.poll_gone(cx).map(|()| Err(Gone));
        }
        Poll::Ready(Ok(()))
    }

    /// Charges the memory of a response while its peer does not read it.
    fn held_up<T>(&mut self, sent: Poll<T>) -> Poll<T> {
        if sent.is_pending() {
            self.flow.hold(Kept { all: self.body.held(), uncharged: self.body.uncharged() });
        }
        sent
    }

    fn may_push(&self, shared: &StreamContext) -> bool {
        self.origin.is_some() && shared.policy() == PushPolicy::Possible
    }

    /// Pushes a message, or falls back to its inline line.
    fn promise(&mut self, promise: Promise, shared: &StreamContext) {
        let Promise { path, headers, body, announce, inline } = promise;
        let needed = (announce.len() + body.len()).min(WORTH_A_PROMISE);
        let line = match &self.origin {
            Some(origin) if shared.has_room(body.len()) && self.flow.room(needed) >= needed => {
                match shared.push(&mut self.respond, origin, &path, headers, body) {
                    Ok(()) => announce,
                    Err(_) => inline,
                }
            }
            _ => inline,
        };
        self.flow.give(line);
    }
}

/// An error for a peer that leaves too much unread goes without content, which would have to be held as well: a head needs
/// no window, and ends its stream.
fn without_content(reply: Reply, shared: &StreamContext) -> Reply {
    let refused = reply.status.is_client_error() || reply.status.is_server_error();
    if refused && shared.backlog.unread() == Unread::TooMuch {
        return Reply { body: Body::empty(), media: None, ..reply };
    }
    reply
}

/// Pushes what a page needs, or announces it by a 103 (RFC 8297).
fn announce(
    preload: &Preload,
    respond: &mut SendResponse<Queued>,
    origin: Option<&Origin>,
    shared: &StreamContext,
) {
    let mut pushed = false;
    if let Some(origin) = origin {
        for asset in preload.assets.iter() {
            let (headers, body) = (asset.headers.clone(), asset.body.clone());
            // One that does not fit is fetched when the page asks for it.
            pushed |= shared.push(respond, origin, &asset.path, headers, body).is_ok();
        }
    }
    if pushed || preload.assets.is_empty() {
        return;
    }
    let mut hints = Response::new(());
    *hints.status_mut() = StatusCode::EARLY_HINTS;
    *hints.headers_mut() = preload.links();
    // A hint that cannot be sent is not missed.
    let _ = respond.send_informational(hints);
}
