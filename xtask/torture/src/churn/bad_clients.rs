//! Clients that leave in every bad way, or have to be thrown out.
//!
//! Some leave by themselves: what they held must be free again. Some are to be cut by a limit: they say whether they
//! were, in time.

use std::fmt;
use std::net::SocketAddr;
use std::ops::AddAssign;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use h2::client::SendRequest;
use http::Request;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::http1::Connection;

/// Connections of a crowd that are open at once.
const AT_ONCE: usize = 400;
/// How long one stays before it leaves, in milliseconds.
const STAY: std::ops::Range<u64> = 0..400;
/// When one that the server must cut after two seconds counts as not cut.
const CUT: Duration = Duration::from_secs(8);
/// How long a reader that never reads stays: over the stall limit of three seconds.
const NEVER: Duration = Duration::from_secs(5);
/// Between two bytes of those who send slowly.
const DRIP: Duration = Duration::from_millis(250);
/// What the ones who never read ask for: more than any socket buffers.
const FAT: &str = "fat";
const FAT_MESSAGES: usize = 400;
const FAT_BYTES: usize = 60_000;
/// Requests on an HTTP/2 connection, each reset by itself.
const STREAMS: usize = 10;

/// How one leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// An orderly end while its question waits.
    Fin,
    /// A reset while its question waits.
    Rst,
    /// HTTP/2 streams reset one by one, then the connection dropped.
    ResetStreams,
    /// Its sending side ended, its receiving side open and never read.
    HalfOpen,
    /// A head that never ends.
    SlowHead,
    /// A body that never ends.
    SlowBody,
    /// A stream that is never read.
    NeverRead,
}

impl Leaving {
    const ALL: [Self; 7] = [
        Self::Fin,
        Self::Rst,
        Self::ResetStreams,
        Self::HalfOpen,
        Self::SlowHead,
        Self::SlowBody,
        Self::NeverRead,
    ];
}

/// How one's stay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Left,
    Cut,
    Uncut,
}

/// How many ended how.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    left: u64,
    cut: u64,
    pub(super) uncut: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.left += other.left;
        self.cut += other.cut;
        self.uncut += other.uncut;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the bad: {} left by themselves, {} slow heads and bodies were cut in time, {} were not",
            self.left, self.cut, self.uncut
        )
    }
}

/// Publishes what the ones who never read ask for.
pub(super) async fn fill(address: SocketAddr) -> Result<()> {
    let (mut connection, text) = (Connection::open(address).await?, "x".repeat(FAT_BYTES));
    for _ in 0..FAT_MESSAGES {
        let target = format!("/api/message?channel={FAT}");
        connection.ask("POST", &target, &[("Content-Type", "text/plain")], &text).await?;
        connection.answer().await?.head.expect(201)?;
    }
    Ok(())
}

/// Lets so many come and leave, and waits until they have.
pub(super) async fn crowd(address: SocketAddr, connections: u64, seed: u64) -> Result<Tally> {
    let gate = Rc::new(Semaphore::new(AT_ONCE));
    let mut crowd = JoinSet::new();
    for (number, leaving) in (0..connections).zip(Leaving::ALL.into_iter().cycle()) {
        let (gate, seed) = (gate.clone(), seed.wrapping_add(number));
        crowd.spawn_local(async move {
            let _place = gate.acquire().await.context("the gate never closes")?;
            come_and_leave(address, leaving, number, seed).await.with_context(|| format!("{leaving:?}"))
        });
    }
    let mut tally = Tally::default();
    while let Some(end) = crowd.join_next().await {
        match end.context("one of the crowd has panicked")?? {
            End::Left => tally.left += 1,
            End::Cut => tally.cut += 1,
            End::Uncut => tally.uncut += 1,
        }
    }
    Ok(tally)
}

async fn come_and_leave(address: SocketAddr, leaving: Leaving, number: u64, seed: u64) -> Result<End> {
    let stay = Duration::from_millis(StdRng::seed_from_u64(seed).random_range(STAY));
    let channel = number % 50;
    match leaving {
        Leaving::Fin | Leaving::Rst | Leaving::HalfOpen => {
            let mut stream = TcpStream::connect(address).await.context("cannot connect")?;
            let target = if number.is_multiple_of(2) { "longpoll" } else { "stream" };
            let head = format!(
                "GET /api/{target}?channel=crowd-{channel}&timeout=60 HTTP/1.1\r\nHost: {address}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await?;
            match leaving {
                Leaving::Rst => stream.set_zero_linger()?,
                // Whatever the server answers to that, it must not keep the socket for it.
                Leaving::HalfOpen => stream.shutdown().await?,
                _ => {}
            }
            sleep(stay).await;
            Ok(End::Left)
        }
        Leaving::ResetStreams => reset_streams(address, channel, stay).await,
        Leaving::SlowHead => drip(address, "GET /api/longpoll HTTP/1.1\r\nX-Slow: ").await,
        Leaving::SlowBody => {
            let head = "POST /api/message?channel=crowd HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n";
            drip(address, &format!("{head}Host: {address}\r\n\r\n")).await
        }
        Leaving::NeverRead => never_read(address).await,
    }
}

async fn reset_streams(address: SocketAddr, channel: u64, stay: Duration) -> Result<End> {
    let stream = TcpStream::connect(address).await.context("cannot connect")?;
    let (sender, connection) = h2::client::handshake(stream).await.context("no HTTP/2")?;
    let driver = tokio::task::spawn_local(async { connection.await.unwrap_or_default() });
    let mut waiting = Vec::new();
    for _ in 0..STREAMS {
        let mut ready: SendRequest<bytes::Bytes> = sender.clone().ready().await?;
        let target = format!("http://{address}/api/longpoll?channel=crowd-{channel}&timeout=60");
        waiting.push(ready.send_request(Request::get(target).body(())?, true)?);
    }
    sleep(stay).await;
    for (response, mut stream) in waiting {
        stream.send_reset(h2::Reason::CANCEL);
        drop(response);
    }
    // Time for the resets to go out; half of the connections are dropped before that.
    if channel.is_multiple_of(2) {
        sleep(stay).await;
    }
    driver.abort();
    Ok(End::Left)
}

/// Sends a beginning and then a byte now and then, until the server has had enough.
async fn drip(address: SocketAddr, beginning: &str) -> Result<End> {
    let mut stream = TcpStream::connect(address).await.context("cannot connect")?;
    stream.write_all(beginning.as_bytes()).await?;
    let (mut read, mut write) = stream.split();
    let dripping = async {
        loop {
            sleep(DRIP).await;
            if write.write_all(b"x").await.is_err() {
                // It was cut, which the reading side sees too.
                std::future::pending::<()>().await;
            }
        }
    };
    let reading = async {
        let mut answer = [0; 1024];
        // An end and a reset are both a cut.
        while read.read(&mut answer).await.is_ok_and(|read| read > 0) {}
    };
    let cut = async {
        tokio::select! {
            () = dripping => {}
            () = reading => {}
        }
    };
    Ok(if timeout(CUT, cut).await.is_ok() { End::Cut } else { End::Uncut })
}

async fn never_read(address: SocketAddr) -> Result<End> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4_096)?;
    let mut stream = socket.connect(address).await.context("cannot connect")?;
    let head = format!("GET /api/stream?channel={FAT}&last_id=0 HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    sleep(NEVER).await;
    Ok(End::Left)
}
