//! Server push (RFC 9113, section 8.4): promises, their answers, and how many may be open.
//!
//! The peer bounds pushed streams by its settings; what does not fit is sent inline by the caller. A pushed answer that
//! waits for its window is a future of the connection, so it holds up nobody; a peer that refuses one resets it, which
//! merely ends that future.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Request, Uri, header};

use super::flow::{Flow, Last};
use super::head;
use crate::connection::PushPolicy;
use crate::deadline::Deadlines;
use crate::link::Link;

/// Pushed answers open at once on a connection, whatever more its peer would take: each holds its body until the
/// window takes it.
const MOST: usize = 100;

/// What the streams of a connection share.
pub(super) struct Lane {
    pub(super) link: Arc<Link>,
    pub(super) deadlines: Deadlines,
    pub(super) stall: Duration,
    /// Pushed answers that are open.
    open: AtomicUsize,
    /// How many may be: the peer's `SETTINGS_MAX_CONCURRENT_STREAMS`, at most [`MOST`].
    most: AtomicUsize,
    /// Begun in the current turn; the connection takes them over. Held for a push or a take.
    begun: Mutex<Vec<Pushed>>,
}

/// Where a request was sent to, for the requests that are promised with its answer.
pub(super) struct Origin {
    scheme: Scheme,
    authority: Authority,
}

/// A promise could not be made.
pub(super) struct Declined;

impl Lane {
    pub(super) fn new(link: Arc<Link>, deadlines: Deadlines, stall: Duration) -> Self {
        let begun = Mutex::new(Vec::new());
        Self { link, deadlines, stall, open: AtomicUsize::new(0), most: AtomicUsize::new(0), begun }
    }

    /// Whether the peer's settings allow push.
    pub(super) fn policy(&self) -> PushPolicy {
        self.link.push().unwrap_or(PushPolicy::Off)
    }

    /// The peer allows `peer` pushed streams at once.
    pub(super) fn allow(&self, peer: usize) {
        self.most.store(peer.min(MOST), Ordering::Relaxed);
    }

    pub(super) fn has_place(&self) -> bool {
        self.policy() == PushPolicy::Possible
            && self.open.load(Ordering::Relaxed) < self.most.load(Ordering::Relaxed)
    }

    /// Promises `path` on the stream of `respond` and begins its answer.
    pub(super) fn push(
        &self,
        respond: &mut SendResponse<Bytes>,
        origin: &Origin,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<(), Declined> {
        if !self.has_place() {
            return Err(Declined);
        }
        let request = origin.request(path).ok_or(Declined)?;
        let mut promised = respond.push_request(request).map_err(|error| {
            // Not the peer's fault and not a lost stream: its later settings have switched push off.
            if !error.is_reset() && !error.is_io() && !error.is_go_away() {
                self.link.set_push(PushPolicy::Off);
            }
            Declined
        })?;
        self.open.fetch_add(1, Ordering::Relaxed);
        let response = head::pushed(headers, body.len());
        let flow = promised.send_response(response, body.is_empty()).ok().map(|stream| {
            let mut flow = Flow::new(stream);
            flow.give(body);
            // Now, so that promise, head and body go in one write. A failure shows again when it is polled.
            let _ = flow.send_some(Last::Yes);
            flow
        });
        if let Some(flow) = flow {
            let pushed = Pushed { flow, deadlines: self.deadlines.clone(), stall: self.stall };
            self.begun.lock().unwrap_or_else(PoisonError::into_inner).push(pushed);
        } else {
            // Promised, but the stream is gone already.
            self.close(1);
        }
        Ok(())
    }

    pub(super) fn take_begun(&self) -> Vec<Pushed> {
        std::mem::take(&mut *self.begun.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// `count` pushed answers have ended.
    pub(super) fn close(&self, count: usize) {
        self.open.fetch_sub(count, Ordering::Relaxed);
    }
}

impl Origin {
    /// `None` when the request does not say where it goes.
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

/// A pushed answer that has begun. Completes when all of it is handed over or the peer refuses it.
pub(super) struct Pushed {
    flow: Flow,
    deadlines: Deadlines,
    stall: Duration,
}

impl Pushed {
    pub(super) fn is_sent(&self) -> bool {
        self.flow.is_sent()
    }
}

impl Future for Pushed {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { flow, deadlines, stall } = &mut *self;
        flow.poll_send(cx, Last::Yes, deadlines, *stall).map(|_| ())
    }
}
