//! The clients of the drain course: each asks as fast as it is answered, until nobody listens any more.

use std::io;
use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use memchr::memmem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Shared;

/// Requests that a pipeliner sends in one write.
const PIPELINED: usize = 20;
/// Streams that an HTTP/2 client has open at once.
const STREAMS: usize = 5;

/// How a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Short polls on one connection.
    Poller,
    /// Publishes on one connection.
    Publisher,
    /// Publishes in chunks, which only the engine reads.
    Chunked,
    /// A new connection for each request.
    Fresh,
    /// Many requests in one write.
    Pipeliner,
    /// Long polls, of which one waits when the drain begins.
    Waiter,
    /// Several streams on one connection.
    Http2,
}

impl Kind {
    pub(super) const ALL: [Self; 7] = [
        Self::Poller,
        Self::Publisher,
        Self::Chunked,
        Self::Fresh,
        Self::Pipeliner,
        Self::Waiter,
        Self::Http2,
    ];

    fn request(self, number: u64) -> String {
        let request = |method: &str, target: &str, rest: &str| {
            format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{rest}")
        };
        match self {
            Self::Poller | Self::Fresh | Self::Http2 => {
                request("GET", &format!("/api/poll?channel=p{number}"), "\r\n")
            }
            Self::Pipeliner => request("GET", "/api/poll?channel=none", "\r\n").repeat(PIPELINED),
            Self::Publisher => {
                let head = "Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";
                request("POST", &format!("/api/message?channel=p{number}"), head)
            }
            Self::Chunked => {
                let head =
                    "Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
                request("POST", &format!("/api/message?channel=p{number}"), head)
            }
            Self::Waiter => request("GET", "/api/longpoll?channel=none&timeout=50", "\r\n"),
        }
    }
}

/// Asks until no connection is had any more.
pub(super) async fn ask(kind: Kind, number: u64, address: SocketAddr, shared: Shared) -> Result<()> {
    loop {
        let stream = match TcpStream::connect(address).await {
            Ok(stream) => stream,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(()),
            // Begun before the listener was closed, but not taken.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                shared.borrow_mut().resets += 1;
                return Ok(());
            }
            Err(error) => return Err(error).context("cannot connect"),
        };
        stream.set_nodelay(true)?;
        match kind {
            Kind::Http2 => over_http2(stream, &shared).await?,
            _ => Line { stream, unread: Vec::new(), shared: &shared }.ask(kind, number).await?,
        }
    }
}

/// One HTTP/1.1 connection.
struct Line<'a> {
    stream: TcpStream,
    unread: Vec<u8>,
    shared: &'a Shared,
}

/// What a read of an answer came to.
enum Read {
    Answer(After),
    /// The connection ended instead, with a reset or without.
    Ended,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Keep,
    Close,
}

impl Line<'_> {
    async fn ask(&mut self, kind: Kind, number: u64) -> Result<()> {
        let request = kind.request(number);
        let count = if kind == Kind::Pipeliner { PIPELINED } else { 1 };
        loop {
            // A connection that was closed while nothing was asked is the server's right.
            if self.is_closed()? {
                return Ok(());
            }
            if let Err(error) = self.stream.write_all(request.as_bytes()).await {
                self.lost(count, &error);
                return Ok(());
            }
            for left in (1..=count).rev() {
                match self.answer().await? {
                    Ok(Read::Answer(After::Keep)) => {}
                    Ok(Read::Answer(After::Close)) => {
                        self.shared.borrow_mut().unanswered += left as u64 - 1;
                        return self.end().await;
                    }
                    Ok(Read::Ended) => {
                        self.shared.borrow_mut().unanswered += left as u64;
                        return Ok(());
                    }
                    Err(error) => {
                        self.lost(left, &error);
                        return Ok(());
                    }
                }
            }
            if kind == Kind::Fresh {
                return Ok(());
            }
        }
    }

    fn lost(&self, requests: usize, error: &io::Error) {
        let mut tally = self.shared.borrow_mut();
        tally.unanswered += requests as u64;
        if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) {
            tally.resets += 1;
        }
    }

    /// Whether the server has closed the connection by now.
    fn is_closed(&self) -> Result<bool> {
        match self.stream.try_read(&mut [0]) {
            Ok(0) => Ok(true),
            Ok(_) => anyhow::bail!("something came that was not asked for"),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(_) => {
                self.shared.borrow_mut().resets += 1;
                Ok(true)
            }
        }
    }

    /// Reads a whole answer.
    async fn answer(&mut self) -> Result<io::Result<Read>> {
        let end = loop {
            if let Some(end) = memmem::find(&self.unread, b"\r\n\r\n") {
                break end + 4;
            }
            match self.stream.read_buf(&mut self.unread).await {
                Ok(0) => return Ok(Ok(Read::Ended)),
                Ok(_) => {}
                Err(error) => return Ok(Err(error)),
            }
        };
        let head = std::str::from_utf8(&self.unread[..end]).context("a head is text")?.to_ascii_lowercase();
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let length: usize = field("content-length:").context("an answer has a length")?.parse()?;
        let after = if field("connection:") == Some("close") { After::Close } else { After::Keep };
        let expected =
            ["200", "201", "503"].iter().any(|status| head.starts_with(&format!("http/1.1 {status}")));
        while self.unread.len() < end + length {
            match self.stream.read_buf(&mut self.unread).await {
                Ok(0) => return Ok(Ok(Read::Ended)),
                Ok(_) => {}
                Err(error) => return Ok(Err(error)),
            }
        }
        self.unread.drain(..end + length);
        let mut tally = self.shared.borrow_mut();
        tally.answered += 1;
        tally.unexpected += u64::from(!expected);
        Ok(Ok(Read::Answer(after)))
    }

    /// Behind the last answer: a clean end.
    async fn end(&mut self) -> Result<()> {
        let mut rest = Vec::new();
        if self.stream.read_to_end(&mut rest).await.is_err() {
            self.shared.borrow_mut().resets += 1;
        }
        anyhow::ensure!(rest.is_empty() && self.unread.is_empty(), "something stands behind the last answer");
        Ok(())
    }
}

/// One HTTP/2 connection.
async fn over_http2(stream: TcpStream, shared: &Shared) -> Result<()> {
    let (requests, connection) = match h2::client::handshake(stream).await {
        Ok(opened) => opened,
        Err(error) => {
            shared.borrow_mut().resets += u64::from(error.is_io());
            return Ok(());
        }
    };
    let connection = tokio::task::spawn_local(connection);
    let streams = (0..STREAMS).map(|_| stream_after_stream(requests.clone(), shared));
    futures_util::future::join_all(streams).await;
    drop(requests);
    // A clean end, whichever side closes first.
    if connection.await?.is_err_and(|error| error.is_io()) {
        shared.borrow_mut().resets += 1;
    }
    Ok(())
}

async fn stream_after_stream(mut requests: SendRequest<Bytes>, shared: &Shared) {
    loop {
        // GOAWAY came, or the end: nothing was asked.
        let Ok(mut ready) = requests.ready().await else { return };
        let Ok(request) = Request::get("http://localhost/api/poll?channel=none").body(()) else { return };
        let Ok((answer, _)) = ready.send_request(request, true) else { return };
        match read(answer).await {
            Ok(status) => {
                let mut tally = shared.borrow_mut();
                tally.answered += 1;
                tally.unexpected += u64::from(status != 200 && status != 503);
            }
            // Not taken up, and said so (RFC 9113, section 6.8).
            Err(error) if error.is_go_away() && error.is_remote() => return,
            Err(_) => {
                shared.borrow_mut().unanswered += 1;
                return;
            }
        }
        requests = ready;
    }
}

async fn read(answer: h2::client::ResponseFuture) -> Result<u16, h2::Error> {
    let answer = answer.await?;
    let status = answer.status().as_u16();
    let mut body = answer.into_body();
    while let Some(data) = body.data().await {
        let _released = body.flow_control().release_capacity(data?.len());
    }
    Ok(status)
}
