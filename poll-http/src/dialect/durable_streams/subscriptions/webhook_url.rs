//! Where a webhook may be sent. A subscriber chooses the URL and the server connects to it, so without a check anyone could
//! have it ask services that only it can reach.
//!
//! The rules are about addresses, since a name may lead anywhere and somewhere else a moment later: the client that connects
//! resolves the name, asks [`WebhookUrl::permits`], and connects to that very address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;

/// Whether webhooks may be on the server's own machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loopback {
    /// By plain http, for development: only this machine reaches the server.
    Allowed,
    /// They may not.
    Refused,
}

/// A URL that webhooks may be sent to, if its address is [permitted](Self::permits).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookUrl {
    text: Box<str>,
    uri: Uri,
    reach: Reach,
}

/// What a URL may lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Addresses of the internet, by https.
    Internet,
    /// This machine, by http.
    Loopback,
}

/// Why a URL is refused, as a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebhookUrlError(pub &'static str);

impl WebhookUrl {
    const MOST_BYTES: usize = 2048;

    /// Reads a URL.
    ///
    /// # Errors
    /// If it is none, has a user in it, is not https, or names an address that is not permitted.
    pub fn parse(text: &str, loopback: Loopback) -> Result<Self, WebhookUrlError> {
        let refused = |why| Err(WebhookUrlError(why));
        let Ok(uri) = text.parse::<Uri>() else { return refused("it is not a URL") };
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return refused("it is not an absolute URL");
        };
        if text.len() > Self::MOST_BYTES || text.contains('#') || authority.as_str().contains('@') {
            return refused("it is too long, or has a fragment or a user in it");
        }
        let host = host(&uri).to_ascii_lowercase();
        let address = host.parse::<IpAddr>().ok();
        let is_local = host == "localhost" || address.is_some_and(|address| address.is_loopback());
        let reach = match scheme {
            "https" => Reach::Internet,
            "http" if is_local && loopback == Loopback::Allowed => Reach::Loopback,
            "http" => return refused("it has to be https"),
            _ => return refused("it is not https"),
        };
        let url = Self { text: text.into(), uri, reach };
        match address {
            Some(address) if !url.permits(address, loopback) => {
                refused("its address is not one of the internet")
            }
            None if reach == Reach::Internet && !is_public_name(&host) => {
                refused("its host is not one of the internet")
            }
            _ => Ok(url),
        }
    }

    /// The URL.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The URL as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name or address of its host, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        host(&self.uri)
    }

    /// Whether the webhook may be sent to this address of its host, now that `loopback` holds: it may have been accepted when
    /// the server listened elsewhere.
    #[must_use]
    pub fn permits(&self, address: IpAddr, loopback: Loopback) -> bool {
        match self.reach {
            Reach::Loopback => address.is_loopback() && loopback == Loopback::Allowed,
            Reach::Internet => is_public(address),
        }
    }
}

fn host(uri: &Uri) -> &str {
    uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

/// Whether a name may lead to the internet. One whose last label is a number is an address in another notation, which
/// resolvers understand (WHATWG URL, section 3.5).
fn is_public_name(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    let is_local = ["localhost", "local", "internal", "localdomain"].contains(&last);
    !is_number && !is_local && name.contains('.')
}

/// Whether an address is one of the internet: the registries of special addresses (RFC 6890) list the others.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        (0 | 10 | 127 | 224..=255, _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // NAT64 leads to the address within.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        // Of what is given out (2000::/3), not Teredo, ORCHID and benchmarks, documentation, 6to4.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => false,
        [first, ..] => (0x2000..=0x3fff).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_internet_by_https_and_loopback_by_http() {
        for (url, of_all, of_loopback) in [
            ("https://worker.example/hooks?a=b", true, true),
            ("https://worker.example:8443/", true, true),
            ("https://8.8.8.8/", true, true),
            ("https://[2606:4700::1111]/", true, true),
            ("http://localhost:9000/h", false, true),
            ("http://127.0.0.1/", false, true),
            ("http://127.8.0.1/", false, true),
            ("http://[::1]/", false, true),
            ("http://worker.example/", false, false),
            ("http://10.0.0.1/hook", false, false),
            ("https://10.0.0.1/hook", false, false),
            ("https://172.20.1.1/", false, false),
            ("https://192.168.1.1/", false, false),
            ("https://169.254.169.254/latest/meta-data", false, false),
            ("https://100.100.0.1/", false, false),
            ("https://0.0.0.0/", false, false),
            ("https://127.0.0.1/", false, false),
            ("https://localhost/", false, false),
            ("https://x.localhost/", false, false),
            ("https://metadata.google.internal/", false, false),
            ("https://printer.local/", false, false),
            ("https://intranet/", false, false),
            ("https://2130706433/", false, false),
            ("https://0x7f.1/", false, false),
            ("https://127.1/", false, false),
            ("https://10.0.0.1./", false, false),
            ("https://[::1]/", false, false),
            ("https://[::ffff:10.0.0.1]/", false, false),
            ("https://[64:ff9b::a00:1]/", false, false),
            ("https://[64:ff9b::808:808]/", true, true),
            ("https://[fd00::1]/", false, false),
            ("https://[fe80::1]/", false, false),
            ("https://[2002:a00:1::]/", false, false),
            ("https://user@worker.example/", false, false),
            ("https://worker.example/#f", false, false),
            ("ftp://worker.example/", false, false),
            ("file:///etc/passwd", false, false),
            ("worker.example/hooks", false, false),
            ("", false, false),
        ] {
            for (loopback, expected) in [(Loopback::Refused, of_all), (Loopback::Allowed, of_loopback)] {
                assert_eq!(WebhookUrl::parse(url, loopback).is_ok(), expected, "{url} {loopback:?}");
            }
        }
    }

    #[test]
    fn a_name_is_judged_by_the_address_that_it_leads_to() {
        let url = WebhookUrl::parse("https://worker.example/", Loopback::Allowed).unwrap();
        for (address, expected) in [
            ("8.8.8.8", true),
            ("2606:4700::1111", true),
            ("127.0.0.1", false),
            ("10.1.2.3", false),
            ("::1", false),
            ("::ffff:169.254.169.254", false),
            ("fe80::1", false),
            ("255.255.255.255", false),
        ] {
            assert_eq!(url.permits(address.parse().unwrap(), Loopback::Allowed), expected, "{address}");
        }
        let local = WebhookUrl::parse("http://localhost:1/", Loopback::Allowed).unwrap();
        let of_local = |address: Ipv4Addr, loopback| local.permits(address.into(), loopback);
        assert!(of_local(Ipv4Addr::LOCALHOST, Loopback::Allowed));
        assert!(!of_local(Ipv4Addr::LOCALHOST, Loopback::Refused));
        assert!(!of_local(Ipv4Addr::new(8, 8, 8, 8), Loopback::Allowed));
    }
}
