//! One HTTP/2 stream, from its request to the end of its answer.
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
use crate::transport::http2::backlog::{Kept, Queued, Ticket};
use crate::transport::http2::content::Came;
use crate::transport::http2::flow::{Flow, Gone, Last};
use crate::transport::http2::head::{self, Wants};
use crate::transport::http2::push::{Lane, Origin};

/// A push whose window takes at least this much of it (or all, if less) is worth a promise.
const WORTH_A_PROMISE: usize = 16 * 1024;

/// How the peer asked.
pub(super) struct Asked {
    pub(super) wants: Wants,
    pub(super) pauses: Pauses,
    /// Kept where push is possible only.
    pub(super) origin: Option<Box<Origin>>,
    /// Whether its content has come, if it has any.
    pub(super) came: Option<Came>,
    /// While its answer is not to be made yet.
    pub(super) ticket: Ticket,
}

/// Whether an answer waits while its peer leaves too much unread.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pauses {
    /// What the request brings is not to wait.
    Never,
    /// If it is not given at once: what is there is only held for longer.
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
        stage: Stage<F>,
        lane: Arc<Lane>,
    }
}

pin_project! {
    #[project = StageProjected]
    #[project_replace = StageReplaced]
    enum Stage<F> {
        Awaited { #[pin] future: F, respond: SendResponse<Queued>, asked: Asked },
        Sending { sending: Box<Sending> },
        Done,
    }
}

impl<F> Stream<F> {
    pub(super) fn new(future: F, respond: SendResponse<Queued>, asked: Asked, lane: Arc<Lane>) -> Self {
        Self { stage: Stage::Awaited { future, respond, asked }, lane }
    }

    /// Sends an answer; what is left, if all did not leave.
    pub(super) fn begin(
        cx: &mut Context<'_>,
        reply: Reply,
        respond: SendResponse<Queued>,
        asked: Asked,
        lane: Arc<Lane>,
    ) -> Option<Self> {
        let mut stage = Stage::sent(cx, reply, respond, asked, &lane)?;
        if let Stage::Sending { sending } = &mut stage {
            // From here on it is woken by itself.
            sending.flow.leave_parking();
            sending.ticket = Ticket::default();
        }
        Some(Self { stage, lane })
    }
}

impl<F: Future<Output: Into<Reply>>> Future for Stream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        match this.stage.as_mut().project() {
            StageProjected::Awaited { future, respond, asked } => {
                if asked.pauses == Pauses::Now
                    && this.lane.backlog.poll_pause(cx, &mut asked.ticket).is_pending()
                {
                    let _ = ready!(respond.poll_reset(cx));
                    this.stage.set(Stage::Done);
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
                        this.stage.set(Stage::Done);
                        return Poll::Ready(());
                    }
                    Err(_) => {
                        respond.send_reset(Reason::INTERNAL_ERROR);
                        this.stage.set(Stage::Done);
                        return Poll::Ready(());
                    }
                };
                // The handler's future is dropped here, before anything of its answer is sent.
                let StageReplaced::Awaited { respond, asked, .. } =
                    this.stage.as_mut().project_replace(Stage::Done)
                else {
                    return Poll::Ready(());
                };
                let Some(stage) = Stage::sent(cx, reply, respond, asked, this.lane) else {
                    return Poll::Ready(());
                };
                this.stage.set(stage);
                Poll::Pending
            }
            StageProjected::Sending { sending } => {
                ready!(sending.poll(cx, this.lane));
                this.stage.set(Stage::Done);
                Poll::Ready(())
            }
            StageProjected::Done => Poll::Ready(()),
        }
    }
}

impl<F> Stage<F> {
    /// Sends an answer; nothing is left of it nearly always. What waits takes no room for what does not.
    fn sent(
        cx: &mut Context<'_>,
        reply: Reply,
        respond: SendResponse<Queued>,
        asked: Asked,
        lane: &Lane,
    ) -> Option<Self> {
        let mut sending = Sending::begin(cx, reply, respond, asked, lane)?;
        let sent = sending.poll(cx, lane).is_ready();
        (!sent).then(|| Self::Sending { sending: Box::new(sending) })
    }
}

/// An answer whose head is sent.
struct Sending {
    body: Body,
    flow: Flow,
    respond: SendResponse<Queued>,
    origin: Option<Box<Origin>>,
    /// A message whose turn to be promised has not come.
    promise: Option<Box<Promise>>,
    came: Option<Came>,
    rest: Rest,
    /// While nothing more is to be made for it.
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
        lane: &Lane,
    ) -> Option<Self> {
        // Nothing may be promised on a stream that the peer has reset (RFC 9113, section 6.6).
        if let Some(preload) = reply.extension::<Preload>()
            && respond.poll_reset(cx).is_pending()
        {
            announce(preload, &mut respond, asked.origin.as_deref(), lane);
        }
        let (head, body) = head::finished(without_words(reply, lane), asked.wants);
        let stream = respond.send_response(head, body.is_none()).ok()?;
        let rest = if body.is_some() { Rest::Some } else { Rest::None };
        let Asked { origin, came, .. } = asked;
        let (body, flow) = (body.unwrap_or_default(), Flow::new(stream, &lane.backlog));
        Some(Self { body, flow, respond, origin, promise: None, came, rest, ticket: Ticket::default() })
    }

    /// Ready when both sides are done with the stream or it is gone.
    fn poll(&mut self, cx: &mut Context<'_>, lane: &Lane) -> Poll<()> {
        if self.rest == Rest::Some {
            if ready!(self.poll_send(cx, lane)).is_err() {
                return Poll::Ready(());
            }
            self.rest = Rest::None;
            self.flow.all_taken();
        }
        // To let go of a stream whose request has not ended asks the peer to send no more of it. Until then h2 judges
        // what comes, so it is held for a moment: what is malformed stays an error (RFC 9113, section 8.1.1).
        match &self.came {
            Some(came) if !came.is_whole() => self.flow.poll_linger(cx, &lane.deadlines),
            _ => Poll::Ready(()),
        }
    }

    /// Ready when all is handed over.
    fn poll_send(&mut self, cx: &mut Context<'_>, lane: &Lane) -> Poll<Result<(), Gone>> {
        loop {
            // A body of known length says its end with its last bytes, so that no empty frame has to.
            let last = if self.body.is_ended() { Last::Yes } else { Last::No };
            if !self.flow.is_sent() {
                let sent = self.flow.poll_send(cx, last, &lane.deadlines, lane.stall);
                ready!(self.held_up(sent))?;
                if last == Last::Yes {
                    self.body.take_written().into_iter().for_each(|written| written());
                    return Poll::Ready(Ok(()));
                }
            }
            if let Some(promise) = self.promise.take() {
                let stream = self.respond.stream_id();
                if self.may_push(lane) && lane.poll_turn(cx, stream).is_pending() {
                    self.flow.hold(Kept { all: self.body.held() + promise.body.len(), uncharged: 0 });
                    self.promise = Some(promise);
                    return self.flow.poll_gone(cx).map(|()| Err(Gone));
                }
                self.promise(*promise, lane);
                continue;
            }
            ready!(self.poll_before_piece(cx, lane))?;
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

    /// Ready when a piece may be made. One that is made when it is asked for is asked for when there is room for it; and
    /// a reader who has nothing of ours is given nothing new while its connection leaves too much unread.
    fn poll_before_piece(&mut self, cx: &mut Context<'_>, lane: &Lane) -> Poll<Result<(), Gone>> {
        if self.body.is_drawn() {
            let room = self.flow.poll_room(cx, &lane.deadlines, lane.stall);
            return self.held_up(room);
        }
        let rests = self.body.in_pieces() && self.body.held() == 0;
        if rests && lane.backlog.poll_pause(cx, &mut self.ticket).is_pending() {
            self.flow.all_taken();
            return self.flow.poll_gone(cx).map(|()| Err(Gone));
        }
        Poll::Ready(Ok(()))
    }

    /// Notes what an answer holds that its peer does not take.
    fn held_up<T>(&mut self, sent: Poll<T>) -> Poll<T> {
        if sent.is_pending() {
            self.flow.hold(Kept { all: self.body.held(), uncharged: self.body.uncharged() });
        }
        sent
    }

    fn may_push(&self, lane: &Lane) -> bool {
        self.origin.is_some() && lane.policy() == PushPolicy::Possible
    }

    /// Pushes a message, or falls back to its inline line.
    fn promise(&mut self, promise: Promise, lane: &Lane) {
        let Promise { path, headers, body, announce, inline } = promise;
        let needed = (announce.len() + body.len()).min(WORTH_A_PROMISE);
        let line = match &self.origin {
            Some(origin) if lane.has_place(body.len()) && self.flow.room(needed) >= needed => {
                match lane.push(&mut self.respond, origin, &path, headers, body) {
                    Ok(()) => announce,
                    Err(_) => inline,
                }
            }
            _ => inline,
        };
        self.flow.give(line);
    }
}

/// A peer that leaves too much unread is told by the status alone: a head needs no window, and its stream ends with it,
/// where content would have to be kept as well.
fn without_words(reply: Reply, lane: &Lane) -> Reply {
    let refused = reply.status.is_client_error() || reply.status.is_server_error();
    if refused && lane.backlog.unread() == Unread::TooMuch {
        return Reply { body: Body::empty(), media: None, ..reply };
    }
    reply
}

/// Pushes what a page needs, or says so by a 103 (RFC 8297).
fn announce(preload: &Preload, respond: &mut SendResponse<Queued>, origin: Option<&Origin>, lane: &Lane) {
    let mut pushed = false;
    if let Some(origin) = origin {
        for asset in preload.assets.iter() {
            let (headers, body) = (asset.headers.clone(), asset.body.clone());
            // One that does not fit is fetched when the page asks for it.
            pushed |= lane.push(respond, origin, &asset.path, headers, body).is_ok();
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
