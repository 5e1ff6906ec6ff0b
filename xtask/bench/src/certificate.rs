//! The certificate of a server that is measured over TLS, and the trust of its clients.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use rustls::{ClientConfig, RootCertStore};

/// Whom the certificate names.
pub(crate) const NAME: &str = "localhost";

/// A certificate with its key, in files.
pub(crate) struct Certificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) trust: Arc<ClientConfig>,
}

impl Certificate {
    /// A new one in this folder: ECDSA on P-256, which all servers know.
    pub(crate) fn make(folder: &Path) -> Result<Self> {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(vec![NAME.to_owned()])?;
        let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        fs::write(&certificate, cert.pem())?;
        fs::write(&key, signing_key.serialize_pem())?;
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        // A session of its own for each connection.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self { certificate, key, trust: Arc::new(config) })
    }
}
