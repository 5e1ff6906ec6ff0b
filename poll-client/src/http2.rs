//! An HTTP/2 connection with server push, for one request that stays open.
//!
//! On the h2 crate directly, because hyper's client disables push. The connection's window is large, because h2 takes
//! many small unread frames for an attack when they exceed half of it.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::client::{PushPromises, PushedResponseFuture, SendRequest};
use http::{Method, Request, Version};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::client::Inner;
use crate::connect::Protocol;
use crate::error::{Error, Problem};
use crate::stats::Stats;

const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;
const STREAM_WINDOW: u32 = 1024 * 1024;
/// Pushes in flight at a time (`SETTINGS_MAX_CONCURRENT_STREAMS`); beyond it the server sends messages inline.
const PUSHES_AT_ONCE: u32 = 256;

/// The open answer and its promises. Dropping it closes the connection.
pub(crate) struct Main {
    body: RecvStream,
    /// `None` once the stream has ended, because nothing would wake a task that waits for promises.
    promises: Option<PushPromises>,
    /// A connection without a sender closes once its streams have ended.
    _sender: SendRequest<Bytes>,
    _driver: Driver,
}

/// A promised answer.
pub(crate) struct Promised {
    /// The promised request's path.
    pub(crate) path: String,
    response: PushedResponseFuture,
}

/// The connection's task.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Opens a connection, sends the request and waits for the answer's head.
pub(crate) async fn get(client: &Inner, target: &str, stats: &Arc<Stats>) -> Result<Main, Error> {
    let pipe = client.pipe(Protocol::Http2).await?;
    let within = client.settings.answer_within;
    stats.requests.add(1);
    let Ok(opened) = timeout(within, open(client, pipe, target)).await else {
        return Err(Error::Timeout { waiting_for: "answer", after: within });
    };
    let (mut main, response) = opened?;
    let status = response.status().as_u16();
    if status == 200 {
        return Ok(main);
    }
    let body = timeout(within, whole(&mut main.body, Problem::MAX_BODY)).await.ok().and_then(Result::ok);
    Err(Error::Refused(Problem::read(status, response.headers(), &body.unwrap_or_default())))
}

async fn open(
    client: &Inner,
    pipe: crate::connect::Pipe,
    target: &str,
) -> Result<(Main, http::Response<()>), Error> {
    let (sender, connection) = h2::client::Builder::new()
        .enable_push(true)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_window_size(STREAM_WINDOW)
        .max_concurrent_streams(PUSHES_AT_ONCE)
        .handshake::<_, Bytes>(pipe)
        .await
        .map_err(Error::connection)?;
    let driver = Driver(tokio::spawn(async move {
        // The streams get its errors.
        drop(connection.await);
    }));
    let mut request = Request::new(());
    *request.method_mut() = Method::GET;
    *request.version_mut() = Version::HTTP_2;
    let uri = format!("{}://{}{}{target}", client.base.scheme, client.base.authority, client.base.prefix);
    *request.uri_mut() = uri.parse().map_err(|error| Error::Usage(format!("{uri}: {error}")))?;
    request.headers_mut().extend(client.headers.clone());
    let mut sender = sender.ready().await.map_err(Error::connection)?;
    let (mut response, _) = sender.send_request(request, true).map_err(Error::connection)?;
    let promises = response.push_promises();
    let (head, body) = response.await.map_err(Error::connection)?.into_parts();
    let main = Main { body, promises: Some(promises), _sender: sender, _driver: driver };
    Ok((main, http::Response::from_parts(head, ())))
}

impl Main {
    /// The next promise. Pending forever once the stream has ended, so poll for data as well.
    pub(crate) fn poll_promise(&mut self, cx: &mut Context<'_>) -> Poll<Result<Promised, Error>> {
        let Some(promises) = &mut self.promises else { return Poll::Pending };
        match promises.poll_push_promise(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(promise))) => {
                let (request, response) = promise.into_parts();
                Poll::Ready(Ok(Promised { path: request.uri().path().to_owned(), response }))
            }
            // The stream has ended; polling for data tells how.
            Poll::Ready(Some(Err(_)) | None) => {
                self.promises = None;
                Poll::Pending
            }
        }
    }

    /// The next piece of the body, `None` at its end.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        self.body.poll_data(cx).map(|data| {
            let Some(data) = data else { return Ok(None) };
            let data = data.map_err(Error::connection)?;
            self.body.flow_control().release_capacity(data.len()).map_err(Error::connection)?;
            Ok(Some(data))
        })
    }
}

impl Promised {
    /// Reads the whole pushed answer.
    pub(crate) async fn body(self, limit: usize, stats: Arc<Stats>) -> Result<Bytes, Error> {
        let response = self.response.await.map_err(Error::connection)?;
        let (head, mut body) = response.into_parts();
        let body = whole(&mut body, limit).await?;
        stats.body_bytes.add(body.len() as u64);
        if head.status != 200 {
            return Err(Error::Refused(Problem::read(head.status.as_u16(), &head.headers, &body)));
        }
        Ok(body)
    }
}

async fn whole(body: &mut RecvStream, limit: usize) -> Result<Bytes, Error> {
    let mut whole = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data.map_err(Error::connection)?;
        body.flow_control().release_capacity(data.len()).map_err(Error::connection)?;
        if whole.len() + data.len() > limit {
            return Err(Error::Protocol(format!("an answer of more than {limit} bytes")));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}
