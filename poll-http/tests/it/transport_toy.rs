//! A toy service and pipes for the transport's tests: everything in memory, on paused time.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use poll_http::{
    Body, ConnectionContext, ConnectionError, ConnectionInfo, ConnectionSettings, Drain, Handle, Piece,
    Pieces, RequestBody, serve,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub(crate) type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;
type Respond = dyn Fn(Request<RequestBody>, &ConnectionInfo) -> Answer + Send + Sync;

/// A service that answers by a closure.
#[derive(Clone)]
pub(crate) struct Toy {
    respond: Arc<Respond>,
    ready: Ready,
}

/// When a toy's answer is ready that is there at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// When it is first polled.
    Now,
    /// When it is polled once more.
    Later,
}

impl Toy {
    pub(crate) fn new(
        respond: impl Fn(Request<RequestBody>, &ConnectionInfo) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self { respond: Arc::new(respond), ready: Ready::Now }
    }

    pub(crate) fn giving(self, ready: Ready) -> Self {
        Self { ready, ..self }
    }

    /// Answers every path with the path.
    pub(crate) fn echo() -> Self {
        Self::new(|request, _| now(Response::new(Body::full(request.uri().path().to_owned()))))
    }
}

impl Handle for Toy {
    type Future = Answer;

    fn handle(&self, request: poll_http::Request<'_>, connection: &ConnectionInfo) -> Answer {
        let answer = (self.respond)(request.into_owned(), connection);
        match self.ready {
            Ready::Now => answer,
            Ready::Later => Box::pin(async {
                tokio::task::yield_now().await;
                answer.await
            }),
        }
    }
}

/// What connections share that are served with these settings until `drain` comes.
pub(crate) fn context(settings: ConnectionSettings, drain: Drain) -> Arc<ConnectionContext> {
    Arc::new(ConnectionContext { drain, ..ConnectionContext::new(settings) })
}

pub(crate) fn now(response: Response<Body>) -> Answer {
    Box::pin(std::future::ready(response))
}

/// Never answers, and counts while it is held.
pub(crate) fn forever(held: &Held) -> Answer {
    let held = held.clone().hold();
    Box::pin(async move {
        std::future::pending::<()>().await;
        drop(held);
        Response::new(Body::empty())
    })
}

/// Counts what is held.
#[derive(Clone, Default)]
pub(crate) struct Held(Arc<AtomicUsize>);

pub(crate) struct Holding(Held);

impl Held {
    pub(crate) fn hold(self) -> Holding {
        self.0.fetch_add(1, Ordering::SeqCst);
        Holding(self)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Lets other tasks run until `count` are held. No time passes.
    pub(crate) async fn until(&self, count: usize) {
        for _ in 0..100_000 {
            if self.count() == count {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("{} are held, not {count}", self.count());
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A body that is fed through a channel; dropping the sender ends it.
pub(crate) fn fed() -> (mpsc::UnboundedSender<Piece>, Body) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (sender, Body::stream(Fed(receiver)))
}

struct Fed(mpsc::UnboundedReceiver<Piece>);

impl Pieces for Fed {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        self.0.poll_recv(cx)
    }
}

/// A body whose source panics.
pub(crate) struct Bomb;

impl Pieces for Bomb {
    fn poll_piece(&mut self, _: &mut Context<'_>) -> Poll<Option<Piece>> {
        panic!("a bomb, as ordered");
    }
}

pub(crate) fn data(text: &'static str) -> Piece {
    Piece::Data(Bytes::from_static(text.as_bytes()))
}

pub(crate) fn peer() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 4711))
}

pub(crate) type Served = JoinHandle<Result<(), ConnectionError>>;

/// Serves one end of a pipe of `capacity` bytes each way; gives the other.
pub(crate) fn pipe(toy: Toy, settings: ConnectionSettings, capacity: usize) -> (DuplexStream, Served) {
    drained_pipe(toy, settings, capacity, Drain::new())
}

pub(crate) fn drained_pipe(
    toy: Toy,
    settings: ConnectionSettings,
    capacity: usize,
    drain: Drain,
) -> (DuplexStream, Served) {
    let (client, server) = tokio::io::duplex(capacity);
    (client, tokio::spawn(serve(server, peer(), toy, context(settings, drain))))
}

/// An ordinary connection to a toy.
pub(crate) fn connect(toy: Toy) -> (DuplexStream, Served) {
    pipe(toy, ConnectionSettings::default(), 1 << 20)
}

pub(crate) async fn send(client: &mut DuplexStream, text: &str) {
    client.write_all(text.as_bytes()).await.unwrap();
}

/// Reads until what was read ends with `end`.
pub(crate) async fn read_to(client: &mut DuplexStream, end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        let byte = client.read_u8().await;
        match byte {
            Ok(byte) => text.push(byte),
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&text)),
        }
    }
    String::from_utf8(text).unwrap()
}

/// Reads to the end of the connection.
pub(crate) async fn read_all(client: &mut DuplexStream) -> String {
    let mut text = Vec::new();
    client.read_to_end(&mut text).await.unwrap();
    String::from_utf8(text).unwrap()
}

/// Each write as it came.
#[derive(Clone, Default)]
pub(crate) struct Writes(Arc<Mutex<Vec<Vec<u8>>>>);

impl Writes {
    /// Puts something that happened among the writes.
    pub(crate) fn note(&self, what: String) {
        self.0.lock().unwrap().push(what.into_bytes());
    }

    pub(crate) fn take(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A pipe that keeps each write apart, and takes vectored ones as a socket does.
pub(crate) struct Recording {
    pub(crate) io: DuplexStream,
    pub(crate) writes: Writes,
}

impl AsyncRead for Recording {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Recording {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = written {
            self.writes.0.lock().unwrap().push(bytes[..count].to_vec());
        }
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let joined = parts.iter().flat_map(|part| part.iter().copied()).collect::<Vec<u8>>();
        self.poll_write(cx, &joined)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// As [`connect`], with the server's writes recorded.
pub(crate) fn recorded(toy: Toy) -> (DuplexStream, Writes, Served) {
    let (client, server) = tokio::io::duplex(1 << 20);
    let writes = Writes::default();
    let io = Recording { io: server, writes: writes.clone() };
    let served = serve(io, peer(), toy, context(ConnectionSettings::default(), Drain::new()));
    (client, writes, tokio::spawn(served))
}

/// An HTTP/2 client connected to a toy.
pub(crate) struct Http2 {
    pub(crate) requests: h2::client::SendRequest<Bytes>,
    pub(crate) connection: JoinHandle<Result<(), h2::Error>>,
    pub(crate) served: Served,
}

impl Http2 {
    pub(crate) async fn connect(toy: Toy) -> Self {
        Self::with(toy, ConnectionSettings::default(), Drain::new(), &h2::client::Builder::new()).await
    }

    pub(crate) async fn with(
        toy: Toy,
        settings: ConnectionSettings,
        drain: Drain,
        builder: &h2::client::Builder,
    ) -> Self {
        let (client, served) = drained_pipe(toy, settings, 1 << 16, drain);
        let (requests, connection) = builder.handshake(client).await.unwrap();
        Self { requests, connection: tokio::spawn(connection), served }
    }

    /// Sends a GET; its answer comes by the future.
    pub(crate) async fn get(&mut self, path: &str) -> h2::client::ResponseFuture {
        self.send(Request::get(format!("http://toy{path}")).body(()).unwrap()).await
    }

    pub(crate) async fn send(&mut self, request: Request<()>) -> h2::client::ResponseFuture {
        let mut ready = self.requests.clone().ready().await.unwrap();
        ready.send_request(request, true).unwrap().0
    }
}

/// Reads a body to its end, releasing what it reads.
pub(crate) async fn text(mut body: h2::RecvStream) -> String {
    let mut bytes = Vec::new();
    while let Some(part) = body.data().await {
        let part = part.unwrap();
        body.flow_control().release_capacity(part.len()).unwrap();
        bytes.extend(part);
    }
    String::from_utf8(bytes).unwrap()
}

/// The preface and empty SETTINGS: how a client without a library opens.
pub(crate) const RAW_OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// SETTINGS with one entry: the window that streams have.
pub(crate) fn raw_windows(bytes: u32) -> Vec<u8> {
    [&[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4][..], &bytes.to_be_bytes()].concat()
}

/// The opening of a client with large windows.
pub(crate) fn raw_opening_wide() -> Vec<u8> {
    let connection_window = [&[0, 0, 4, 8, 0, 0, 0, 0, 0][..], &(1_u32 << 30).to_be_bytes()].concat();
    [&RAW_OPENING[..24], &raw_windows(1 << 20), &connection_window].concat()
}

/// HEADERS of a whole GET, by static table indices and literals without Huffman.
pub(crate) fn raw_get(stream: u8, path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
    block.extend(path.as_bytes());
    block.extend(b"\x01\x03toy");
    let mut frame = vec![0, 0, u8::try_from(block.len()).unwrap(), 1, 5, 0, 0, 0, stream];
    frame.extend(block);
    frame
}

/// A frame as it comes.
pub(crate) struct RawFrame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u8,
    pub(crate) payload: Vec<u8>,
}

pub(crate) async fn raw_frame(client: &mut DuplexStream) -> RawFrame {
    let mut head = [0; 9];
    client.read_exact(&mut head).await.unwrap();
    let [_, high, low, kind, flags, _, _, _, stream] = head;
    let mut payload = vec![0; usize::from(high) << 8 | usize::from(low)];
    client.read_exact(&mut payload).await.unwrap();
    RawFrame { kind, flags, stream, payload }
}
