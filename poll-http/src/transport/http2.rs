//! HTTP/2, on h2 directly: hyper's server has neither push nor 103, and costs a task a stream.
//!
//! The whole connection is one future. Its streams are futures in it, so that waking thousands of them is one task's poll
//! and their responses leave in few writes. What h2 queues for a stream is bounded ([`flow`]); what a peer may make us
//! hold is bounded by the [`options`] below. Write deadlines are [`timed_io`](crate::transport::timed_io)'s.

mod backlog;
mod content;
mod flow;
mod frame_io;
mod head;
mod liveness;
mod push;
mod settings_frame;
mod stream;
mod traffic;
mod trailers;
mod wait_queue;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, Stream as _};
use h2::server::{self, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::message::allowance::Allowance;
use crate::message::connection_info::{ConnectionInfo, EarlyHints, Peer, Protocol, PushPolicy};
use crate::message::reply::Reply;
use crate::message::request as message;
use crate::message::request_body::RequestBody;
use crate::transport::context::ConnectionContext;
use crate::transport::error::ConnectionError;
use crate::transport::handle::{Begun, Handle, Panicked, begin};
use crate::transport::parts::Parts;
use crate::transport::settings::ConnectionSettings;
use crate::worker::budget;
use crate::worker::drain::WaitDraining;
use crate::worker::metrics::{Cut, Engine, Served};
use crate::worker::timer_wheel::Timer;
use backlog::{Backlog, Queued, SEND_BUFFER};
use content::{Came, Content};
use frame_io::FrameIo;
use head::Wants;
use liveness::{Beat, Liveness, Load};
use push::{Flushed, Origin, Pushed, StreamContext};
use stream::{Asked, Pauses, Stream};
use wait_queue::Ticket;

/// How many streams are polled before their frames are written: thousands that wake at once must not queue all of theirs
/// first.
const SLICE: usize = 256;

/// Responses that were ready at once, and the bytes they hold.
#[derive(Default)]
struct Made {
    answers: Vec<(Reply, SendResponse<Queued>, Asked)>,
    bytes: usize,
}

/// One HTTP/2 connection.
pub(crate) struct Http2<IO, H: Handle> {
    stack: Stack<IO>,
    context: Arc<ConnectionContext>,
    handler: H,
    peer: Peer,
    shared: Arc<StreamContext>,
    /// For the content of all its requests.
    allowance: Arc<Allowance>,
    made: Made,
    stuck: Option<Timer>,
    liveness: Liveness,
    /// `None` once the connection was told.
    draining: Option<WaitDraining>,
    streams: FuturesUnordered<Stream<H::Future>>,
    pushed: FuturesUnordered<Pushed>,
    /// Pushed responses that h2 has and the socket may not have.
    handed: Vec<Pushed>,
    calmed: Calmed,
    /// Counts the connection.
    _served: Served,
}

/// h2 before and after its handshake.
enum Stack<IO> {
    Handshake(Box<server::Handshake<FrameIo<IO>, Queued>>),
    Open(Box<server::Connection<FrameIo<IO>, Queued>>),
}

impl<IO, H> Http2<IO, H>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handle,
{
    pub(crate) fn new(Parts { mut io, peer, handler, context, draining }: Parts<IO, H>) -> Self {
        let settings = &context.settings;
        let liveness = Liveness::new(io.share_state(), Arc::clone(&context));
        let backlog = Backlog::new(io.share_state(), context.memory.clone());
        let shared =
            Arc::new(StreamContext::new(io.share_state(), context.timers.clone(), settings.stall, backlog));
        let allowance = Allowance::of(&context.memory);
        let io = FrameIo::new(io, settings.max_control_frames);
        Self {
            _served: context.metrics.connections().serve(Engine::H2),
            allowance,
            made: Made::default(),
            stuck: None,
            stack: Stack::Handshake(Box::new(options(settings).handshake(io))),
            context,
            handler,
            peer,
            shared,
            liveness,
            draining: Some(draining),
            streams: FuturesUnordered::new(),
            pushed: FuturesUnordered::new(),
            handed: Vec::new(),
            calmed: Calmed::No,
        }
    }

    /// Begins to answer a request. A response that is ready at once is sent when all that has come is read.
    fn accept(&mut self, request: Request<RecvStream>, mut respond: SendResponse<Queued>) {
        let push = self.shared.policy();
        let connection = ConnectionInfo {
            peer: self.peer.address,
            secured: self.peer.secured.clone(),
            protocol: Protocol::Http2,
            push,
            early_hints: EarlyHints::Informational,
            unread: self.shared.backlog.unread(),
            record: self.peer.record.clone(),
        };
        let origin = if push == PushPolicy::Possible { Origin::of(&request).map(Box::new) } else { None };
        let came = (!request.body().is_end_stream()).then(Came::default);
        let (wants, pauses) = (Wants::of(&request), Pauses::of(request.method()));
        let asked = Asked { wants, pauses, origin, came: came.clone(), ticket: Ticket::default() };
        let (head, body) = request.into_parts();
        let body = match came {
            Some(came) => {
                RequestBody::stream_within(Content::new(body, came), Some(Arc::clone(&self.allowance)))
            }
            None => RequestBody::Empty,
        };
        // No waker: a response that is not ready is polled again as a stream of its own.
        let cx = &mut Context::from_waker(Waker::noop());
        match begin(&self.handler, message::Request::new(&head, body), &connection, cx) {
            Ok(Begun::Ready(reply)) => {
                self.made.bytes += reply.body.held();
                self.made.answers.push((reply, respond, asked));
            }
            Ok(Begun::Waiting(future)) => {
                self.streams.push(Stream::new(future, respond, asked, Arc::clone(&self.shared)));
            }
            Err(Panicked) => respond.send_reset(Reason::INTERNAL_ERROR),
        }
    }

    /// Sends the responses that were ready at once.
    fn send_made(&mut self, cx: &mut Context<'_>) {
        for (reply, respond, asked) in std::mem::take(&mut self.made).answers {
            let stream = Stream::begin(cx, reply, respond, asked, Arc::clone(&self.shared));
            self.streams.extend(stream);
        }
    }

    /// Polls streams that were woken, a slice of them; returns whether more may be.
    fn poll_streams(&mut self, cx: &mut Context<'_>) -> Streams {
        while let Poll::Ready(Some(())) = Pin::new(&mut self.pushed).poll_next(cx) {
            self.shared.close(1);
        }
        for _ in 0..SLICE {
            if budget::is_over() {
                return Streams::More;
            }
            match Pin::new(&mut self.streams).poll_next(cx) {
                Poll::Ready(Some(())) => {}
                Poll::Ready(None) | Poll::Pending => return Streams::Waiting,
            }
        }
        Streams::More
    }

    /// Takes over the pushes that streams have begun. Those that h2 has whole are kept until it has written them: it looks
    /// a promised stream up by its number, and a handle keeps that valid.
    fn take_pushed(&mut self) {
        for pushed in self.shared.take_begun() {
            if pushed.is_sent() {
                self.handed.push(pushed);
            } else {
                self.pushed.push(pushed);
            }
        }
    }

    /// h2 is waiting: unless for the socket, it has written all that it may.
    fn look_for_flush(&mut self) {
        if self.shared.is_under_way() && !self.shared.state.is_blocked() {
            self.shared.close(self.handed.len());
            let handed = std::mem::take(&mut self.handed);
            if self.shared.flushed() == Flushed::InPart {
                // h2 would keep a response whose promise was lost for as long as the connection.
                handed.into_iter().for_each(Pushed::cancel);
            }
        }
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        if let Stack::Handshake(handshake) = &mut self.stack {
            let mut open = ready!(Pin::new(&mut **handshake).poll(cx)).map_err(ConnectionError::Http2)?;
            self.liveness.take_ping(open.ping_pong());
            self.stack = Stack::Open(Box::new(open));
        }
        Poll::Ready(Ok(()))
    }

    /// Reads, accepts and writes until none of it goes on.
    fn poll_connection(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        loop {
            let streams = self.poll_streams(cx);
            self.take_pushed();
            let mut accepted = false;
            loop {
                ready!(budget::poll_go_on(cx));
                let Stack::Open(open) = &mut self.stack else { return Poll::Pending };
                if self.shared.backlog.is_crowded(self.made.bytes) {
                    // What there is leaves before more is made.
                    if let Poll::Ready(closed) = open.poll_closed(cx) {
                        return Poll::Ready(closed.map_err(ConnectionError::Http2));
                    }
                    break;
                }
                match open.poll_accept(cx) {
                    Poll::Ready(Some(Ok((request, respond)))) => {
                        if self.shared.policy() == PushPolicy::Possible {
                            self.shared.allow(open.max_concurrent_send_streams());
                        }
                        self.accept(request, respond);
                        self.liveness.used();
                        accepted = true;
                    }
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(ConnectionError::Http2(error))),
                    Poll::Ready(None) => return Poll::Ready(Ok(())),
                    Poll::Pending => break,
                }
            }
            // Before more is sent, which h2 has not written yet.
            self.look_for_flush();
            self.send_made(cx);
            let woken = self.shared.backlog.wake();
            if !woken && !accepted && streams == Streams::Waiting {
                return Poll::Pending;
            }
        }
    }

    /// Ready when h2 has held for the stall limit what the socket would take: the peer has shrunk windows that it had
    /// opened. A stream whose response is all with h2 has no deadline of its own.
    fn poll_stuck(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.shared.backlog.is_stuck() {
            self.stuck = None;
            return Poll::Pending;
        }
        let shared = &self.shared;
        let timer = self.stuck.get_or_insert_with(|| {
            let mut timer = shared.deadlines.timer();
            timer.set(Instant::now() + shared.stall);
            timer
        });
        timer.poll(cx)
    }

    fn load(&self) -> Load {
        let ended = self.streams.is_empty() && self.pushed.is_empty();
        // A response has ended once h2 has it, and its peer may yet have to take it.
        if ended && !self.shared.backlog.is_unsent() { Load::None } else { Load::Streams }
    }

    /// A peer that closes the socket after our GOAWAY has done what it was asked to.
    fn forgive(&self, error: ConnectionError) -> Result<(), ConnectionError> {
        match error {
            ConnectionError::Http2(error)
                if error.is_io() && self.liveness.is_closing() && self.load() == Load::None =>
            {
                Ok(())
            }
            error => Err(error),
        }
    }

    /// Sends GOAWAY to a peer that sends more control frames than it may; returns whether it did so now.
    fn calm(&mut self) -> Calmed {
        let Stack::Open(open) = &mut self.stack else { return Calmed::No };
        if !self.shared.state.is_overrun() || self.calmed == Calmed::Yes {
            return Calmed::No;
        }
        self.calmed = Calmed::Yes;
        self.context.metrics.cut(Cut::ControlFrames);
        open.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        Calmed::Yes
    }

    fn shut_down(&mut self) {
        if let Stack::Open(open) = &mut self.stack {
            open.graceful_shutdown();
        }
    }
}

/// Whether a peer was sent ENHANCE_YOUR_CALM.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Calmed {
    Yes,
    No,
}

#[derive(PartialEq, Eq)]
enum Streams {
    More,
    Waiting,
}

/// Nothing in it is pinned in place.
impl<IO, H: Handle> Unpin for Http2<IO, H> {}

impl<IO, H> Future for Http2<IO, H>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handle,
{
    type Output = Result<(), ConnectionError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            if self.poll_handshake(cx)?.is_ready()
                && let Poll::Ready(result) = self.poll_connection(cx)
            {
                return Poll::Ready(match self.calmed {
                    Calmed::Yes => Err(ConnectionError::ControlFrames),
                    Calmed::No => result.or_else(|error| self.forgive(error)),
                });
            }
            if self.calm() == Calmed::Yes {
                continue;
            }
            if self.poll_stuck(cx).is_ready() {
                return Poll::Ready(Err(ConnectionError::Stuck));
            }
            let load = self.load();
            match self.liveness.poll(cx, load) {
                Poll::Ready(Beat::Ping) => continue,
                Poll::Ready(Beat::Idle) => {
                    self.shut_down();
                    continue;
                }
                Poll::Ready(Beat::Closed) => return Poll::Ready(Ok(())),
                Poll::Ready(Beat::Silent) => return Poll::Ready(Err(ConnectionError::Silent)),
                Poll::Pending => {}
            }
            // A connection in its handshake has nothing to finish; it is told once it is open.
            let Stack::Open(_) = self.stack else { return Poll::Pending };
            let Some(draining) = &mut self.draining else { return Poll::Pending };
            ready!(Pin::new(draining).poll(cx));
            self.draining = None;
            self.liveness.close();
            // GOAWAY; open streams go on to their end.
            self.shut_down();
        }
    }
}

/// h2's options.
fn options(settings: &ConnectionSettings) -> server::Builder {
    let mut builder = server::Builder::new();
    let streams = settings.max_streams;
    builder
        // One more is refused by RST_STREAM, which a client may retry.
        .max_concurrent_streams(streams)
        // Over it h2 answers 431 itself and resets the stream.
        .max_header_list_size(u32::try_from(settings.max_head_bytes).unwrap_or(u32::MAX))
        // The protocol's own: a stream's body is read as it comes, and most are a few hundred bytes.
        .initial_window_size(65_535)
        // What a peer can make us hold of unread bodies, over all its streams.
        .initial_connection_window_size(256 * 1024)
        // The protocol's smallest: large frames let one body hold up the others.
        .max_frame_size(16 * 1024)
        // Compression state a connection; what all peers implement.
        .header_table_size(4096)
        // Bounds the queue of each stream.
        .max_send_buffer_size(SEND_BUFFER)
        // Streams that we reset are remembered for a moment, so that frames already under way are no error. Few and
        // short, because each is memory that a peer can make us spend.
        .max_concurrent_reset_streams(50)
        .reset_stream_duration(Duration::from_secs(1))
        // Rapid reset (CVE-2023-44487): streams that the peer resets before they were even looked at. Ours are
        // looked at in the turn in which they come, so a few is plenty.
        .max_pending_accept_reset_streams(20)
        // The same with malformed frames: streams that a peer makes us reset, over the connection's life.
        .max_local_error_reset_streams(Some(1024))
        // Unread DATA frames under 256 bytes (RUSTSEC-2026-0258), of which each costs 256 of this. Publishers send
        // small bodies on all their streams at once, and h2 reads all that is there before a handler sees any; its
        // default would close the connection at 168 frames. Four a stream are affordable.
        .data_frame_budget((streams as usize).clamp(100, 4096) * 4 * 256);
    builder
}
