//! HTTP/1.1 by hand: what goes over the socket is written and read byte by byte here.
//!
//! So that the proof does not lean on a client that smooths something over. Knows only the framing that the server
//! uses (RFC 9112): a length, or chunks. A connection that broke is dropped by its owner.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::gone::Gone;

/// One connection.
pub(super) struct Connection {
    stream: TcpStream,
    unread: BytesMut,
}

/// What of an answer's head matters to a reader.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) etag: Option<String>,
    /// Whether it has a `Poll-Missed`.
    missed: bool,
    framing: Framing,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Framing {
    #[default]
    None,
    Length(usize),
    Chunks,
}

/// An answer read to its end.
pub(super) struct Answer {
    pub(super) head: Head,
    pub(super) body: Bytes,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, unread: BytesMut::new() })
    }

    /// Writes a request head with these extra lines, and a body if it is not empty, in one write.
    pub(super) async fn ask(
        &mut self,
        method: &str,
        target: &str,
        lines: &[(&str, &str)],
        body: &str,
    ) -> Result<()> {
        let host = self.stream.peer_addr()?;
        let mut request = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n");
        for (name, value) in lines {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        request.push_str(body);
        self.stream.write_all(request.as_bytes()).await.context("cannot write the request")
    }

    /// Reads an answer's head.
    pub(super) async fn head(&mut self) -> Result<Head> {
        loop {
            if let Some(end) = find(&self.unread, b"\r\n\r\n") {
                let head = self.unread.split_to(end + 4);
                return parse(&head[..end]);
            }
            self.more().await?;
        }
    }

    /// Reads a whole answer.
    pub(super) async fn answer(&mut self) -> Result<Answer> {
        let head = self.head().await?;
        let mut body = BytesMut::new();
        match head.framing {
            Framing::None => {}
            Framing::Length(length) => body = self.take(length).await?,
            Framing::Chunks => {
                while let Some(chunk) = self.chunk().await? {
                    body.extend_from_slice(&chunk);
                }
            }
        }
        Ok(Answer { head, body: body.freeze() })
    }

    /// The next chunk as it was framed, or none at the clean end of the body.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>> {
        let end = loop {
            if let Some(end) = find(&self.unread, b"\r\n") {
                break end;
            }
            self.more().await?;
        };
        let size = std::str::from_utf8(&self.unread[..end]).context("a chunk's size is not text")?;
        let size =
            usize::from_str_radix(size, 16).with_context(|| format!("`{size}` is not a chunk's size"))?;
        self.unread.advance(end + 2);
        let chunk = self.take(size).await?;
        let tail = self.take(2).await?;
        ensure!(&tail[..] == b"\r\n", "a chunk does not end where it said");
        Ok((size > 0).then(|| chunk.freeze()))
    }

    async fn take(&mut self, length: usize) -> Result<BytesMut> {
        while self.unread.len() < length {
            self.more().await?;
        }
        Ok(self.unread.split_to(length))
    }

    async fn more(&mut self) -> Result<()> {
        let read = self.stream.read_buf(&mut self.unread).await.context("cannot read")?;
        if read == 0 {
            return Err(Gone("the server closed the connection in the middle of an answer".to_owned()).into());
        }
        Ok(())
    }
}

impl Head {
    /// Fails unless the status is the wanted one.
    pub(super) fn expect(&self, status: u16) -> Result<()> {
        ensure!(!self.missed, "an answer says that messages were missed");
        if self.status == 503 && status != 503 {
            return Err(Gone("the server says that it cannot serve now".to_owned()).into());
        }
        ensure!(self.status == status, "status {} where {status} was due", self.status);
        Ok(())
    }
}

fn parse(head: &[u8]) -> Result<Head> {
    let text = std::str::from_utf8(head).context("a head is not text")?;
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let Some(status) = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)) else {
        bail!("`{first}` is no status line");
    };
    let mut parsed = Head { status: status.parse().context("a status is a number")?, ..Head::default() };
    for line in lines {
        let (name, value) = line.split_once(':').with_context(|| format!("`{line}` is no header"))?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => {
                parsed.framing = Framing::Length(value.parse().context("a length is a number")?);
            }
            "transfer-encoding" => parsed.framing = Framing::Chunks,
            "poll-missed" => parsed.missed = true,
            "etag" => parsed.etag = Some(value.to_owned()),
            _ => {}
        }
    }
    // RFC 9112, section 6.3: these have no body, whatever their headers say.
    if matches!(parsed.status, 100..=199 | 204 | 304) {
        parsed.framing = Framing::None;
    }
    Ok(parsed)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_how_its_body_is_framed() {
        let head = parse(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: W/\"a:b\"").unwrap();
        assert_eq!((head.status, head.framing), (200, Framing::Length(5)));
        assert_eq!(head.etag.as_deref(), Some("W/\"a:b\""));
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked").unwrap().framing, Framing::Chunks);
        assert_eq!(parse(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5").unwrap().framing, Framing::None);
        assert!(parse(b"SSH-2.0-x").is_err());
    }
}
