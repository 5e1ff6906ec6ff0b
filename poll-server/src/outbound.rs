//! Asks others by HTTP/1.1 and https: for a set of keys, or for a certificate.
//!
//! What: one request on a connection of its own, with an answer of bounded size, or one that the caller reads. The caller
//! bounds the time.
//! Why no pool and no redirects: it asks rarely, and only what the operator has named.

use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// What asks: the name in its requests.
pub(crate) const USER_AGENT: &str = concat!("poll-server/", env!("CARGO_PKG_VERSION"));

/// Sends a request to the http or https address that it names, and reads at most `most` bytes. An error is a few words.
pub(crate) async fn exchange<B>(request: Request<B>, most: usize) -> Result<Response<Bytes>, String>
where
    B: Body<Data: Send, Error: std::error::Error + Send + Sync> + 'static,
{
    open(request, async move |response: Response<Incoming>| {
        let (head, body) = response.into_parts();
        let whole = Limited::new(body, most).collect().await;
        let whole = whole.map_err(|error| format!("cannot read it: {error}"))?;
        Ok(Response::from_parts(head, whole.to_bytes()))
    })
    .await
}

/// Sends a request to the http or https address that it names, and has `read` read the response. An error is a few words.
pub(crate) async fn open<B, T>(
    request: Request<B>,
    read: impl AsyncFnOnce(Response<Incoming>) -> Result<T, String>,
) -> Result<T, String>
where
    B: Body<Data: Send, Error: std::error::Error + Send + Sync> + 'static,
{
    let url = request.uri();
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let is_https = url.scheme_str() == Some("https");
    let port = url.port_u16().unwrap_or(if is_https { 443 } else { 80 });
    let socket = TcpStream::connect((host.as_str(), port)).await;
    let socket = socket.map_err(|error| format!("cannot connect: {error}"))?;
    if is_https {
        send(encrypted(host, socket).await?, request, read).await
    } else {
        send(socket, request, read).await
    }
}

#[cfg(feature = "tls")]
async fn encrypted(host: String, socket: TcpStream) -> Result<impl AsyncRead + AsyncWrite, String> {
    use std::sync::Arc;

    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, RootCertStore};

    let mut roots = RootCertStore::empty();
    // Anew each time: the system's certificates change as well.
    let known = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(known.certs);
    if roots.is_empty() {
        let why = known.errors.first().map_or_else(|| "there is none".to_owned(), ToString::to_string);
        return Err(format!("the system's certificate authorities cannot be read: {why}"));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, socket).await;
    stream.map_err(|error| format!("cannot connect: {error}"))
}

/// The configuration accepts no such URL in this build.
#[cfg(not(feature = "tls"))]
async fn encrypted(_: String, _: TcpStream) -> Result<TcpStream, String> {
    Err("this build has no TLS".to_owned())
}

async fn send<B, T>(
    io: impl AsyncRead + AsyncWrite + Unpin,
    mut request: Request<B>,
    read: impl AsyncFnOnce(Response<Incoming>) -> Result<T, String>,
) -> Result<T, String>
where
    B: Body<Data: Send, Error: std::error::Error + Send + Sync> + 'static,
{
    let failed = |error: hyper::Error| format!("cannot fetch it: {error}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.map_err(failed)?;
    let authority = request.uri().authority().map_or("", |authority| authority.as_str());
    let authority = HeaderValue::from_str(authority).map_err(|error| error.to_string())?;
    request.headers_mut().insert(HOST, authority);
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    let target = request.uri().path_and_query().cloned();
    *request.uri_mut() = target.map_or_else(|| Uri::from_static("/"), Uri::from);
    let response = async move { read(sender.send_request(request).await.map_err(failed)?).await };
    tokio::pin!(response, connection);
    tokio::select! {
        biased;
        response = &mut response => response,
        // What has arrived is still to be read.
        _ended = &mut connection => response.await,
    }
}
