//! One HTTP/1.1 request and its answer, with a deadline on every wait.
//!
//! A request goes out on an idle connection if there is one. The server may just have closed it: a request that was not
//! sent, or not answered and safe to repeat, is then sent once more on a new connection (RFC 9112, section 9.3.1).
//! Any other retry is the caller's.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::timeout;

use crate::client::Inner;
use crate::connect::{Pipe, Protocol};
use crate::error::{Error, Problem};
use crate::pool::{Pool, Sender};
use crate::stats::Stats;

/// Everything but RFC 3986's unreserved characters.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A request to be made.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Path and query, without the client's prefix.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// From the request's first byte to the answer's head.
    pub(crate) head_within: Duration,
    pub(crate) repeat: Repeat,
}

/// Whether the request may be sent twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    Harmless,
    Never,
}

/// How often a request went out before it was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    Once,
    /// The connection of the first broke, and that one may have been done, too.
    Twice,
}

/// An answer whose body is still to be read. Dropping it before the end closes the connection.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) sent: Sent,
    body: Incoming,
    lease: Option<Lease>,
    stats: Arc<Stats>,
}

/// The connection of an answer, and the pool that it goes back to once the body is read.
struct Lease {
    sender: Sender,
    pool: Arc<Pool>,
}

/// Percent-encodes a path segment or a query value.
pub(crate) fn encode(text: &str) -> impl std::fmt::Display {
    utf8_percent_encode(text, ENCODED).to_string()
}

impl Call {
    pub(crate) fn get(target: String, head_within: Duration) -> Self {
        let (headers, body) = (HeaderMap::new(), Bytes::new());
        Self { method: Method::GET, target, headers, body, head_within, repeat: Repeat::Harmless }
    }

    pub(crate) fn header(mut self, name: http::HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    fn request(&self, client: &Inner) -> Result<Request<Full<Bytes>>, Error> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        let target = format!("{}{}", client.base.prefix, self.target);
        *request.uri_mut() = target.parse().map_err(|error| Error::Usage(format!("{target}: {error}")))?;
        let host = HeaderValue::from_str(&client.base.authority);
        request.headers_mut().insert(HOST, host.map_err(|error| Error::Usage(error.to_string()))?);
        request.headers_mut().extend(client.headers.clone());
        request.headers_mut().extend(self.headers.clone());
        Ok(request)
    }
}

impl Inner {
    /// Sends the request and waits for the answer's head.
    pub(crate) async fn send(&self, call: &Call, stats: &Arc<Stats>) -> Result<Answer, Error> {
        let mut lost = None;
        if let Some(mut sender) = self.pool.take().await {
            stats.requests.add(1);
            match self.head(&mut sender, call).await {
                Ok(response) => return Ok(self.answer(response, sender, Sent::Once, stats)),
                Err(Unanswered::Unsent(_)) => {}
                Err(Unanswered::Broke(error)) if call.repeat == Repeat::Harmless => lost = Some(error),
                Err(Unanswered::Broke(error) | Unanswered::Failed(error)) => return Err(error),
            }
        }
        let sent = if lost.is_some() { Sent::Twice } else { Sent::Once };
        let mut sender = match self.dial().await {
            Ok(sender) => sender,
            // That no connection could be opened would say that nothing was sent.
            Err(error) => return Err(lost.unwrap_or(error)),
        };
        stats.requests.add(1);
        match self.head(&mut sender, call).await {
            Ok(response) => Ok(self.answer(response, sender, sent, stats)),
            Err(Unanswered::Unsent(error) | Unanswered::Broke(error) | Unanswered::Failed(error)) => {
                Err(error)
            }
        }
    }

    /// Like [`Self::send`], but any status that is not `wanted` is an error.
    pub(crate) async fn ask(&self, call: &Call, stats: &Arc<Stats>, wanted: &[u16]) -> Result<Answer, Error> {
        let answer = self.send(call, stats).await?;
        if wanted.contains(&answer.status.as_u16()) {
            return Ok(answer);
        }
        let (status, headers, sent) = (answer.status.as_u16(), answer.headers.clone(), answer.sent);
        // A body that is too long or breaks off must not hide the status.
        let body = answer.whole(Problem::MAX_BODY, self.settings.answer_within).await.unwrap_or_default();
        let refused = Error::Refused(Problem::read(status, &headers, &body));
        let in_doubt = sent == Sent::Twice && !call.method.is_safe();
        Err(if in_doubt { refused.in_doubt() } else { refused })
    }

    async fn head(&self, sender: &mut Sender, call: &Call) -> Result<http::Response<Incoming>, Unanswered> {
        let request = call.request(self).map_err(Unanswered::Failed)?;
        let Ok(sent) = timeout(call.head_within, sender.try_send_request(request)).await else {
            return Err(Unanswered::Failed(Error::Timeout {
                waiting_for: "answer",
                after: call.head_within,
            }));
        };
        sent.map_err(|mut failure| {
            let unsent = failure.take_message().is_some();
            let error = failure.into_error();
            match (unsent, error.is_parse()) {
                (true, _) => Unanswered::Unsent(Error::connection(error)),
                (false, false) => Unanswered::Broke(Error::connection(error)),
                (false, true) => Unanswered::Failed(Error::connection(error)),
            }
        })
    }

    fn answer(
        &self,
        response: http::Response<Incoming>,
        sender: Sender,
        sent: Sent,
        stats: &Arc<Stats>,
    ) -> Answer {
        let (parts, body) = response.into_parts();
        let lease = Lease { sender, pool: Arc::clone(&self.pool) };
        let stats = Arc::clone(stats);
        Answer { status: parts.status, headers: parts.headers, sent, body, lease: Some(lease), stats }
    }

    async fn dial(&self) -> Result<Sender, Error> {
        let pipe = self.pipe(Protocol::Http1).await?;
        let (sender, connection) =
            http1::Builder::new().handshake(TokioIo::new(pipe)).await.map_err(Error::connection)?;
        // Ends with the sender and the answer's body, which also get its errors.
        tokio::spawn(connection);
        Ok(sender)
    }

    /// A new connection, over TLS to an `https` server.
    pub(crate) async fn pipe(&self, protocol: Protocol) -> Result<Pipe, Error> {
        let within = self.settings.connect_within;
        let authority = &self.base.authority;
        let Ok(connected) = timeout(within, self.open(protocol)).await else {
            return Err(Error::Timeout { waiting_for: Error::CONNECTION, after: within });
        };
        connected.map_err(|source| Error::Connect { authority: authority.clone(), source })
    }

    #[cfg(feature = "tls")]
    async fn open(&self, protocol: Protocol) -> io::Result<Pipe> {
        let pipe = self.connector.connect(&self.base.authority).await?;
        match &self.tls {
            Some(tls) => tls.wrap(pipe, protocol).await,
            None => Ok(pipe),
        }
    }

    #[cfg(not(feature = "tls"))]
    async fn open(&self, _: Protocol) -> io::Result<Pipe> {
        self.connector.connect(&self.base.authority).await
    }
}

/// Why a request was not answered.
enum Unanswered {
    /// It was not sent.
    Unsent(Error),
    /// The connection broke before the answer began.
    Broke(Error),
    /// Another connection would not help.
    Failed(Error),
}

impl Answer {
    /// The next piece of the body, `None` at its end.
    pub(crate) async fn piece(&mut self, within: Duration) -> Result<Option<Bytes>, Error> {
        loop {
            let Ok(frame) = timeout(within, self.body.frame()).await else {
                return Err(Error::Timeout { waiting_for: "byte of the answer", after: within });
            };
            match frame {
                None => {
                    if let Some(Lease { sender, pool }) = self.lease.take() {
                        pool.put(sender);
                    }
                    return Ok(None);
                }
                Some(Err(error)) => return Err(Error::connection(error)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.stats.body_bytes.add(data.len() as u64);
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// The whole body of at most `limit` bytes; `within` bounds each wait for a piece.
    pub(crate) async fn whole(mut self, limit: usize, within: Duration) -> Result<Bytes, Error> {
        let mut whole = BytesMut::new();
        while let Some(piece) = self.piece(within).await? {
            if whole.len() + piece.len() > limit {
                return Err(Error::Protocol(format!("an answer of more than {limit} bytes")));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }
}
