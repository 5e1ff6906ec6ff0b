//! One HTTP/1.1 connection on hyper, and HTTP/2 connections on h2.
//!
//! Nothing is retried, because a lost or repeated message has to show. Requests that no client library would send are
//! written to sockets by the courses that need them.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::request::Builder;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::task::JoinHandle;

pub(super) use crate::secured::connect;
use crate::secured::{Offer, dial};

/// Connects when it is first used, and again after an error or `hang_up`.
pub(super) struct Client {
    address: SocketAddr,
    open: Option<(SendRequest<Full<Bytes>>, Driver)>,
}

type Driver = JoinHandle<hyper::Result<()>>;

/// A response that was read to its end.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// The server closed, refused or reset the connection, or said that it cannot serve now. Readers of a server that may
/// die must expect that; any other error is a finding.
#[derive(Debug)]
pub(super) struct Gone(pub(super) &'static str);

impl Client {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, open: None }
    }

    pub(super) fn hang_up(&mut self) {
        self.open = None;
    }

    /// Opens the connection if there is none.
    pub(super) async fn connect(&mut self) -> Result<()> {
        if self.open.is_none() {
            let (sender, connection) =
                http1::handshake(TokioIo::new(dial(self.address, Offer::Http1).await?)).await?;
            self.open = Some((sender, tokio::task::spawn_local(connection)));
        }
        Ok(())
    }

    /// Sends a request and reads the head of its response.
    pub(super) async fn send(
        &mut self,
        request: Builder,
        body: impl Into<Bytes>,
    ) -> Result<Response<Incoming>> {
        self.connect().await?;
        let request = request.header(HOST, self.address.to_string()).body(Full::new(body.into()))?;
        let (sender, _) = self.open.as_mut().context("it is connected")?;
        let error = match sender.send_request(request).await {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        // The connection knows more: bytes that nobody asked for, for one.
        match self.open.take() {
            Some((_, connection)) => Err(connection.await?.err().unwrap_or(error).into()),
            None => Err(error.into()),
        }
    }

    /// Sends a request and reads the whole response.
    pub(super) async fn ask(&mut self, request: Builder, body: impl Into<Bytes>) -> Result<Answer> {
        let (head, body) = self.send(request, body).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }

    pub(super) async fn get(&mut self, target: &str) -> Result<Answer> {
        self.ask(Request::get(target), "").await
    }

    /// Publishes a text by the native door.
    pub(super) async fn publish(&mut self, channel: &str, text: impl Into<Bytes>) -> Result<Answer> {
        let request = Request::post(format!("/api/message?channel={channel}"));
        self.ask(request.header(CONTENT_TYPE, "text/plain"), text).await
    }
}

impl Answer {
    /// The JSON of a response that has this status and from which nothing is missing.
    pub(super) fn json(&self, status: u16) -> Result<Value> {
        let value = self.json_of_a_part(status)?;
        ensure!(self.missed()?.is_none(), "an answer says that messages were missed");
        Ok(value)
    }

    /// How many messages were missed, if it says so by a header.
    pub(super) fn missed(&self) -> Result<Option<u64>> {
        let Some(field) = self.headers.get("poll-missed") else { return Ok(None) };
        Ok(Some(field.to_str()?.parse()?))
    }

    /// The JSON of a response that has this status.
    pub(super) fn json_of_a_part(&self, status: u16) -> Result<Value> {
        expect(self.status, status)?;
        let text = || format!("`{}` is not JSON", String::from_utf8_lossy(&self.body));
        serde_json::from_slice(&self.body).with_context(text)
    }
}

/// Fails unless the status is the wanted one.
pub(super) fn expect(status: impl Into<u16>, wanted: u16) -> Result<()> {
    let status = status.into();
    match status {
        503 if wanted != 503 => return Err(Gone("the server says that it cannot serve now").into()),
        // Only a proxy says so.
        502 | 504 => return Err(Gone("the server behind the proxy has gone").into()),
        _ => {}
    }
    ensure!(status == wanted, "status {status} where {wanted} was due");
    Ok(())
}

/// An HTTP/2 connection, driven by a task of its own until it ends or is aborted.
pub(super) async fn http2(
    address: SocketAddr,
    settings: &h2::client::Builder,
) -> Result<(h2::client::SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>)> {
    let (sender, connection) =
        settings.handshake(dial(address, Offer::Http2).await?).await.context("no HTTP/2")?;
    Ok((sender, tokio::task::spawn_local(connection)))
}

/// Whether the server went away, rather than did something wrong.
pub(super) fn is_gone(error: &anyhow::Error) -> bool {
    // hyper reports a chunk that is none by these kinds.
    let is_broken = |kind| matches!(kind, io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData);
    let is_gone = |cause: &(dyn std::error::Error + 'static)| {
        cause.is::<Gone>()
            || cause.downcast_ref::<hyper::Error>().is_some_and(|error| error.is_canceled() || error.is_closed())
            || cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message)
            || cause.downcast_ref::<io::Error>().is_some_and(|error| !is_broken(error.kind()))
            // A protocol error that our own side found does not mean that the server ended.
            || cause.downcast_ref::<h2::Error>().is_some_and(|error| error.is_io() || error.is_remote())
    };
    error.chain().any(is_gone)
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Gone {}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::fixture::block_on;

    /// What a client makes of a server that answers two requests with these bytes.
    fn asked(answers: [&'static str; 2]) -> Result<Answer> {
        block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            tokio::task::spawn_local(async move {
                let (mut stream, _) = listener.accept().await?;
                for answer in answers {
                    let _read = stream.read(&mut [0; 1024]).await?;
                    stream.write_all(answer.as_bytes()).await?;
                }
                anyhow::Ok(())
            });
            let mut client = Client::new(address);
            client.get("/1").await?;
            client.get("/2").await
        })
    }

    #[test]
    fn only_a_server_that_left_is_gone() {
        let refused = Err::<(), _>(io::Error::from(io::ErrorKind::ConnectionRefused));
        assert!(is_gone(&refused.context("cannot connect").unwrap_err()));
        assert!(is_gone(&anyhow::Error::new(Gone("drains")).context("question 1")));
        assert!(!is_gone(&anyhow::anyhow!("a message has the payload of another")));
        const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1";
        assert!(asked([FINE, FINE]).is_ok());
        for cut in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n1"] {
            assert!(is_gone(&asked([FINE, cut]).err().unwrap()), "{cut}");
        }
        let doubled =
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1";
        for broken in [[doubled, ""], [FINE, "SSH-2.0-x\r\n\r\n"]] {
            assert!(!is_gone(&asked(broken).err().unwrap()), "{broken:?}");
        }
        let no_chunk = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n1\r\n0\r\n\r\n";
        assert!(!is_gone(&asked([FINE, no_chunk]).err().unwrap()));
    }
}
