//! Server push (RFC 9113, section 8.4): promises, pushed responses, and how many may be open.
//!
//! The peer bounds pushed streams by its settings; what does not fit is sent inline by the caller. A pushed response that
//! waits for its window is a future of the connection, so it blocks no other; a peer that refuses one resets it, which
//! merely ends that future.
//!
//! Promised stream numbers have to be sent in order (RFC 9113, section 5.1.1), but h2 numbers a promise when it is made and
//! sends it when its stream's turn comes. So only one stream has promises under way at a time: the others wait until
//! everything that could be written has been.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::StreamId;
use h2::server::SendResponse;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Request, Uri, header};

use crate::message::connection_info::{PushPolicy, Unread};
use crate::transport::connection_state::ConnectionState;
use crate::transport::http2::backlog::{Backlog, Kept, Queued};
use crate::transport::http2::flow::{Flow, Last};
use crate::transport::http2::head;
use crate::transport::http2::wait_queue::{Ticket, WaitQueue};
use crate::worker::timer_wheel::Timers;

/// Pushed responses open at once on a connection, even if its peer allows more: each holds its body until the window
/// admits it.
const MOST: usize = 100;
/// Bytes of pushed responses that h2 has not written yet: they must not pile up behind a full socket.
const MOST_BYTES: usize = 256 * 1024;

/// What the streams of a connection share.
pub(super) struct StreamContext {
    pub(super) state: Arc<ConnectionState>,
    pub(super) deadlines: Timers,
    pub(super) stall: Duration,
    pub(super) backlog: Arc<Backlog>,
    /// Pushed responses that are open.
    open: AtomicUsize,
    /// How many may be: the peer's `SETTINGS_MAX_CONCURRENT_STREAMS`, at most [`MOST`].
    most: AtomicUsize,
    /// Promises made since the connection began.
    made: AtomicU32,
    /// Some of them may not have been written: saves taking the lock in most polls.
    under_way: AtomicBool,
    /// Locked for moves only, never across a wake.
    promises: Mutex<UnderWay>,
    /// Streams that wait until they may promise.
    waiting: Arc<WaitQueue>,
}

/// What was promised since everything was last written.
#[derive(Default)]
struct UnderWay {
    /// The one stream that may promise more.
    stream: Option<StreamId>,
    /// Begun in this poll; the connection continues them.
    begun: Vec<Pushed>,
    /// Bytes of the pushed responses.
    bytes: usize,
}

/// Where a request was sent to, for the requests that are promised with its answer.
pub(super) struct Origin {
    scheme: Scheme,
    authority: Authority,
}

/// What became of the promises that were made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flushed {
    Whole,
    /// Some were not written.
    InPart,
}

/// A promise could not be made.
pub(super) struct Declined;

impl StreamContext {
    pub(super) fn new(
        state: Arc<ConnectionState>,
        deadlines: Timers,
        stall: Duration,
        backlog: Arc<Backlog>,
    ) -> Self {
        let (open, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self {
            state,
            deadlines,
            stall,
            backlog,
            open,
            most,
            made: AtomicU32::new(0),
            under_way: AtomicBool::new(false),
            promises: Mutex::default(),
            waiting: Arc::default(),
        }
    }

    /// Whether the peer's settings allow push.
    pub(super) fn policy(&self) -> PushPolicy {
        self.state.push().unwrap_or(PushPolicy::Off)
    }

    /// The peer allows `peer` pushed streams at once.
    pub(super) fn allow(&self, peer: usize) {
        self.most.store(peer.min(MOST), Ordering::Relaxed);
    }

    /// Whether a pushed response of this length may begin.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        let begun = self.promises().bytes;
        self.policy() == PushPolicy::Possible
            && self.open.load(Ordering::Relaxed) < self.most.load(Ordering::Relaxed)
            && (begun == 0 || begun + bytes <= MOST_BYTES)
            && self.backlog.unread() == Unread::Little
    }

    /// Ready when `stream` may promise: no other stream has promises under way.
    pub(super) fn poll_promise(
        &self,
        cx: &mut Context<'_>,
        stream: StreamId,
        ticket: &mut Ticket,
    ) -> Poll<()> {
        let free = self.promises().stream.is_none_or(|of| of == stream);
        if free { ticket.ready() } else { self.waiting.poll(cx, ticket) }
    }

    /// Whether promises may be under way.
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Everything that could be written has been: the next stream may promise. A promise that was not written was lost with
    /// its stream or is blocked by a window that the peer shrank; h2 reports neither, so this connection promises no more.
    pub(super) fn flushed(&self) -> Flushed {
        let mut promises = self.promises();
        promises.stream = None;
        promises.bytes = 0;
        drop(promises);
        self.under_way.store(false, Ordering::Relaxed);
        let flushed = if self.made.load(Ordering::Relaxed) == self.state.promised() {
            Flushed::Whole
        } else {
            self.state.set_push(PushPolicy::Off);
            Flushed::InPart
        };
        self.waiting.wake(usize::MAX);
        flushed
    }

    /// Promises `path` on the stream of `respond` and begins its response.
    pub(super) fn push(
        &self,
        respond: &mut SendResponse<Queued>,
        origin: &Origin,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<(), Declined> {
        let stream = respond.stream_id();
        if !self.has_room(body.len()) || self.promises().stream.is_some_and(|of| of != stream) {
            return Err(Declined);
        }
        let request = origin.request(path).ok_or(Declined)?;
        let mut promised = respond.push_request(request).map_err(|error| {
            // Neither a protocol error nor a lost stream: the peer's later settings have switched push off.
            if !error.is_reset() && !error.is_io() && !error.is_go_away() {
                self.state.set_push(PushPolicy::Off);
            }
            Declined
        })?;
        self.open.fetch_add(1, Ordering::Relaxed);
        self.made.fetch_add(1, Ordering::Relaxed);
        self.under_way.store(true, Ordering::Relaxed);
        let bytes = body.len();
        let response = head::pushed(headers, bytes);
        let flow = promised.send_response(response, body.is_empty()).ok().map(|stream| {
            let mut flow = Flow::new(stream, &self.backlog);
            flow.give(body);
            // At once, so that promise, head and body go in one write. A failure shows again when it is polled.
            let _ = flow.send_some(Last::Yes);
            flow
        });
        let mut promises = self.promises();
        promises.stream = Some(stream);
        promises.bytes += bytes;
        if let Some(flow) = flow {
            let (deadlines, stall) = (self.deadlines.clone(), self.stall);
            promises.begun.push(Pushed { flow, bytes, deadlines, stall });
        } else {
            // Promised, but the stream is gone already.
            self.close(1);
        }
        Ok(())
    }

    pub(super) fn take_begun(&self) -> Vec<Pushed> {
        std::mem::take(&mut self.promises().begun)
    }

    /// `count` pushed responses have ended.
    pub(super) fn close(&self, count: usize) {
        self.open.fetch_sub(count, Ordering::Relaxed);
    }

    fn promises(&self) -> MutexGuard<'_, UnderWay> {
        // Nothing in here panics half-way.
        self.promises.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Origin {
    /// `None` if the request has no authority.
    pub(super) fn of<B>(request: &Request<B>) -> Option<Self> {
        let uri = request.uri();
        let host = || request.headers().get(header::HOST)?.to_str().ok()?.parse().ok();
        let authority = uri.authority().cloned().or_else(host)?;
        Some(Self { scheme: uri.scheme().cloned().unwrap_or(Scheme::HTTP), authority })
    }

    fn request(&self, path: &str) -> Option<Request<()>> {
        let path = PathAndQuery::try_from(path).ok()?;
        let uri = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
            .ok()?;
        Request::get(uri).body(()).ok()
    }
}

/// A pushed response that has begun. Completes when h2 has all of it or the peer refuses it.
pub(super) struct Pushed {
    flow: Flow,
    bytes: usize,
    deadlines: Timers,
    stall: Duration,
}

impl Pushed {
    pub(super) fn is_sent(&self) -> bool {
        self.flow.is_sent()
    }

    /// Resets the stream, unless all of it was written.
    pub(super) fn cancel(mut self) {
        self.flow.cancel();
    }
}

impl Future for Pushed {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { flow, deadlines, stall, bytes } = &mut *self;
        if flow.poll_send(cx, Last::Yes, deadlines, *stall).is_pending() {
            flow.hold(Kept { all: *bytes, uncharged: 0 });
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}
