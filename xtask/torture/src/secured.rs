//! TLS between the clients of a course and its server: a certificate made for the run, and sockets that speak TLS or not.
//!
//! Whether they do holds for all clients of the program, for as long as a [`Certificate`] is held.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use anyhow::{Context as _, Result, bail};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use xtask::server::Binary;

use crate::outside::{self, Wire};

/// Whom the certificate names.
pub(super) const NAME: &str = "localhost";

/// What all clients trust, if they are to speak TLS.
static TRUST: Mutex<Option<RootCertStore>> = Mutex::new(None);

/// While it is held, servers speak TLS with it, and clients expect it.
pub(super) struct Certificate {
    _folder: TempDir,
}

impl Drop for Certificate {
    fn drop(&mut self) {
        *lock() = None;
    }
}

fn lock() -> MutexGuard<'static, Option<RootCertStore>> {
    // Nothing panics while it holds the lock.
    TRUST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The protocol that a client offers (ALPN).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    Http1,
    Http2,
}

impl Offer {
    fn protocol(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }
}

/// Makes a certificate for servers that are started as this binary.
pub(super) fn secure(binary: Binary) -> Result<(Binary, Certificate)> {
    let folder = tempfile::tempdir().context("no folder for a certificate")?;
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec![NAME.to_owned()])?;
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, cert.pem())?;
    std::fs::write(&key, signing_key.serialize_pem())?;
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone())?;
    *lock() = Some(roots);
    let binary = binary.with_variable("POLL_TLS_CERT", &certificate.to_string_lossy());
    let binary = binary.with_variable("POLL_TLS_KEY", &key.to_string_lossy());
    Ok((binary, Certificate { _folder: folder }))
}

/// What clients trust and offer; `None` without TLS.
pub(super) fn trust(offer: Offer) -> Result<Option<ClientConfig>> {
    let Some(roots) = lock().clone() else { return Ok(None) };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![offer.protocol().to_vec()];
    Ok(Some(config))
}

/// A connection without a delay for small writes.
pub(super) async fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).await.context("cannot connect")?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A connection as this run's are.
pub(super) async fn dial(address: SocketAddr, offer: Offer) -> Result<Socket> {
    if let Some(wire) = outside::connect(address) {
        return Ok(Socket::Simulated(wire.context("cannot connect")?));
    }
    begin(connect(address).await?, offer).await
}

/// TLS on a connection, if this run's have it.
pub(super) async fn begin(stream: TcpStream, offer: Offer) -> Result<Socket> {
    let Some(config) = trust(offer)? else { return Ok(Socket::Plain(stream)) };
    let secured = TlsConnector::from(Arc::new(config)).connect(NAME.try_into()?, stream).await;
    Ok(Socket::Secured(Box::new(secured.context("no TLS")?)))
}

/// A connection, with TLS on it or not.
pub(super) enum Socket {
    Plain(TcpStream),
    Secured(Box<TlsStream<TcpStream>>),
    /// One of a simulation.
    Simulated(Box<dyn Wire>),
}

impl Socket {
    /// What TLS is on, or all there is.
    pub(super) fn tcp(&self) -> Result<&TcpStream> {
        match self {
            Self::Plain(stream) => Ok(stream),
            Self::Secured(stream) => Ok(stream.get_ref().0),
            Self::Simulated(_) => bail!("a simulated connection has no socket"),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Secured(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Simulated(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Secured(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Simulated(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Secured(stream) => Pin::new(stream).poll_flush(cx),
            Self::Simulated(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Secured(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Simulated(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
