//! Certificates by ACME: the settings that begin with `acme`, resolved.
//!
//! Not here: asking the authority for anything (`acme.rs` above).

use std::net::Ipv4Addr;
use std::path::PathBuf;

use http::Uri;

use super::resolve::Resolver;
use super::resolved::{Acme, StoreUrl};
use super::settings::{Default, find};
use super::value;

/// The folder in that of a store on disk, and the one in the folder of the process for any other.
const BESIDE_STORE: &str = "acme";
const ALONE: &str = "poll-acme";

impl Resolver<'_> {
    pub(super) fn acme(&mut self, store: &StoreUrl) -> Option<Acme> {
        let domains = self.given("acme-domain", domain);
        let email = self.optional("acme-email", email);
        let directory = self.optional("acme-directory", directory);
        let folder = self.optional("acme-folder", value::file);
        for (index, domain) in domains.iter().enumerate() {
            if domains[..index].contains(domain) {
                self.fault_of("acme-domain", &format!("{domain} is listed twice"));
            }
        }
        // A file may list all defaults.
        let elsewhere = directory.is_some() && directory != lets_encrypt();
        let idle = [
            ("acme-email", email.is_some()),
            ("acme-directory", elsewhere),
            ("acme-folder", folder.is_some()),
        ];
        for (name, _) in idle.into_iter().filter(|(_, does_nothing)| *does_nothing) {
            if !self.is_given("acme-domain") {
                self.fault_of(name, "does nothing without acme-domain");
            }
        }
        if domains.is_empty() {
            return None;
        }
        let directory = directory.or_else(lets_encrypt)?;
        let folder = folder.unwrap_or_else(|| match store {
            StoreUrl::Disk(path) => path.join(BESIDE_STORE),
            _ => PathBuf::from(ALONE),
        });
        Some(Acme { domains, email, directory, folder })
    }
}

/// The default.
fn lets_encrypt() -> Option<Uri> {
    match find("acme-directory")?.default {
        Default::Text(url) => directory(url).ok(),
        Default::Shown(_) => None,
    }
}

/// A name that an authority can prove by TLS-ALPN-01 (RFC 8737): no address, no wildcard. In lower case.
fn domain(text: &str) -> Result<String, String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if name.starts_with("*.") {
        return Err(format!("{text:?} is a wildcard, which takes proof by DNS: list its names"));
    }
    let label_fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_address = name.parse::<Ipv4Addr>().is_ok();
    if name.len() > 253 || is_address || !name.split('.').all(label_fits) {
        return Err(format!("{text:?} is not a DNS name, such as poll.example.com (IDNA as xn--…)"));
    }
    Ok(name)
}

fn email(text: &str) -> Result<String, String> {
    let fits =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'@');
    match text.split_once('@') {
        Some((local, host)) if fits(local) && fits(host) && !text.contains([',', '?']) => Ok(text.to_owned()),
        _ => Err(format!("{text:?} is not an e-mail address")),
    }
}

fn directory(text: &str) -> Result<Uri, String> {
    value::trusted_url(text, "anyone on the way could answer in its place")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_can_be_proved_are_domains() {
        for (text, expected) in [
            ("poll.example.com", Some("poll.example.com")),
            ("POLL.Example.COM.", Some("poll.example.com")),
            ("localhost", Some("localhost")),
            ("xn--bcher-kva.example", Some("xn--bcher-kva.example")),
            ("1.2.3.x", Some("1.2.3.x")),
            ("", None),
            (".", None),
            ("a..b", None),
            ("-a.test", None),
            ("a-.test", None),
            ("a_b.test", None),
            ("a.test:443", None),
            ("https://a.test", None),
            ("bücher.example", None),
            ("*.example.com", None),
            ("1.2.3.4", None),
            ("::1", None),
        ] {
            assert_eq!(domain(text).ok().as_deref(), expected, "{text}");
        }
        assert!(domain(&format!("{}.test", "a".repeat(64))).is_err());
        assert!(domain(&["a"; 127].join(".")).is_ok() && domain(&["a"; 128].join(".")).is_err());
        assert!(domain("*.example.com").unwrap_err().contains("list its names"));
    }

    #[test]
    fn an_address_is_one_address() {
        assert!(email("ops+poll@example.com").is_ok());
        for text in ["", "ops", "@example.com", "ops@", "a@b@c", "a b@c", "a@b,c@d", "a@b?cc=c@d"] {
            assert!(email(text).is_err(), "{text}");
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn the_default_is_a_directory() {
        assert_eq!(lets_encrypt().unwrap().host(), Some("acme-v02.api.letsencrypt.org"));
    }
}
