//! Chooses a certificate by the name that a client asks for (RFC 6066, section 3).
//!
//! A pair's own names count before wildcards, and the first of several pairs with a name; without a match, or a name,
//! it is the first pair: a client that asked for another host is better told so by the certificate than by a cut.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::pair::Pair;

/// The certificates in force, by name.
#[derive(Debug)]
pub(super) struct Choice {
    hosts: BTreeMap<String, Arc<CertifiedKey>>,
    first: Option<Arc<CertifiedKey>>,
}

impl Choice {
    pub(super) fn new<'a>(pairs: impl IntoIterator<Item = &'a Pair>) -> Self {
        let mut choice = Self { hosts: BTreeMap::new(), first: None };
        for pair in pairs {
            choice.first.get_or_insert_with(|| Arc::clone(&pair.certified));
            for host in &pair.hosts {
                choice.hosts.entry(host.clone()).or_insert_with(|| Arc::clone(&pair.certified));
            }
        }
        choice
    }

    fn by_name(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        let wildcard = || self.hosts.get(&format!("*.{}", name.split_once('.')?.1));
        self.hosts.get(name).or_else(wildcard)
    }
}

impl ResolvesServerCert for Choice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        hello.server_name().and_then(|name| self.by_name(name)).or(self.first.as_ref()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use rustls::crypto::ring;

    use super::*;

    fn pair(hosts: &[&str]) -> Pair {
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(hosts).unwrap();
        Pair::parse(&cert.pem(), &signing_key.serialize_pem(), &ring::default_provider()).unwrap()
    }

    #[test]
    fn names_come_before_wildcards_and_first_pairs_before_later_ones() {
        let pairs = [
            pair(&["first.test"]),
            pair(&["*.test.org", "a.test"]),
            pair(&["b.test.org", "a.test", "UPPER.test"]),
        ];
        let choice = Choice::new(&pairs);
        let chosen = |name: &str| {
            let chosen = choice.by_name(name);
            chosen.map(|key| pairs.iter().position(|pair| Arc::ptr_eq(key, &pair.certified)).unwrap())
        };
        for (name, expected) in [
            ("first.test", Some(0)),
            ("FIRST.test.", Some(0)),
            ("a.test", Some(1)),
            ("b.test.org", Some(2)),
            ("c.test.org", Some(1)),
            ("d.c.test.org", None),
            ("test.org", None),
            ("upper.TEST", Some(2)),
            ("other.test", None),
            ("test", None),
        ] {
            assert_eq!(chosen(name), expected, "{name}");
        }
        assert!(Arc::ptr_eq(choice.first.as_ref().unwrap(), &pairs[0].certified));
    }
}
