//! TLS around a connection to an `https` server: whom to trust, and which protocol to speak.
//!
//! Each request's protocol is known before it connects: push needs HTTP/2, everything else is HTTP/1.1. So ALPN (RFC 7301)
//! offers that one alone.

use std::io;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::connect::{Pipe, Protocol};
use crate::error::Error;

/// Makes connections to one server safe.
pub(crate) struct Tls {
    name: ServerName<'static>,
    http1: TlsConnector,
    http2: TlsConnector,
}

impl Tls {
    /// For the server at `authority` (`host:port`). Trusts the certificates in `roots` (PEM), or else the system's.
    pub(crate) fn new(authority: &str, roots: Option<&[u8]>) -> Result<Self, Error> {
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned());
        let name = name.map_err(|_| Error::Usage(format!("{host}: neither a host's name nor an address")))?;
        let trusted = Arc::new(match roots {
            Some(pem) => from_pem(pem)?,
            None => from_system()?,
        });
        let http1 = connector(&trusted, b"http/1.1")?;
        let http2 = connector(&trusted, b"h2")?;
        Ok(Self { name, http1, http2 })
    }

    /// Shakes hands over a connection.
    pub(crate) async fn wrap(&self, pipe: Pipe, protocol: Protocol) -> io::Result<Pipe> {
        let connector = match protocol {
            Protocol::Http1 => &self.http1,
            Protocol::Http2 => &self.http2,
        };
        let stream = connector.connect(self.name.clone(), pipe).await?;
        if protocol == Protocol::Http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(io::Error::other("it does not speak HTTP/2"));
        }
        Ok(Box::new(stream))
    }
}

fn connector(trusted: &Arc<RootCertStore>, protocol: &[u8]) -> Result<TlsConnector, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| Error::Usage(error.to_string()))?;
    let mut config = builder.with_root_certificates(Arc::clone(trusted)).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(Arc::new(config).into())
}

fn from_pem(pem: &[u8]) -> Result<RootCertStore, Error> {
    let wrong = |why: String| Error::Usage(format!("the trusted certificates: {why}"));
    let mut trusted = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        trusted.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if trusted.is_empty() {
        return Err(wrong("there is none in PEM".to_owned()));
    }
    Ok(trusted)
}

fn from_system() -> Result<RootCertStore, Error> {
    let found = rustls_native_certs::load_native_certs();
    let mut trusted = RootCertStore::empty();
    // Some systems ship old certificates that cannot be parsed.
    trusted.add_parsable_certificates(found.certs);
    if trusted.is_empty() {
        let why = found.errors.first().map_or_else(String::new, |error| format!(": {error}"));
        return Err(Error::Usage(format!("the system has no trusted certificates{why}")));
    }
    Ok(trusted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_a_name_or_an_address() {
        let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let pem = certificate.cert.pem();
        for host in ["localhost:1", "127.0.0.1:1", "[::1]:1", "example.org:443"] {
            assert!(Tls::new(host, Some(pem.as_bytes())).is_ok(), "{host}");
        }
        assert!(matches!(Tls::new("a b:1", Some(pem.as_bytes())), Err(Error::Usage(_))));
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        for pem in ["", "nothing", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(matches!(Tls::new("localhost:1", Some(pem.as_bytes())), Err(Error::Usage(_))), "{pem}");
        }
    }
}
