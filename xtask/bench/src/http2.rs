//! The HTTP/2 load: many long polls on few connections, by prior knowledge (RFC 9113, section 3.3) or over TLS, on the h2
//! crate.
//!
//! A poll is a task on a runtime of the load's own, in the calling thread; the runtime advances while one of the methods
//! here is called. Knows only our server, because none of the others under test speaks HTTP/2.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, client};
use http::{Request, StatusCode};
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::LocalRuntime;
use tokio::task::{spawn_local, yield_now};
use tokio::time::sleep;
use tokio_rustls::TlsConnector;

use crate::certificate::NAME;
use crate::counts::{Counts, Due};
use crate::endpoints::{Next, Told};
use crate::marker;
use crate::target::{Shape, Target, Waits};

/// The channel that all read.
const CHANNEL: &str = "bench";
/// How long a poll waits, in seconds: the longest that the server allows by default.
const TIMEOUT: u32 = 60;
/// After so long something is lost: a million deliveries take seconds.
const PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks at what has arrived, and at how many wait, which costs the server something.
const LOOK: Duration = Duration::from_millis(1);
const COUNT: Duration = Duration::from_millis(5);
const RARE_COUNT: Duration = Duration::from_millis(100);
/// Requests that may be in flight at once. All at once would leave the server no time to say how many wait.
const IN_FLIGHT: u32 = 20_000;
/// Of a connection and of each stream, in bytes. h2 ends a connection on which many small DATA frames are unread at
/// once; how many depends on the connection's window.
const WINDOW: u32 = 64 << 20;
/// The gauge of those who wait in long polls.
const WAITERS: &str = "poll_waiters{pattern=\"long\"} ";

/// All waiters, and a connection beside theirs.
pub(crate) struct Http2Load {
    runtime: LocalRuntime,
    shape: Shape,
    connections: Vec<SendRequest<Bytes>>,
    control: SendRequest<Bytes>,
    state: Rc<State>,
}

/// What the waiters share.
struct State {
    address: SocketAddr,
    counts: RefCell<Counts>,
    /// The latest request, and the number of the message that it asks for.
    latest: RefCell<(u32, Rc<Request<()>>)>,
    /// The first error of any task.
    failure: RefCell<Option<anyhow::Error>>,
}

impl Http2Load {
    pub(crate) fn connect(target: &Target, shape: Shape) -> Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default())?;
        let state = Rc::new(State::new(target.endpoints.address)?);
        let (connections, control) = runtime.block_on(async {
            let mut connections = Vec::new();
            for _ in 0..shape.connections {
                connections.push(connect(&state, target.trust.as_ref()).await?);
            }
            if target.waits == Waits::Awake {
                spawn_local(async {
                    loop {
                        yield_now().await;
                    }
                });
            }
            anyhow::Ok((connections, connect(&state, target.trust.as_ref()).await?))
        })?;
        Ok(Self { runtime, shape, connections, control, state })
    }

    /// Has every waiter ask for the next message; returns once the server counts all of them as waiting.
    pub(crate) fn ask(&self, mut show: impl FnMut(u64)) -> Result<()> {
        self.runtime.block_on(async {
            let (next, request) = self.state.latest.borrow().clone();
            let mut asked = 0;
            while asked < self.shape.waiters {
                let waiting = self.waiting().await?;
                show(waiting);
                let in_flight = asked.saturating_sub(u32::try_from(waiting)?);
                for _ in 0..(IN_FLIGHT - in_flight).min(self.shape.waiters - asked) {
                    let sender = self.connections[asked as usize % self.connections.len()].clone();
                    let wait = wait(self.state.clone(), sender, request.clone(), next);
                    spawn_local(self.state.clone().run(wait));
                    asked += 1;
                }
                sleep(COUNT).await;
            }
            let (begun, mut pause, mut waiting) = (Instant::now(), COUNT, 0);
            while waiting < u64::from(self.shape.waiters) {
                ensure!(
                    begun.elapsed() < PATIENCE,
                    "{waiting} of {} wait, and no more come",
                    self.shape.waiters
                );
                sleep(pause).await;
                pause = (pause * 2).min(RARE_COUNT);
                waiting = self.waiting().await?;
                show(waiting);
            }
            Ok(())
        })
    }

    /// Publishes a message; returns once every waiter has it.
    pub(crate) fn publish(&self, mut show: impl FnMut(u64)) -> Result<()> {
        self.runtime.block_on(async {
            let before = self.counts(|counts| counts.delivered);
            let number = self.counts(Counts::publish);
            let uri = format!("http://{}/api/message?channel={CHANNEL}", self.state.address);
            let request = Request::post(uri).header("content-type", "text/plain").body(())?;
            let (status, _) = self.request(request, marker::payload(number).into()).await?;
            ensure!(status == StatusCode::CREATED, "status {status} for a publish");
            let (begun, mut delivered) = (Instant::now(), 0);
            while delivered < u64::from(self.shape.waiters) {
                ensure!(
                    begun.elapsed() < PATIENCE,
                    "{delivered} of {} got message {number}",
                    self.shape.waiters
                );
                self.state.check()?;
                sleep(LOOK).await;
                delivered = self.counts(|counts| counts.delivered) - before;
                show(delivered);
            }
            Ok(())
        })
    }

    /// Goes on for a while in which nothing is expected.
    pub(crate) fn rest(&self, time: Duration) -> Result<()> {
        self.runtime.block_on(async { sleep(time).await });
        self.state.check()
    }

    /// Returns once the server has answered a request, and so has done what came before it.
    pub(crate) fn settle(&self) -> Result<()> {
        self.runtime.block_on(self.waiting()).map(|_| ())
    }

    pub(crate) fn counts<T>(&self, read: impl FnOnce(&mut Counts) -> T) -> T {
        read(&mut self.state.counts.borrow_mut())
    }

    /// How many long polls wait on the server.
    async fn waiting(&self) -> Result<u64> {
        self.state.check()?;
        let request = Request::get(format!("http://{}/metrics", self.state.address)).body(())?;
        let (status, body) = self.request(request, Bytes::new()).await?;
        ensure!(status == StatusCode::OK, "status {status} for /metrics");
        let text = std::str::from_utf8(&body)?;
        let number = text.lines().find_map(|line| line.strip_prefix(WAITERS)?.parse().ok());
        number.context("/metrics does not say how many wait")
    }

    /// A request beside the waiters'.
    async fn request(&self, request: Request<()>, body: Bytes) -> Result<(StatusCode, Vec<u8>)> {
        let mut sender = self.control.clone().ready().await?;
        let (response, mut stream) = sender.send_request(request, body.is_empty())?;
        if !body.is_empty() {
            stream.send_data(body, true)?;
        }
        read(response).await
    }
}

impl State {
    fn new(address: SocketAddr) -> Result<Self> {
        let state = Self {
            address,
            counts: RefCell::new(Counts::new()?),
            latest: RefCell::default(),
            failure: RefCell::default(),
        };
        state.lead_to(1, b"")?;
        Ok(state)
    }

    /// Fails if a task has failed.
    fn check(&self) -> Result<()> {
        self.failure.borrow_mut().take().map_or(Ok(()), Err)
    }

    /// A task that reports its error.
    async fn run(self: Rc<Self>, task: impl Future<Output = Result<()>>) {
        if let Err(error) = task.await {
            self.failure.borrow_mut().get_or_insert(error);
        }
    }

    /// The next message after this cursor has that number. An empty cursor is the beginning.
    fn lead_to(&self, number: u32, cursor: &[u8]) -> Result<()> {
        let mut latest = self.latest.borrow_mut();
        if latest.0 < number {
            let cursor = std::str::from_utf8(cursor)?;
            let query = format!("channel={CHANNEL}&timeout={TIMEOUT}&cursor={cursor}");
            let uri = format!("http://{}/api/longpoll?{query}", self.address);
            *latest = (number, Rc::new(Request::get(uri.trim_end_matches("&cursor=")).body(())?));
        }
        Ok(())
    }
}

/// Opens a connection; a task drives it to its end.
async fn connect(state: &Rc<State>, trust: Option<&Arc<ClientConfig>>) -> Result<SendRequest<Bytes>> {
    let socket = TcpStream::connect(state.address).await.context("cannot connect")?;
    socket.set_nodelay(true)?;
    let Some(trust) = trust else { return begin(state, socket).await };
    let mut config = (**trust).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    begin(state, connector.connect(NAME.try_into()?, socket).await.context("no TLS")?).await
}

async fn begin(
    state: &Rc<State>,
    socket: impl AsyncRead + AsyncWrite + Unpin + 'static,
) -> Result<SendRequest<Bytes>> {
    let mut builder = client::Builder::new();
    builder.enable_push(false).initial_max_send_streams(usize::MAX);
    builder.initial_connection_window_size(WINDOW).initial_window_size(WINDOW);
    let (sender, connection) = builder.handshake(socket).await?;
    spawn_local(state.clone().run(async move {
        connection.await?;
        bail!("the server closed a connection")
    }));
    Ok(sender)
}

/// A waiter: polls until the message of this number comes.
async fn wait(
    state: Rc<State>,
    mut sender: SendRequest<Bytes>,
    request: Rc<Request<()>>,
    next: u32,
) -> Result<()> {
    let mut due = Due::from(next);
    while due.next == next {
        sender = sender.ready().await?;
        let (response, _) = sender.send_request((*request).clone(), true)?;
        let (status, body) = read(response).await?;
        ensure!(status == StatusCode::OK, "status {status}");
        marker::scan(&body, |number| state.counts.borrow_mut().deliver(&mut due, number))?;
        state.lead_to(due.next, Next::Cursor.position(&body, Told::default())?[0])?;
    }
    Ok(())
}

async fn read(response: ResponseFuture) -> Result<(StatusCode, Vec<u8>)> {
    let response = response.await?;
    let status = response.status();
    let mut stream: RecvStream = response.into_body();
    let mut body = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece?;
        stream.flow_control().release_capacity(piece.len())?;
        body.extend_from_slice(&piece);
    }
    Ok((status, body))
}
