//! The name in a client's certificate.

use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// The longest name that limits count by, in bytes; of a longer subject the beginning counts.
const MOST: usize = 256;

/// The certificate's subject as text (RFC 4514), or its first alternative name where the subject is empty. `None` where
/// there is neither.
pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<String> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let certificate = certificate.tbs_certificate();
    let subject = certificate.subject();
    let name = if subject.is_empty() {
        let (_, names) = certificate.get_extension::<SubjectAltName>().ok()??;
        names.0.iter().find_map(alternative)?
    } else {
        subject.to_string()
    };
    let mut visible: String = name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    let end = (0..=MOST.min(visible.len())).rev().find(|&end| visible.is_char_boundary(end));
    visible.truncate(end.unwrap_or_default());
    Some(visible)
}

fn alternative(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::Rfc822Name(text)
        | GeneralName::DnsName(text)
        | GeneralName::UniformResourceIdentifier(text) => Some(text.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    fn name(subject: &[(DnType, &str)], alternatives: Vec<SanType>) -> Option<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        subject.iter().for_each(|(kind, value)| params.distinguished_name.push(kind.clone(), *value));
        params.subject_alt_names = alternatives;
        of(params.self_signed(&KeyPair::generate().unwrap()).unwrap().der())
    }

    #[test]
    fn the_subject_is_the_name_or_else_an_alternative() {
        let uri = || vec![SanType::URI("spiffe://a/b".try_into().unwrap())];
        assert_eq!(name(&[(DnType::CommonName, "alice")], uri()).as_deref(), Some("CN=alice"));
        let both = [(DnType::OrganizationName, "Acme, Inc."), (DnType::CommonName, "alice")];
        assert_eq!(name(&both, Vec::new()).as_deref(), Some("CN=alice,O=Acme\\, Inc."));
        assert_eq!(name(&[], uri()).as_deref(), Some("spiffe://a/b"));
        assert_eq!(name(&[], Vec::new()), None);
        assert_eq!(name(&[(DnType::CommonName, "a\u{7}b")], Vec::new()).as_deref(), Some("CN=a\\07b"));
        let long = "ü".repeat(300);
        assert_eq!(name(&[(DnType::CommonName, &long)], Vec::new()).unwrap().len(), 255);
    }
}
