//! A server in memory with one channel, as it is after running for a while.
//!
//! It is asked by calling the service, or over a pipe; what is said there is for the pipe's users.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use http::{HeaderName, HeaderValue, Method, Request, Response, Uri, header};
use poll_core::environment::Environment;
use poll_core::{
    ChannelName, Cursor, Limit, Payload, Pinned, Position, Publish, Retention, Seq, Store, Timestamp,
};
use poll_http::{
    Body, Builder, ConnectionContext, ConnectionInfo, ConnectionSettings, EarlyHints, Handle as _, Piece,
    Protocol, PushPolicy, RequestBody, Service, Unread, serve,
};
use tokio::io::DuplexStream;

const PEER: ([u8; 4], u16) = ([127, 0, 0, 1], 4711);

/// What a message holds.
pub(crate) const CONTENT: &str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
                                  xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

/// More than the channel retains and than the store holds batches of, so that every round is like the next: one comes,
/// one goes.
const WARM: usize = 2_500;

pub(crate) struct World {
    service: Service,
    store: Store,
    channel: ChannelName,
    connections: Arc<ConnectionContext>,
    /// The time of day in milliseconds.
    millis: Arc<AtomicU64>,
}

/// Runs on this thread alone, with time that stands still unless all tasks wait for it.
pub(crate) fn block_on(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without sockets").block_on(work);
}

/// An address that is known to be one.
pub(crate) fn uri(text: &str) -> Uri {
    text.parse().expect("an address")
}

/// Takes the pieces of a body that are there, and says how many they are.
pub(crate) fn take(body: &mut Body) -> u64 {
    let mut taken = 0;
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(Piece::Data(bytes))) = body.poll_piece(&mut cx) {
        taken += 1;
        black_box(bytes);
    }
    taken
}

impl World {
    /// A server whose channel `counted` is full; inside [`block_on`].
    pub(crate) async fn warm() -> Self {
        Self::warm_with(|builder| builder).await
    }

    /// The same, built in a way of its own.
    pub(crate) async fn warm_with(build: impl FnOnce(Builder) -> Builder) -> Self {
        let store = Store::in_memory(Retention::default());
        let millis = Arc::new(AtomicU64::new(1_800_000_000_000));
        let told = millis.clone();
        let clock = move || Timestamp::from_millis(told.load(Ordering::Relaxed));
        let environment = Environment::system().with_clock(clock);
        let service = build(Service::builder(store.clone()).environment(environment)).build();
        tokio::spawn(service.drive());
        let channel = ChannelName::parse("counted").expect("a valid name");
        let connections = Arc::new(service.connections(ConnectionSettings::default()));
        let world = Self { service, store, channel, connections, millis };
        for _ in 0..WARM {
            let before = world.end().await;
            world.publish(1).await;
            let pinned = Pinned::after(before);
            drop(world.store.read(world.now(), &world.channel, &pinned, Limit::default()).await);
        }
        world
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.millis.load(Ordering::Relaxed))
    }

    /// Lets a millisecond pass.
    pub(crate) fn tick(&self) {
        self.millis.fetch_add(1, Ordering::Relaxed);
    }

    /// Publishes messages to the store, not by HTTP.
    pub(crate) async fn publish(&self, count: u64) {
        self.tick();
        let payloads = (0..count).map(|_| Payload::text(CONTENT.to_owned())).collect();
        let published = self.store.publish(self.now(), &self.channel, Publish::many(payloads)).await;
        assert!(published.is_ok(), "memory keeps everything");
    }

    /// The position after the newest message.
    pub(crate) async fn end(&self) -> Cursor {
        let pinned = self.store.pin(self.now(), &self.channel, Position::End).await;
        let pinned = pinned.unwrap_or_else(|_| unreachable!("all is in memory"));
        let view = self.store.read(self.now(), &self.channel, &pinned, Limit::default()).await;
        view.unwrap_or_else(|_| unreachable!("all is in memory")).next
    }

    /// The position before the newest message.
    pub(crate) async fn last(&self) -> Cursor {
        let end = self.end().await;
        Cursor { seq: Seq::new(end.seq.get() - 1), ..end }
    }

    /// Calls the service as a connection does. The making of the request is in whatever is counted.
    pub(crate) async fn ask(
        &self,
        method: Method,
        uri: &Uri,
        fields: &[(HeaderName, &str)],
        body: RequestBody,
    ) -> Response<Body> {
        let mut request = Request::new(body);
        (*request.method_mut(), *request.uri_mut()) = (method, uri.clone());
        for (name, value) in [(header::HOST, "poll.test")].iter().chain(fields) {
            request.headers_mut().insert(name, HeaderValue::from_str(value).expect("a field's value"));
        }
        let connection = ConnectionInfo {
            peer: SocketAddr::from(PEER),
            secured: None,
            protocol: Protocol::Http11,
            push: PushPolicy::Off,
            early_hints: EarlyHints::None,
            unread: Unread::Little,
            record: None,
        };
        let (head, body) = request.into_parts();
        self.service.handle(poll_http::Request::new(&head, body), &connection).await.into_response()
    }

    /// Lets the server run until so many wait.
    pub(crate) async fn until_waiting(&self, count: u64) {
        while self.store.notifier().waiting() as u64 != count {
            tokio::task::yield_now().await;
        }
    }

    /// Lets the server run until the readers of a list have nothing more to do: then all are registered, or few for all.
    pub(crate) async fn until_registered(&self, channels: u64) {
        let mut calm = 0;
        let mut before = 0;
        while calm < 3 {
            tokio::task::yield_now().await;
            let waiting = self.store.notifier().waiting() as u64;
            calm = if waiting == before && waiting >= channels { calm + 1 } else { 0 };
            before = waiting;
        }
    }

    /// Lets the server run until those who read a stream are written to together: then one waits for all, and with it at
    /// most the first, who came when there was nobody to share with.
    pub(crate) async fn until_level(&self) {
        while !(1..=2).contains(&self.store.notifier().waiting()) {
            tokio::task::yield_now().await;
        }
    }

    /// The client's end of a new connection, which holds all that a test has on its way at a time.
    pub(crate) fn connect(&self) -> DuplexStream {
        let (client, server) = tokio::io::duplex(1 << 18);
        let peer = SocketAddr::from(PEER);
        let served = serve(server, peer, self.service.clone(), self.connections.clone());
        tokio::spawn(async move { drop(served.await) });
        client
    }
}
