//! What operators see of the open connections of a server: who has one, what it does, and how to cut it.
//!
//! Kept only where there is administration: the acceptor of a connection asks for its record then, and without one each
//! request tests an empty handle. A record is written by its own connection, on one thread, and read where they are
//! listed. Bounded by the number of connections. Not here: which requests read it, and how it is written (`admin`).

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use poll_core::ChannelName;
use poll_core::environment::KeyedMap;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// How many random bits the number before the first connection's has. Enough that other servers of a cluster, and earlier
/// processes, have other numbers, and few enough that JavaScript represents each exactly.
const FIRST_BITS: u32 = 40;

/// The open connections that have a record.
pub(crate) struct Connections {
    /// The number of the last connection.
    numbers: AtomicU64,
    /// Locked to open, close, cut, and list a page.
    open: Mutex<BTreeMap<u64, ConnectionRecord>>,
}

/// The record of an open connection; it is removed when this is dropped.
#[must_use = "the connection is listed for as long as this is held"]
pub struct OpenRecord {
    connections: Arc<Connections>,
    record: ConnectionRecord,
}

/// What is known of a connection. A clone is the same record.
#[derive(Clone)]
pub struct ConnectionRecord(Arc<Record>);

struct Record {
    id: u64,
    peer: SocketAddr,
    opened: Instant,
    requests: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    /// Locked for a few stores.
    noted: Mutex<Noted>,
}

/// What is learned as it goes on.
#[derive(Default)]
struct Noted {
    service: Service,
    security: Security,
    protocol: Option<&'static str>,
    client: Option<Arc<str>>,
    address: Option<IpAddr>,
    waits: KeyedMap<WaitKey, usize>,
}

/// What serves a connection.
#[derive(Default)]
enum Service {
    /// Its task is about to be spawned.
    #[default]
    None,
    Task(AbortHandle),
    /// An operator cut it.
    Cut,
}

/// Whether a connection is encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Security {
    /// Not known before its handshake.
    #[default]
    Unknown,
    Plain,
    Tls,
}

/// What a request waits for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct WaitKey {
    pattern: &'static str,
    channel: ChannelName,
    channels: usize,
}

/// Requests of a connection that wait for the same.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WaitState {
    pub(crate) pattern: &'static str,
    /// The first of their channels…
    pub(crate) channel: ChannelName,
    /// … and how many there are.
    pub(crate) channels: usize,
    pub(crate) requests: usize,
}

/// A connection at a moment.
pub(crate) struct RecordState {
    pub(crate) id: u64,
    pub(crate) peer: SocketAddr,
    /// The address of the last client that limits counted.
    pub(crate) address: Option<IpAddr>,
    pub(crate) client: Option<Arc<str>>,
    /// Of the last request.
    pub(crate) protocol: Option<&'static str>,
    pub(crate) security: Security,
    pub(crate) age: Duration,
    pub(crate) requests: u64,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    /// All that wait.
    pub(crate) waiting: usize,
    /// Some of them, by pattern and channel.
    pub(crate) waits: Vec<WaitState>,
}

impl Connections {
    /// No connections yet. Numbering begins at `random`, so that a request to cut a connection finds none if it reaches another
    /// server.
    pub(crate) fn new(random: u64) -> Self {
        Self { numbers: AtomicU64::new(random >> (u64::BITS - FIRST_BITS)), open: Mutex::default() }
    }

    /// Lists a connection from now on.
    pub(crate) fn open(self: &Arc<Self>, peer: SocketAddr) -> OpenRecord {
        let id = self.numbers.fetch_add(1, Ordering::Relaxed) + 1;
        let record = ConnectionRecord(Arc::new(Record {
            id,
            peer,
            opened: Instant::now(),
            requests: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            noted: Mutex::default(),
        }));
        self.opened().insert(id, record.clone());
        OpenRecord { connections: Arc::clone(self), record }
    }

    /// The first `limit` of those whose numbers are greater than `after`, and whether there are more.
    pub(crate) fn page(&self, after: u64, limit: usize) -> (Vec<ConnectionRecord>, Rest) {
        let open = self.opened();
        let mut records = open.range(after.saturating_add(1)..).map(|(_, record)| record.clone());
        let page: Vec<_> = records.by_ref().take(limit).collect();
        let rest = if records.next().is_some() { Rest::More } else { Rest::None };
        (page, rest)
    }

    /// Removes a connection from the list, if it is there.
    pub(crate) fn remove(&self, id: u64) -> Option<ConnectionRecord> {
        self.opened().remove(&id)
    }

    fn opened(&self) -> MutexGuard<'_, BTreeMap<u64, ConnectionRecord>> {
        // Nothing panics while it is held.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a page is the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    More,
    None,
}

impl OpenRecord {
    /// The record, for the connection's [`Peer`](crate::Peer) and for whatever counts its bytes.
    #[must_use]
    pub fn record(&self) -> &ConnectionRecord {
        &self.record
    }
}

impl Drop for OpenRecord {
    fn drop(&mut self) {
        let _cut_before = self.connections.remove(self.record.0.id);
    }
}

impl ConnectionRecord {
    /// The task that serves the connection: ending it is how the connection is cut.
    pub fn served_by(&self, task: AbortHandle) {
        let mut noted = self.noted();
        if matches!(noted.service, Service::Cut) {
            drop(noted);
            task.abort();
        } else {
            noted.service = Service::Task(task);
        }
    }

    /// So many bytes came from the peer. Called by the connection's own task.
    pub fn received(&self, bytes: usize) {
        add(&self.0.received, bytes as u64);
    }

    /// So many bytes went to the peer. Called by the connection's own task.
    pub fn sent(&self, bytes: usize) {
        add(&self.0.sent, bytes as u64);
    }

    /// The connection begins to speak HTTP.
    pub(crate) fn begin(&self, security: Security, client: Option<Arc<str>>) {
        let mut noted = self.noted();
        (noted.security, noted.client) = (security, client);
    }

    /// A request came.
    pub(crate) fn request(&self, protocol: &'static str) {
        add(&self.0.requests, 1);
        self.noted().protocol = Some(protocol);
    }

    /// Who the limits take its client for.
    pub(crate) fn client(&self, name: Option<&Arc<str>>, address: IpAddr) {
        let mut noted = self.noted();
        if name.is_some() {
            noted.client = name.cloned();
        }
        noted.address = Some(address);
    }

    /// A request begins to wait on channels.
    pub(crate) fn wait(&self, pattern: &'static str, channels: &[ChannelName]) {
        let Some(key) = WaitKey::of(pattern, channels) else { return };
        *self.noted().waits.entry(key).or_default() += 1;
    }

    /// It does no longer.
    pub(crate) fn end_wait(&self, pattern: &'static str, channels: &[ChannelName]) {
        let Some(key) = WaitKey::of(pattern, channels) else { return };
        let mut noted = self.noted();
        if let Some(requests) = noted.waits.get_mut(&key) {
            *requests -= 1;
            if *requests == 0 {
                noted.waits.remove(&key);
            }
        }
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.0.peer
    }

    /// Whether it is the record of this connection.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }

    /// Cuts the connection: what it answers and waits for is dropped, and its socket is closed.
    pub(crate) fn cut(&self) {
        let service = std::mem::replace(&mut self.noted().service, Service::Cut);
        if let Service::Task(task) = service {
            task.abort();
        }
    }

    /// How it stands, with at most so many groups of what waits.
    pub(crate) fn state(&self, most_waits: usize) -> RecordState {
        let Record { id, peer, opened, requests, received, sent, .. } = &*self.0;
        let noted = self.noted();
        let waits = noted.waits.iter().take(most_waits).map(|(key, requests)| {
            let WaitKey { pattern, channel, channels } = key.clone();
            WaitState { pattern, channel, channels, requests: *requests }
        });
        let mut waits: Vec<_> = waits.collect();
        waits.sort_unstable_by(|a, b| (a.pattern, &a.channel).cmp(&(b.pattern, &b.channel)));
        RecordState {
            id: *id,
            peer: *peer,
            address: noted.address,
            client: noted.client.clone(),
            protocol: noted.protocol,
            security: noted.security,
            age: opened.elapsed(),
            requests: requests.load(Ordering::Relaxed),
            received: received.load(Ordering::Relaxed),
            sent: sent.load(Ordering::Relaxed),
            waiting: noted.waits.values().sum(),
            waits,
        }
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        // Nothing panics while it is held.
        self.0.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WaitKey {
    fn of(pattern: &'static str, channels: &[ChannelName]) -> Option<Self> {
        Some(Self { pattern, channel: channels.first()?.clone(), channels: channels.len() })
    }
}

/// Of one writer, so it needs no locked instruction.
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("open", &self.opened().len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for OpenRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OpenRecord").field(&self.record).finish()
    }
}

impl fmt::Debug for ConnectionRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionRecord({} {})", self.0.id, self.0.peer)
    }
}

impl PartialEq for ConnectionRecord {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ConnectionRecord {}
