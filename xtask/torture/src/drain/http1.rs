//! HTTP/1.1 clients that ask as fast as they are answered, until nobody listens.
//!
//! They write to sockets themselves, because it matters how a connection ends: what is answered behind a closing
//! answer, what a closed connection is worth, and whether several requests in one write are all answered.

use std::io;
use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;
use futures_util::FutureExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::counts::Counts;
use crate::secured::{Offer, Socket};

/// Requests that a pipeliner sends in one write.
const PIPELINED: usize = 20;

/// How a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// Short polls on one connection
    Poller,
    /// Publishes on one connection
    Publisher,
    /// Publishes in chunks, which only hyper reads
    Chunked,
    /// A new connection for each request
    Fresh,
    /// Many requests in one write
    Pipeliner,
    /// Long polls, of which one waits when the drain begins
    Waiter,
}

impl Kind {
    fn request(self, number: u64) -> String {
        let (line, rest) = match self {
            Self::Poller | Self::Fresh => (format!("GET /api/poll?channel=p{number}"), "\r\n"),
            Self::Pipeliner => ("GET /api/poll?channel=none".to_owned(), "\r\n"),
            Self::Publisher => (
                format!("POST /api/message?channel=p{number}"),
                "Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello",
            ),
            Self::Chunked => (
                format!("POST /api/message?channel=p{number}"),
                "Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            ),
            Self::Waiter => ("GET /api/longpoll?channel=none&timeout=50".to_owned(), "\r\n"),
        };
        format!("{line} HTTP/1.1\r\nHost: localhost\r\n{rest}")
    }
}

/// Asks until no connection is had any more.
pub(super) async fn ask(kind: Kind, number: u64, address: SocketAddr, counts: Counts) -> Result<()> {
    let pipelined = if kind == Kind::Pipeliner { PIPELINED } else { 1 };
    let requests = kind.request(number).repeat(pipelined);
    while let Some(mut stream) = counts.connect(address, Offer::Http1).await? {
        let mut unread = Vec::new();
        while let Some(left) = exchange(&mut stream, &mut unread, &requests, pipelined, &counts).await? {
            ensure!(unread.is_empty(), "something stands behind the last answer");
            if left == Left::Closing || kind == Kind::Fresh {
                break;
            }
        }
    }
    Ok(())
}

/// What an answer says of its connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Open,
    Closing,
}

/// Asks and reads all answers; none if the connection has ended.
async fn exchange(
    stream: &mut Socket,
    unread: &mut Vec<u8>,
    requests: &str,
    pipelined: usize,
    counts: &Counts,
) -> Result<Option<Left>> {
    match stream.read(&mut [0]).now_or_never() {
        // A server may close a connection on which nothing was asked.
        Some(Ok(0)) => return Ok(None),
        Some(Ok(_)) => bail!("something came that was not asked for"),
        None => {}
        Some(Err(_)) => {
            counts.reset();
            return Ok(None);
        }
    }
    let mut unanswered = pipelined;
    let answered = async {
        stream.write_all(requests.as_bytes()).await?;
        stream.flush().await?;
        while unanswered > 0 {
            let (status, left) = answer(stream, unread).await?;
            counts.answered(status);
            unanswered -= 1;
            if left == Left::Closing {
                // Behind the last answer there is a clean end.
                stream.read_to_end(unread).await?;
                return Ok(left);
            }
        }
        anyhow::Ok(Left::Open)
    };
    let answered = answered.await;
    if answered.is_err() || unanswered > 0 {
        counts.unanswered(unanswered);
    }
    match answered {
        Ok(left) => Ok(Some(left)),
        Err(error) => match error.downcast_ref::<io::Error>().map(io::Error::kind) {
            // Behind the last answer, TLS was cut without its end.
            Some(io::ErrorKind::UnexpectedEof) if unanswered == 0 => {
                counts.reset();
                Ok(None)
            }
            Some(io::ErrorKind::UnexpectedEof) => Ok(None),
            Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
                counts.reset();
                Ok(None)
            }
            _ => Err(error),
        },
    }
}

/// Takes one answer, which has a length, from what was read and is still to be read.
async fn answer(stream: &mut Socket, unread: &mut Vec<u8>) -> Result<(u16, Left)> {
    loop {
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Response::new(&mut fields);
        if let httparse::Status::Complete(end) = head.parse(unread)? {
            let field = |name: &str| {
                let field = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
                std::str::from_utf8(field.value).ok()
            };
            let length: usize = field("content-length").context("an answer has a length")?.parse()?;
            if unread.len() >= end + length {
                let left = if field("connection") == Some("close") { Left::Closing } else { Left::Open };
                let status = head.code.context("an answer has a status")?;
                unread.drain(..end + length);
                return Ok((status, left));
            }
        }
        if stream.read_buf(unread).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
}
