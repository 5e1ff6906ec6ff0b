//! Fetches a set of keys (RFC 7517) by HTTP/1.1.
//!
//! Bounded in time and size. A redirect is not followed: the URL was chosen by the operator, and what it answers decides
//! who may do what.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use poll_http::jwt::{VerifyingKey, parse_jwks};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::KeySetUrl;

/// How long a set may take to arrive.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
/// A set has some kilobytes.
const MOST_BYTES: usize = 1024 * 1024;

/// The keys that are there now; an error is a few words.
pub(super) async fn fetch(url: &KeySetUrl) -> Result<Vec<VerifyingKey>, String> {
    let fetched = timeout(TIMEOUT, content(&url.0)).await;
    let content = fetched.map_err(|_| format!("no answer in {} s", TIMEOUT.as_secs()))??;
    let keys = parse_jwks(&content).map_err(|error| format!("what came cannot be used: {error}"))?;
    if keys.is_empty() { Err("there is no key in it that verifies tokens".to_owned()) } else { Ok(keys) }
}

async fn content(url: &Uri) -> Result<Bytes, String> {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let is_https = url.scheme_str() == Some("https");
    let port = url.port_u16().unwrap_or(if is_https { 443 } else { 80 });
    let socket = TcpStream::connect((host.as_str(), port)).await;
    let socket = socket.map_err(|error| format!("cannot connect: {error}"))?;
    if is_https { exchange(encrypted(host, socket).await?, url).await } else { exchange(socket, url).await }
}

#[cfg(feature = "tls")]
async fn encrypted(host: String, socket: TcpStream) -> Result<impl AsyncRead + AsyncWrite, String> {
    use std::sync::Arc;

    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, RootCertStore};

    let mut roots = RootCertStore::empty();
    // Anew each time: the system's certificates change as well.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
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

async fn exchange(io: impl AsyncRead + AsyncWrite + Unpin, url: &Uri) -> Result<Bytes, String> {
    let failed = |error: hyper::Error| format!("cannot fetch it: {error}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.map_err(failed)?;
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let target = url.path_and_query().map_or("/", |target| target.as_str());
    let request = Request::get(target)
        .header(HOST, authority)
        .header(ACCEPT, "application/jwk-set+json, application/json")
        .header(USER_AGENT, concat!("poll-server/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let content = async move {
        let response = sender.send_request(request).await.map_err(failed)?;
        if response.status() != StatusCode::OK {
            return Err(format!("it is answered {}", response.status()));
        }
        let whole = Limited::new(response.into_body(), MOST_BYTES).collect().await;
        whole.map(http_body_util::Collected::to_bytes).map_err(|error| format!("cannot read it: {error}"))
    };
    tokio::pin!(content, connection);
    tokio::select! {
        biased;
        content = &mut content => content,
        // What has arrived is still to be read.
        _ended = &mut connection => content.await,
    }
}
