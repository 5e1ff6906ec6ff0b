//! A certificate with its key, and the authorities of client certificates, from PEM (RFC 7468).
//!
//! Every fault is one sentence, without a secret in it; the caller adds the file's name in front.

use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::time::Time;

/// A certificate with its key.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(super) certified: Arc<CertifiedKey>,
    /// The hosts that it is for, in lower case; `*.` stands for one label.
    pub(crate) hosts: Vec<String>,
    /// From when it is valid, since the epoch.
    pub(crate) from: Duration,
    /// When it expires, since the epoch.
    pub(crate) until: Duration,
}

/// Which of two files is at fault, and what is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PairFault {
    Certificate(String),
    Key(String),
}

impl Pair {
    /// Parses a chain that begins with the server's certificate, and its key.
    ///
    /// # Errors
    /// What does not fit.
    pub(crate) fn parse(chain: &str, key: &str, provider: &CryptoProvider) -> Result<Self, PairFault> {
        let chain = certificates(chain).map_err(PairFault::Certificate)?;
        let (hosts, [from, until]) = read(&chain[0]).map_err(PairFault::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| {
            PairFault::Key(match error {
                pem::Error::NoItemsFound => "no private key in it that is not encrypted".to_owned(),
                error => not_pem(&error),
            })
        })?;
        let certified = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => PairFault::Key("not the key of the certificate".to_owned()),
            rustls::Error::InvalidCertificate(error) => PairFault::Certificate(error.to_string()),
            error => PairFault::Key(error.to_string()),
        })?;
        Ok(Self { certified: Arc::new(certified), hosts, from, until })
    }

    /// The server's certificate itself.
    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certified.cert[0]
    }
}

/// Parses the authorities that sign client certificates, which are demanded then.
///
/// # Errors
/// What is wrong with them.
pub(super) fn client_verifier(
    authorities: &str,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(authorities)? {
        roots.add(authority).map_err(|error| error.to_string())?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| error.to_string())
}

/// At least one.
fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match all {
        Ok(none) if none.is_empty() => Err("no certificate in it".to_owned()),
        Ok(some) => Ok(some),
        Err(error) => Err(not_pem(&error)),
    }
}

/// What is wrong with a file's form. The error's own words hold lines of it, and in a key whose line breaks were lost, the
/// one line is the key.
fn not_pem(error: &pem::Error) -> String {
    let what = match error {
        pem::Error::MissingSectionEnd { .. } => "the line that ends a section is missing",
        pem::Error::IllegalSectionStart { .. } => {
            "more than `-----BEGIN …-----` is in the line that begins a section"
        }
        pem::Error::Base64Decode(_) => "a section is not base64",
        _ => "it cannot be read",
    };
    format!("not PEM: {what}")
}

/// The hosts that a certificate is for, and from when until when.
fn read(certificate: &CertificateDer<'_>) -> Result<(Vec<String>, [Duration; 2]), String> {
    let unreadable = |error: x509_cert::der::Error| format!("not a certificate: {error}");
    let certificate = Certificate::from_der(certificate).map_err(unreadable)?;
    let certificate = certificate.tbs_certificate();
    let names = certificate.get_extension::<SubjectAltName>().map_err(unreadable)?;
    let names = names.map_or_else(Vec::new, |(_, names)| names.0);
    let hosts = names.iter().filter_map(|name| match name {
        GeneralName::DnsName(host) => Some(host.as_str().to_ascii_lowercase()),
        _ => None,
    });
    let validity = *certificate.validity();
    Ok((hosts.collect(), [validity.not_before, validity.not_after].map(Time::to_unix_duration)))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use rustls::crypto::ring;

    use super::*;

    #[test]
    fn what_is_wrong_with_a_key_never_says_the_key() {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::default().self_signed(&key).unwrap().pem();
        let key = key.serialize_pem();
        let secret = key.lines().nth(1).unwrap();
        let one_line = key.replace(['\r', '\n'], "");
        let few_lines = one_line.replace("-----END", "\n-----END");
        let cut = &key[..key.len() / 2];
        let not_base64 = key.replace(secret, &format!("{secret}!"));
        for broken in [&one_line, &few_lines, cut, &not_base64] {
            let provider = ring::default_provider();
            let as_key = Pair::parse(&certificate, broken, &provider).unwrap_err();
            let as_certificate = Pair::parse(broken, &key, &provider).unwrap_err();
            let PairFault::Key(as_key) = as_key else { panic!("{as_key:?}") };
            let PairFault::Certificate(as_certificate) = as_certificate else { panic!("{as_certificate:?}") };
            for said in [as_key, as_certificate, client_verifier(broken, &Arc::new(provider)).unwrap_err()] {
                assert!(said == "no certificate in it" || said.starts_with("not PEM: "), "{said}");
                let bytes = format!("{:?}", &secret.as_bytes()[..8]);
                assert!(
                    !said.contains(&secret[..8]) && !said.contains(bytes.trim_matches(['[', ']'])),
                    "{said}"
                );
            }
        }
    }
}
