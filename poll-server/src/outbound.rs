//! Asks others by HTTP/1.1 and https: for a set of keys, for a certificate, or to take a webhook.
//!
//! What: one request on a connection of its own, with an answer of bounded size, or one that the caller reads. The caller
//! bounds the time.
//! Why no pool and no redirects: it asks rarely, and what the operator has named. A webhook's address was named by a client, so
//! the one that was [permitted](exchange_with) must not lead to another.

use std::net::IpAddr;
#[cfg(feature = "tls")]
use std::sync::Arc;
#[cfg(feature = "tls")]
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
#[cfg(feature = "tls")]
use tokio::time::Instant;

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
    let (host, port, is_https) = target(request.uri());
    let socket = TcpStream::connect((host.as_str(), port)).await;
    let socket = socket.map_err(|error| format!("cannot connect: {error}"))?;
    if is_https {
        send(encrypted(host, socket, &Roots::default()).await?, request, read).await
    } else {
        send(socket, request, read).await
    }
}

/// Sends a request to an address of its host that is permitted, and reads the response, but no content of more than `most`
/// bytes. An error is a few words.
pub(crate) async fn exchange_with<B>(
    request: Request<B>,
    most: usize,
    permits: impl Fn(IpAddr) -> bool,
    roots: &Roots,
) -> Result<Response<Bytes>, String>
where
    B: Body<Data: Send, Error: std::error::Error + Send + Sync> + 'static,
{
    let read = async move |response: Response<Incoming>| {
        let (head, body) = response.into_parts();
        let content = match Limited::new(body, most).collect().await {
            Ok(whole) => whole.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => Bytes::new(),
            Err(error) => return Err(format!("cannot read it: {error}")),
        };
        Ok(Response::from_parts(head, content))
    };
    let (host, port, is_https) = target(request.uri());
    let found = tokio::net::lookup_host((host.as_str(), port)).await;
    let found = found.map_err(|error| format!("its host is not found: {error}"))?;
    let permitted: Vec<_> = found.filter(|address| permits(address.ip())).collect();
    let mut why = None;
    for address in permitted {
        // The very address that was judged: a name may lead elsewhere a moment later.
        match TcpStream::connect(address).await {
            Ok(socket) if is_https => {
                return send(encrypted(host, socket, roots).await?, request, read).await;
            }
            Ok(socket) => return send(socket, request, read).await,
            Err(error) => why = Some(format!("cannot connect: {error}")),
        }
    }
    Err(why.unwrap_or_else(|| "its host has no address that is permitted".to_owned()))
}

/// Host, port, and whether it is https.
fn target(url: &Uri) -> (String, u16, bool) {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let is_https = url.scheme_str() == Some("https");
    (host, url.port_u16().unwrap_or(if is_https { 443 } else { 80 }), is_https)
}

/// The system's certificate authorities, read now and then: they change as well.
#[derive(Default)]
pub(crate) struct Roots {
    #[cfg(feature = "tls")]
    known: std::sync::Mutex<Option<(Instant, Arc<rustls::ClientConfig>)>>,
}

#[cfg(feature = "tls")]
impl Roots {
    /// How long they are believed.
    const LASTING: Duration = Duration::from_secs(300);

    fn config(&self) -> Result<Arc<rustls::ClientConfig>, String> {
        let mut known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((read, config)) = &*known
            && read.elapsed() < Self::LASTING
        {
            return Ok(config.clone());
        }
        let mut roots = rustls::RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let why = found.errors.first().map_or_else(|| "there is none".to_owned(), ToString::to_string);
            return Err(format!("the system's certificate authorities cannot be read: {why}"));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let config = Arc::new(config);
        *known = Some((Instant::now(), config.clone()));
        Ok(config)
    }
}

#[cfg(feature = "tls")]
async fn encrypted(
    host: String,
    socket: TcpStream,
    roots: &Roots,
) -> Result<impl AsyncRead + AsyncWrite, String> {
    let name = rustls::pki_types::ServerName::try_from(host).map_err(|error| error.to_string())?;
    let stream = tokio_rustls::TlsConnector::from(roots.config()?).connect(name, socket).await;
    stream.map_err(|error| format!("cannot connect: {error}"))
}

/// The configuration accepts no such URL in this build.
#[cfg(not(feature = "tls"))]
async fn encrypted(_: String, _: TcpStream, _: &Roots) -> Result<TcpStream, String> {
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

#[cfg(feature = "tls")]
#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use rcgen::CertifiedKey;
    use rustls::pki_types::PrivateKeyDer;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    fn provider() -> Arc<rustls::crypto::CryptoProvider> {
        Arc::new(rustls::crypto::ring::default_provider())
    }

    /// Authorities that vouch for this certificate alone.
    fn roots(of: &CertifiedKey<rcgen::KeyPair>) -> Roots {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(of.cert.der().clone()).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(provider());
        let config = config.with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        Roots { known: std::sync::Mutex::new(Some((Instant::now(), Arc::new(config)))) }
    }

    /// Takes connections until one is encrypted and brings a request with content; says it, and has done.
    async fn receive(receiver: TcpListener, by: &CertifiedKey<rcgen::KeyPair>) -> String {
        let key = PrivateKeyDer::try_from(by.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider());
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let config = config.with_single_cert(vec![by.cert.der().clone()], key).unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        loop {
            let (socket, _) = receiver.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(socket).await else { continue };
            let mut request = Vec::new();
            while !request.ends_with(b"content") {
                if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"done\":true}";
            stream.write_all(answer).await.unwrap();
            stream.shutdown().await.unwrap();
            return String::from_utf8(request).unwrap();
        }
    }

    #[tokio::test]
    async fn https_goes_to_an_address_that_is_permitted_and_proves_its_name() {
        let named = |name: &str| rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let (ours, others) = (named("localhost"), named("localhost"));
        let receiver = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = receiver.local_addr().unwrap().port();
        let post = |host: &str| {
            let content = Full::new(Bytes::from_static(b"content"));
            Request::post(format!("https://{host}:{port}/hook?a=b")).body(content).unwrap()
        };
        let client = async {
            let refused = exchange_with(post("localhost"), 64, |_| false, &roots(&ours)).await;
            assert!(refused.unwrap_err().contains("permitted"));
            for (host, roots) in [("localhost", roots(&others)), ("127.0.0.1", roots(&ours))] {
                let unproved = exchange_with(post(host), 64, |_| true, &roots).await;
                assert!(unproved.unwrap_err().contains("certificate"), "{host}");
            }
            exchange_with(post("localhost"), 64, |address| address.is_loopback(), &roots(&ours))
                .await
                .unwrap()
        };
        let (answer, request) = tokio::join!(client, receive(receiver, &ours));
        assert_eq!((answer.status().as_u16(), &answer.body()[..]), (200, &br#"{"done":true}"#[..]));
        assert!(request.starts_with("POST /hook?a=b HTTP/1.1\r\n"), "{request}");
        assert!(request.contains(&format!("host: localhost:{port}\r\n")), "{request}");
    }
}
