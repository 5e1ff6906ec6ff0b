//! A whole server in memory for the service's tests: pipes for sockets, paused time for a clock.
//!
//! Its time of day follows tokio's paused time, so a test that waits for a minute takes none, and a wait ends at
//! exactly the millisecond it should. The HTTP/1.1 client is written out by hand, because what is tested is what
//! stands on the wire.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use poll_core::environment::Environment;
use poll_core::journal::MemoryJournal;
use poll_core::{ChannelName, Kind, Memory, Payload, Publish, Retention, Store, Timestamp};
use poll_http::{
    AccessRecord, Ask, Authority, Builder, ConnectionError, ConnectionSettings, Drain, Metrics, Peer,
    Refusal, Service, ServiceSettings, WebhookClient, serve,
};
use prometheus_client::registry::Registry;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// When every test begins, in milliseconds since the epoch.
pub(crate) const BEGIN: u64 = 1_795_214_978_000;

/// Whence connections come, if nothing else is said.
pub(crate) const ADDRESS: [u8; 4] = [192, 0, 2, 1];

/// A server and its time. A clone is the same one.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) service: Service,
    pub(crate) store: Store,
    pub(crate) drain: Drain,
    time: Arc<Time>,
    registry: Arc<Registry>,
}

struct Time {
    begun: Instant,
    /// How far the clock was set, in microseconds.
    set: AtomicI64,
    /// Reading it panics.
    broken: AtomicBool,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(ServiceSettings::default(), Retention::default())
    }

    pub(crate) fn set(settings: ServiceSettings) -> Self {
        Self::with(settings, Retention::default())
    }

    pub(crate) fn retaining(retention: Retention) -> Self {
        Self::with(ServiceSettings::default(), retention)
    }

    pub(crate) fn with(settings: ServiceSettings, retention: Retention) -> Self {
        let time = Time::begun();
        Self::build(settings, Store::in_memory(retention), time)
    }

    /// With so many bytes for what is kept beside the log.
    pub(crate) fn budgeted(memory: u64) -> Self {
        Self::budgeted_with(memory, ServiceSettings::default())
    }

    pub(crate) fn budgeted_with(memory: u64, settings: ServiceSettings) -> Self {
        let store = Store::with_memory(Arc::new(MemoryJournal), Retention::default(), Memory::new(memory));
        Self::build(settings, store, Time::begun())
    }

    /// A server whose store is `store`.
    pub(crate) fn over(store: Store) -> Self {
        Self::over_with(ServiceSettings::default(), store)
    }

    pub(crate) fn over_with(settings: ServiceSettings, store: Store) -> Self {
        Self::build(settings, store, Time::begun())
    }

    /// A server whose program checks what is asked.
    pub(crate) fn checked(
        check: impl Fn(&http::request::Parts, Ask<'_>) -> Result<(), Refusal> + Send + Sync + 'static,
    ) -> Self {
        let store = Store::in_memory(Retention::default());
        Self::build_with(ServiceSettings::default(), store, Time::begun(), |builder| builder.check(check))
    }

    /// A server whose tokens somebody else judges.
    pub(crate) fn judged(settings: ServiceSettings, authority: impl Authority) -> Self {
        let store = Store::in_memory(Retention::default());
        Self::build_with(settings, store, Time::begun(), |builder| builder.authority(authority))
    }

    /// A server that logs requests.
    pub(crate) fn logging(
        settings: ServiceSettings,
        log: impl Fn(&AccessRecord<'_>) + Send + Sync + 'static,
    ) -> Self {
        let store = Store::in_memory(Retention::default());
        Self::build_with(settings, store, Time::begun(), |builder| builder.access_log(log))
    }

    fn build(settings: ServiceSettings, store: Store, time: Arc<Time>) -> Self {
        Self::build_with(settings, store, time, |builder| builder)
    }

    fn build_with(
        settings: ServiceSettings,
        store: Store,
        time: Arc<Time>,
        more: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        let drain = Drain::new();
        let (metrics, mut registry) = (Metrics::new(), Registry::default());
        metrics.register(&mut registry);
        let told = time.clone();
        let builder = Service::builder(store.clone())
            .settings(settings)
            .metrics(metrics)
            .drain(drain.clone())
            .environment(Environment::system().with_clock(move || told.now()));
        let service = more(builder).build();
        tokio::spawn(service.drive());
        Self { service, store, drain, time, registry: Arc::new(registry) }
    }

    /// A server whose streams can be subscribed to.
    pub(crate) fn subscribed(settings: ServiceSettings, store: Store, webhooks: impl WebhookClient) -> Self {
        let world =
            Self::build_with(settings, store, Time::begun(), |builder| builder.subscriptions(webhooks));
        tokio::spawn(world.service.run_subscriptions());
        world
    }

    /// The same place after a restart: what was in memory is gone, time goes on.
    pub(crate) fn restarted(&self) -> Self {
        let store = Store::in_memory(Retention::default());
        Self::build(ServiceSettings::default(), store, self.time.clone())
    }

    /// Another server over the same log.
    pub(crate) fn beside(&self, settings: ServiceSettings) -> Self {
        Self::build(settings, self.store.clone(), self.time.clone())
    }

    /// Another worker of the same server.
    pub(crate) fn worker(&self) -> Self {
        let service = self.service.for_worker();
        tokio::spawn(service.drive());
        Self { service, ..self.clone() }
    }

    /// The time of day.
    pub(crate) fn now(&self) -> Timestamp {
        self.time.now()
    }

    pub(crate) fn millis(&self) -> u64 {
        self.now().as_millis()
    }

    /// Sets the clock; what waits does not notice.
    pub(crate) fn set_clock(&self, micros: i64) {
        self.time.set.fetch_add(micros, Ordering::Relaxed);
    }

    /// From now on reading the clock panics.
    pub(crate) fn break_clock(&self) {
        self.time.broken.store(true, Ordering::Relaxed);
    }

    /// A metric's sample, by the beginning of its line.
    pub(crate) fn metric(&self, sample: &str) -> u64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(sample));
        line.map_or(0, |rest| rest.trim().parse().unwrap())
    }

    /// Bytes on the account.
    pub(crate) fn used(&self, kind: Kind) -> u64 {
        self.store.memory().used(kind)
    }

    /// Lets others run until nothing of a kind is on the account.
    pub(crate) async fn until_released(&self, kind: Kind) {
        for _ in 0..100_000 {
            if self.used(kind) == 0 {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("{} bytes of {kind:?} stay on the account", self.used(kind));
    }

    /// Requests that were refused for want of memory, and streams that broke off.
    pub(crate) fn refused_for_memory(&self) -> u64 {
        self.metric("poll_refused_total{reason=\"memory\"}")
    }

    /// All readers that wait for a message, by the server's own count.
    pub(crate) fn waiters(&self) -> u64 {
        ["long", "stream", "push", "cold"]
            .map(|pattern| self.metric(&format!("poll_waiters{{pattern=\"{pattern}\"}}")))
            .iter()
            .sum()
    }

    /// Lets others run until so many wait. No time passes.
    pub(crate) async fn until_waiting(&self, count: u64) {
        for _ in 0..100_000 {
            if self.waiters() == count {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("{} wait, not {count}", self.waiters());
    }

    /// Lets others run until so many are registered in channels.
    pub(crate) async fn until_registered(&self, count: usize) {
        for _ in 0..100_000 {
            if self.store.notifier().waiting() == count {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("{} are registered, not {count}", self.store.notifier().waiting());
    }

    /// A new connection.
    pub(crate) fn connect(&self) -> Wire {
        self.connect_from(ADDRESS)
    }

    pub(crate) fn connect_from(&self, address: [u8; 4]) -> Wire {
        self.connect_through(1 << 22, address)
    }

    /// A connection on which no more than `capacity` bytes are ever on their way.
    pub(crate) fn connect_through(&self, capacity: usize, address: [u8; 4]) -> Wire {
        self.connect_over(capacity, address, |server| server)
    }

    /// The same with a socket of one's own making above the server's end.
    pub(crate) fn connect_over<IO>(
        &self,
        capacity: usize,
        address: [u8; 4],
        socket: impl FnOnce(DuplexStream) -> IO,
    ) -> Wire
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (io, server) = tokio::io::duplex(capacity);
        Wire { io, unread: Vec::new(), served: self.spawn(socket(server), address) }
    }

    /// Serves a connection in a task, and lists it for operators, if there are any.
    fn spawn<IO>(&self, io: IO, address: [u8; 4]) -> JoinHandle<()>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let peer = SocketAddr::from((address, 4711));
        let listed = self.service.list_connection(peer);
        let record = listed.as_ref().map(|listed| listed.record().clone());
        let context = Arc::new(self.service.connections(ConnectionSettings::default()));
        let from = Peer { record: record.clone(), ..Peer::from(peer) };
        let served = serve(io, from, self.service.clone(), context);
        let task = tokio::spawn(async move {
            drop(served.await);
            drop(listed);
        });
        record.iter().for_each(|record| record.served_by(task.abort_handle()));
        task
    }

    /// The server's side of a connection from `address`.
    fn serve<IO>(
        &self,
        io: IO,
        address: [u8; 4],
    ) -> impl Future<Output = Result<(), ConnectionError>> + Send + use<IO>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let context = Arc::new(self.service.connections(ConnectionSettings::default()));
        let peer = SocketAddr::from((address, 4711));
        serve(io, peer, self.service.clone(), context)
    }

    /// A connection, and how often its server side is polled.
    pub(crate) fn connect_counted(&self) -> (Wire, Arc<AtomicUsize>) {
        let (io, server) = tokio::io::duplex(1 << 22);
        let (polls, mut served) = (Arc::new(AtomicUsize::new(0)), Box::pin(self.serve(server, ADDRESS)));
        let counted = polls.clone();
        let served = poll_fn(move |cx| {
            counted.fetch_add(1, Ordering::Relaxed);
            served.as_mut().poll(cx).map(drop)
        });
        (Wire { io, unread: Vec::new(), served: tokio::spawn(served) }, polls)
    }

    /// A new HTTP/2 connection.
    pub(crate) async fn connect_http2(
        &self,
        builder: &h2::client::Builder,
    ) -> h2::client::SendRequest<Bytes> {
        self.connect_http2_through(1 << 20, builder).await
    }

    /// The same with no more than `capacity` bytes on their way.
    pub(crate) async fn connect_http2_through(
        &self,
        capacity: usize,
        builder: &h2::client::Builder,
    ) -> h2::client::SendRequest<Bytes> {
        let (io, server) = tokio::io::duplex(capacity);
        self.spawn(server, ADDRESS);
        let (requests, connection) = builder.handshake(io).await.unwrap();
        tokio::spawn(connection);
        requests
    }

    /// One request on a connection of its own, and the whole answer.
    pub(crate) async fn ask(
        &self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut wire = self.connect();
        wire.send(method, target, fields, body).await;
        wire.answer_to(method).await
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, &[], b"").await
    }

    pub(crate) async fn post(&self, target: &str, content_type: &str, body: &str) -> Answer {
        self.ask("POST", target, &[("content-type", content_type)], body.as_bytes()).await
    }

    /// Publishes a text by the native door and gives the answer's JSON.
    pub(crate) async fn publish(&self, channel: &str, text: &str) -> Value {
        let answer = self.post(&format!("/api/message?channel={channel}"), "text/plain", text).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    }

    /// Publishes texts to a channel, not by HTTP.
    pub(crate) async fn fill(&self, channel: &str, count: usize, text: &str) {
        let channel = ChannelName::parse(channel).unwrap();
        for _ in 0..count {
            let publish = Publish::one(Payload::text(text.to_owned()));
            self.store.publish(self.now(), &channel, publish).await.unwrap();
        }
    }

    /// A GET that may take its time.
    pub(crate) fn later(&self, target: &str) -> JoinHandle<Answer> {
        let (world, target) = (self.clone(), target.to_owned());
        tokio::spawn(async move { world.get(&target).await })
    }
}

impl Time {
    fn begun() -> Arc<Self> {
        Arc::new(Self { begun: Instant::now(), set: AtomicI64::new(0), broken: AtomicBool::new(false) })
    }

    fn now(&self) -> Timestamp {
        assert!(!self.broken.load(Ordering::Relaxed), "a broken clock, as ordered");
        let passed = i64::try_from(self.begun.elapsed().as_micros()).unwrap();
        let micros = passed + self.set.load(Ordering::Relaxed);
        Timestamp::from_micros((BEGIN * 1_000).checked_add_signed(micros).unwrap())
    }
}

/// The client's end of a connection.
pub(crate) struct Wire {
    io: DuplexStream,
    unread: Vec<u8>,
    served: JoinHandle<()>,
}

/// An answer as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Wire {
    pub(crate) async fn send(&mut self, method: &str, target: &str, fields: &[(&str, &str)], body: &[u8]) {
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str("Host: poll.test\r\n");
        }
        for (name, value) in fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || method == "POST" {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        self.send_raw(&[head.as_bytes(), body].concat()).await;
    }

    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).await.unwrap();
    }

    /// Throws away what was read and not looked at.
    pub(crate) fn discard(&mut self) {
        self.unread.clear();
    }

    /// Whether the server has closed the connection, with nothing left to read.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.unread.is_empty() && !self.read_more().await
    }

    /// Lets the server's side run to its end after this side was given up.
    pub(crate) async fn leave(self) {
        drop(self.io);
        self.served.await.unwrap();
    }

    /// All that comes until the server closes the connection.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.read_more().await {}
        std::mem::take(&mut self.unread)
    }

    async fn read_more(&mut self) -> bool {
        self.io.read_buf(&mut self.unread).await.is_ok_and(|count| count > 0)
    }

    async fn take(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count {
            assert!(self.read_more().await, "cut off in {:?}", String::from_utf8_lossy(&self.unread));
        }
        self.unread.drain(..count).collect()
    }

    async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.unread.windows(2).position(|two| two == b"\r\n") {
                let line = self.take(end + 2).await;
                return String::from_utf8(line).unwrap().trim_end().to_owned();
            }
            assert!(self.read_more().await, "cut off in {:?}", String::from_utf8_lossy(&self.unread));
        }
    }

    /// Status and fields; the body is left to be read.
    pub(crate) async fn head(&mut self) -> Answer {
        let status = self.line().await;
        let status = status.strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
        let mut fields = Vec::new();
        loop {
            let line = self.line().await;
            let Some((name, value)) = line.split_once(':') else { break };
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Answer { status, fields, body: Vec::new() }
    }

    /// One chunk as it stands on the wire; `None` for the last one.
    pub(crate) async fn chunk(&mut self) -> Option<String> {
        self.chunk_of_bytes().await.map(|chunk| String::from_utf8(chunk).unwrap())
    }

    /// The same of what is no text.
    pub(crate) async fn chunk_of_bytes(&mut self) -> Option<Vec<u8>> {
        let size = usize::from_str_radix(&self.line().await, 16).unwrap();
        let mut chunk = self.take(size + 2).await;
        assert!(chunk.ends_with(b"\r\n"));
        chunk.truncate(size);
        (size > 0).then_some(chunk)
    }

    /// One chunk as JSON, which ends with a line feed.
    pub(crate) async fn json_line(&mut self) -> Value {
        let chunk = self.chunk().await.expect("another line");
        assert_eq!(chunk.matches('\n').count(), 1, "one line a chunk: {chunk:?}");
        assert!(chunk.ends_with('\n'));
        serde_json::from_str(&chunk).unwrap()
    }

    pub(crate) async fn answer(&mut self) -> Answer {
        self.answer_to("GET").await
    }

    pub(crate) async fn answer_to(&mut self, method: &str) -> Answer {
        let head = self.head().await;
        if method == "HEAD" || matches!(head.status, 204 | 304) { head } else { self.body_of(head).await }
    }

    /// The answer that a head began.
    pub(crate) async fn body_of(&mut self, mut answer: Answer) -> Answer {
        let length = answer.field("content-length").map(|length| length.parse().unwrap());
        if answer.field("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.chunk_of_bytes().await {
                answer.body.extend(chunk);
            }
        } else {
            answer.body = self.take(length.expect("a length")).await;
        }
        answer
    }

    /// Opens a stream; the head is checked and given.
    pub(crate) async fn open(&mut self, target: &str, fields: &[(&str, &str)]) -> Answer {
        self.send("GET", target, fields, b"").await;
        let head = self.head().await;
        assert_eq!(head.status, 200);
        assert_eq!(head.field("transfer-encoding"), Some("chunked"));
        head
    }
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    /// The contents of a native poll's messages.
    pub(crate) fn contents(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{}", self.text());
        let answer = self.json();
        let messages = answer["messages"].as_array().unwrap();
        messages.iter().map(|message| message["content"].clone()).collect()
    }

    pub(crate) fn cursor(&self) -> String {
        self.json()["cursor"].as_str().unwrap().to_owned()
    }
}

/// Lets all other tasks run until nothing more happens by itself. No time passes.
pub(crate) async fn settle() {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}

/// Lets paused time go by, with all other tasks running meanwhile.
pub(crate) async fn pass(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}
