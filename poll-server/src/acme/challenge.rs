//! The certificate that answers a challenge (RFC 8737, section 3), and the key and request of the one that is asked for.

use instant_acme::KeyAuthorization;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

/// Proves that this server answers for `host`.
pub(super) fn proof(
    host: &str,
    authorization: &KeyAuthorization,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, String> {
    let mut params = params(host)?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(authorization.digest().as_ref())];
    let key = KeyPair::generate().map_err(|error| error.to_string())?;
    let certificate = params.self_signed(&key).map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = provider.key_provider.load_private_key(key).map_err(|error| error.to_string())?;
    // Not `from_der`, which verifies the certificate, and must not accept the critical extension.
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}

/// A new key as PEM, and a request in DER for a certificate of `host`.
pub(super) fn request(host: &str) -> Result<(String, Vec<u8>), String> {
    let key = KeyPair::generate().map_err(|error| error.to_string())?;
    let request = params(host)?.serialize_request(&key).map_err(|error| error.to_string())?;
    Ok((key.serialize_pem(), request.der().to_vec()))
}

fn params(host: &str) -> Result<CertificateParams, String> {
    let mut params = CertificateParams::new([host.to_owned()]).map_err(|error| error.to_string())?;
    params.distinguished_name = DistinguishedName::new();
    Ok(params)
}
