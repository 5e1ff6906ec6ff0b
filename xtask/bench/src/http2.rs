//! The HTTP/2 load: many long polls on few connections, by prior knowledge (RFC 9113, section 3.3), on the h2 crate.
//!
//! A poll is a task on a runtime of the load's own, in the calling thread; the runtime advances while one of the methods
//! here is called. Knows only our server, because none of the others under test speaks HTTP/2.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, client};
use http::{Request, StatusCode};
use tokio::net::TcpStream;
use tokio::runtime::LocalRuntime;
use tokio::task::{spawn_local, yield_now};

use crate::counts::{Counts, Due};
use crate::endpoints::Next;
use crate::marker;
use crate::target::{Shape, Waits};

/// The channel that everybody reads.
const CHANNEL: &str = "bench";
/// How long a poll waits, in seconds: the longest that the server allows by default.
const TIMEOUT: u32 = 60;
/// If nothing changes for so long, something is lost. Longer than a poll waits.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks at what has arrived.
const LOOK: Duration = Duration::from_millis(1);
/// Between two looks at how many wait, while they come and once all have asked: each costs the server something.
const COUNT: Duration = Duration::from_millis(5);
const RARE_COUNT: Duration = Duration::from_millis(100);
/// Requests that may be in flight at once. All at once would leave the server no time to say how many wait.
const IN_FLIGHT: u32 = 20_000;
/// Of a connection and of each stream, in bytes. h2 ends a connection on which many small DATA frames are unread at
/// once; how many depends on the connection's window.
const WINDOW: u32 = 64 << 20;
/// Readers are at most one message apart.
const REQUESTS: usize = 4;
/// The gauge of those who wait in long polls.
const WAITERS: &str = "poll_waiters{pattern=\"long\"} ";

/// What a waiter does once it has received a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// It asks for the next one at once.
    AtOnce,
    /// It stops, until all are told to ask.
    WhenTold,
}

/// All waiters, and a connection beside theirs.
pub(crate) struct Http2Load {
    runtime: LocalRuntime,
    shape: Shape,
    again: Again,
    connections: Vec<SendRequest<Bytes>>,
    control: SendRequest<Bytes>,
    state: Rc<State>,
}

/// What the waiters share.
struct State {
    address: SocketAddr,
    counts: RefCell<Counts>,
    /// Requests for the message of a number and what follows, the latest last.
    requests: RefCell<VecDeque<(u32, Request<()>)>>,
    /// The first error of any task.
    failure: RefCell<Option<anyhow::Error>>,
}

impl Http2Load {
    pub(crate) fn connect(address: SocketAddr, shape: Shape, again: Again, waits: Waits) -> Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default())?;
        let state = Rc::new(State::new(address)?);
        let connections = runtime.block_on(async {
            let mut connections = Vec::new();
            for _ in 0..=shape.connections {
                connections.push(connect(&state).await?);
            }
            if waits == Waits::Awake {
                spawn_local(async {
                    loop {
                        yield_now().await;
                    }
                });
            }
            anyhow::Ok(connections)
        });
        let mut connections = connections?;
        let control = connections.pop().context("there is one more connection than asked for")?;
        Ok(Self { runtime, shape, again, connections, control, state })
    }

    /// Has every waiter ask for the next message; returns once the server counts all of them as waiting.
    pub(crate) fn ask(&self, mut show: impl FnMut(u64)) -> Result<()> {
        self.runtime.block_on(async {
            let next = u32::try_from(self.state.counts.borrow().published)? + 1;
            let mut asked = 0;
            while asked < self.shape.waiters {
                let waiting = self.waiting().await?;
                show(waiting);
                let in_flight = asked.saturating_sub(u32::try_from(waiting)?);
                for _ in 0..(IN_FLIGHT - in_flight).min(self.shape.waiters - asked) {
                    let sender = self.connections[asked as usize % self.connections.len()].clone();
                    spawn_local(self.state.clone().run(wait(self.state.clone(), sender, next, self.again)));
                    asked += 1;
                }
                tokio::time::sleep(COUNT).await;
            }
            self.all_wait(show).await
        })
    }

    /// Returns once the server counts all waiters as waiting.
    pub(crate) fn wait_for_all(&self) -> Result<()> {
        self.runtime.block_on(self.all_wait(|_| {}))
    }

    async fn all_wait(&self, mut show: impl FnMut(u64)) -> Result<()> {
        let mut changed = (Instant::now(), 0);
        let mut pause = COUNT;
        loop {
            let waiting = self.waiting().await?;
            show(waiting);
            if waiting == u64::from(self.shape.waiters) {
                return Ok(());
            }
            if waiting != changed.1 {
                changed = (Instant::now(), waiting);
            }
            ensure!(
                changed.0.elapsed() < PATIENCE,
                "{waiting} of {} wait, and no more come",
                self.shape.waiters
            );
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RARE_COUNT);
        }
    }

    /// Publishes a message; returns once every waiter has it.
    pub(crate) fn publish(&self, mut show: impl FnMut(u64)) -> Result<()> {
        self.runtime.block_on(async {
            let before = self.counts(|counts| counts.delivered);
            let number = self.state.counts.borrow_mut().publish();
            let uri = format!("http://{}/api/message?channel={CHANNEL}", self.state.address);
            let request = Request::post(uri).header("content-type", "text/plain").body(())?;
            let published = self.request(request, marker::payload(number).into());
            let (status, _) = published.await?;
            ensure!(status == StatusCode::CREATED, "status {status} for a publish");
            let (all, mut changed) = (u64::from(self.shape.waiters), (Instant::now(), 0));
            loop {
                self.state.check()?;
                let delivered = self.counts(|counts| counts.delivered) - before;
                show(delivered);
                if delivered == all {
                    return Ok(());
                }
                if delivered != changed.1 {
                    changed = (Instant::now(), delivered);
                }
                ensure!(
                    changed.0.elapsed() < PATIENCE,
                    "{} of {all} never got message {number}",
                    all - delivered
                );
                tokio::time::sleep(LOOK).await;
            }
        })
    }

    /// Goes on for a while in which nothing is expected.
    pub(crate) fn rest(&self, time: Duration) -> Result<()> {
        self.runtime.block_on(async { tokio::time::sleep(time).await });
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
            requests: RefCell::default(),
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

    fn request(&self, number: u32) -> Result<Request<()>> {
        let requests = self.requests.borrow();
        let request = requests.iter().rev().find(|(of, _)| *of == number);
        Ok(request.with_context(|| format!("no cursor leads to message {number}"))?.1.clone())
    }

    /// The next message after this cursor has that number. An empty cursor is the beginning.
    fn lead_to(&self, number: u32, cursor: &[u8]) -> Result<()> {
        let mut requests = self.requests.borrow_mut();
        if requests.back().is_some_and(|(of, _)| *of >= number) {
            return Ok(());
        }
        let mut uri = format!("http://{}/api/longpoll?channel={CHANNEL}&timeout={TIMEOUT}", self.address);
        if !cursor.is_empty() {
            uri += &format!("&cursor={}", std::str::from_utf8(cursor)?);
        }
        requests.push_back((number, Request::get(uri).body(())?));
        if requests.len() > REQUESTS {
            requests.pop_front();
        }
        Ok(())
    }
}

/// Opens a connection; a task drives it to its end.
async fn connect(state: &Rc<State>) -> Result<SendRequest<Bytes>> {
    let socket = TcpStream::connect(state.address).await.context("cannot connect")?;
    socket.set_nodelay(true)?;
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

/// A waiter: polls for the message of this number, again and again until it comes.
async fn wait(state: Rc<State>, mut sender: SendRequest<Bytes>, next: u32, again: Again) -> Result<()> {
    let mut due = Due::from(next);
    while again == Again::AtOnce || due.next == next {
        sender = sender.ready().await?;
        let (response, _) = sender.send_request(state.request(due.next)?, true)?;
        let (status, body) = read(response).await?;
        ensure!(status == StatusCode::OK, "status {status}");
        marker::scan(&body, |number| state.counts.borrow_mut().deliver(&mut due, number))?;
        state.lead_to(due.next, Next::Cursor.position(&body, None, None)?.0)?;
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
