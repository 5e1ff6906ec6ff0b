//! The access log: one record for each request, made when its answer has ended.
//!
//! Whatever works on the answer to a logged request holds its [`Entry`]: the client that waits, the reader of a stream, the
//! body. The last of them to go drops it, and that makes the record; so no way in which an answer can end is forgotten, and
//! none has to know of the others. Without a log every handle is empty.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Method, StatusCode};
use poll_core::{ChannelName, Charge, Kind, Memory};
use tokio::time::Instant;

use crate::message::connection_info::Protocol;
use crate::message::request_id::RequestId;
use crate::message::trace_context::TraceContext;

/// Receives the records. Called on the worker's thread, so it should not block.
pub type AccessLog = Arc<dyn Fn(&AccessRecord<'_>) + Send + Sync>;

/// How much of a path is kept, in bytes.
const MOST_PATH: usize = 1024;

/// What became of a request.
pub struct AccessRecord<'a> {
    /// `X-Request-Id`, as given back.
    pub id: &'a dyn fmt::Display,
    /// `traceparent`, if the request came with a valid one.
    pub trace: Option<TraceContext>,
    /// The client's address: the peer's, or what a trusted proxy says.
    pub client: IpAddr,
    /// Its method.
    pub method: &'a str,
    /// Its path as it was sent, without the query, which may hold a token; at most 1024 bytes of it.
    pub path: &'a str,
    /// Its version.
    pub protocol: Protocol,
    /// The answer's status; `None` if there was no answer.
    pub status: Option<StatusCode>,
    /// By which pattern it was answered; `None` where it was not, or by a resource without a channel.
    pub pattern: Option<&'static str>,
    /// The channel that was read or published to; of several, the first.
    pub channel: Option<&'a str>,
    /// How many channels.
    pub channels: usize,
    /// How many messages it was given.
    pub delivered: u64,
    /// The length of the answer's body in bytes, if it was known beforehand.
    pub bytes: Option<u64>,
    /// From the request's head to the end of its answer.
    pub took: Duration,
    /// How the answer ended.
    pub end: AnswerEnd,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerEnd {
    /// All of it was written.
    Complete,
    /// The same, of a stream whose channel has ended.
    Closed,
    /// The same, of a stream that the drain of the server ended.
    Draining,
    /// The same, of a stream whose token expired.
    Unauthorized,
    /// A stream was broken off, because there was no memory for it or its messages could not be read.
    Broken,
    /// The client left before, or did not read.
    Gone,
}

impl fmt::Debug for AccessRecord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, method, path, status, .. } = self;
        write!(f, "AccessRecord({id} {method} {path} {status:?})")
    }
}

impl AnswerEnd {
    /// One word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Closed => "closed",
            Self::Draining => "draining",
            Self::Unauthorized => "unauthorized",
            Self::Broken => "broken",
            Self::Gone => "gone",
        }
    }
}

/// A request that is logged, if it is.
#[derive(Clone, Default)]
pub(crate) struct Logged(Option<Arc<Entry>>);

/// What is known of the request when it arrives.
pub(crate) struct Arrived<'a> {
    pub(crate) id: RequestId,
    pub(crate) trace: Option<TraceContext>,
    pub(crate) client: IpAddr,
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) protocol: Protocol,
}

struct Entry {
    log: AccessLog,
    began: Instant,
    id: RequestId,
    trace: Option<TraceContext>,
    client: IpAddr,
    method: Method,
    path: Box<str>,
    protocol: Protocol,
    delivered: AtomicU64,
    noted: Mutex<Noted>,
    _charge: Charge,
}

/// What becomes known later.
#[derive(Default)]
struct Noted {
    status: Option<StatusCode>,
    pattern: Option<&'static str>,
    channel: Option<ChannelName>,
    channels: usize,
    bytes: Option<u64>,
    written: bool,
    end: Option<AnswerEnd>,
}

impl Logged {
    /// Begins to follow a request.
    pub(crate) fn begin(log: &AccessLog, memory: &Memory, arrived: Arrived<'_>) -> Self {
        let Arrived { id, trace, client, method, path, protocol } = arrived;
        // A path that is no text is 400 in any case; what is there of it is ASCII.
        let path = path.get(..path.len().min(MOST_PATH)).unwrap_or_default();
        let bytes = (size_of::<Entry>() + path.len()) as u64;
        Self(Some(Arc::new(Entry {
            log: log.clone(),
            began: Instant::now(),
            id,
            trace,
            client,
            method: method.clone(),
            path: path.into(),
            protocol,
            delivered: AtomicU64::new(0),
            noted: Mutex::default(),
            _charge: memory.charge_unbounded(Kind::Names, bytes),
        })))
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// So many messages were given to the client.
    pub(crate) fn delivered(&self, messages: u64) {
        if let Some(entry) = &self.0 {
            entry.delivered.fetch_add(messages, Ordering::Relaxed);
        }
    }

    /// The request is answered by this pattern.
    pub(crate) fn pattern(&self, pattern: &'static str) {
        self.note(|noted| noted.pattern = Some(pattern));
    }

    /// The request reads these channels, or publishes to them.
    pub(crate) fn channels(&self, channels: &[ChannelName]) {
        self.note(|noted| (noted.channel, noted.channels) = (channels.first().cloned(), channels.len()));
    }

    /// The head of the answer, and the length of its body.
    pub(crate) fn answered(&self, status: StatusCode, bytes: Option<u64>) {
        self.note(|noted| (noted.status, noted.bytes) = (Some(status), bytes));
    }

    /// All of the answer is written.
    pub(crate) fn written(&self) {
        self.note(|noted| noted.written = true);
    }

    /// Why a stream ends.
    pub(crate) fn ends(&self, end: AnswerEnd) {
        self.note(|noted| noted.end = Some(end));
    }

    fn note(&self, note: impl FnOnce(&mut Noted)) {
        if let Some(entry) = &self.0 {
            note(&mut entry.noted());
        }
    }
}

impl Entry {
    fn noted(&self) -> MutexGuard<'_, Noted> {
        // Nothing panics while it is held.
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let noted = std::mem::take(&mut *self.noted());
        let end = match (noted.written, noted.end) {
            (_, Some(AnswerEnd::Broken)) => AnswerEnd::Broken,
            (true, end) => end.unwrap_or(AnswerEnd::Complete),
            (false, _) => AnswerEnd::Gone,
        };
        (self.log)(&AccessRecord {
            id: &self.id,
            trace: self.trace,
            client: self.client,
            method: self.method.as_str(),
            path: &self.path,
            protocol: self.protocol,
            status: noted.status,
            pattern: noted.pattern,
            channel: noted.channel.as_ref().map(ChannelName::as_str),
            channels: noted.channels,
            delivered: self.delivered.load(Ordering::Relaxed),
            bytes: noted.bytes,
            took: self.began.elapsed(),
            end,
        });
    }
}

impl fmt::Debug for Logged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_on() { "Logged" } else { "NotLogged" })
    }
}
