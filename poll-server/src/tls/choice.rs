//! Chooses a certificate by the name that a client asks for (RFC 6066, section 3).
//!
//! What was obtained for a name comes first. A pair's own names count before wildcards, and the first of several pairs with
//! a name; without a match, or a name, it is the first pair: a client that asked for another host is better told so by the
//! certificate than by a cut. A name whose certificate is still awaited is shown no other's.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::obtained::{Found, Obtained};
use super::pair::Pair;

/// The certificates in force, by name.
#[derive(Debug)]
pub(super) struct Choice {
    hosts: BTreeMap<String, Arc<CertifiedKey>>,
    first: Option<Arc<CertifiedKey>>,
    obtained: Option<Obtained>,
}

impl Choice {
    pub(super) fn new<'a>(pairs: impl IntoIterator<Item = &'a Pair>, obtained: Option<Obtained>) -> Self {
        let mut choice = Self { hosts: BTreeMap::new(), first: None, obtained };
        for pair in pairs {
            choice.first.get_or_insert_with(|| Arc::clone(&pair.certified));
            for host in &pair.hosts {
                choice.hosts.entry(host.clone()).or_insert_with(|| Arc::clone(&pair.certified));
            }
        }
        choice
    }

    fn by_name(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        let obtained = self.obtained.as_ref().map_or(Found::Other, |obtained| obtained.find(name));
        if let Found::Certificate(key) = obtained {
            return Some(key);
        }
        let wildcard = || self.hosts.get(&format!("*.{}", name.split_once('.')?.1));
        let key = self.hosts.get(name).or_else(wildcard).cloned();
        match obtained {
            Found::Awaited if key.is_none() => {
                tracing::debug!(name, "TLS handshake refused: {name} has no certificate yet");
                None
            }
            _ => key.or_else(|| self.by_default()),
        }
    }

    fn by_default(&self) -> Option<Arc<CertifiedKey>> {
        self.first.clone().or_else(|| self.obtained.as_ref()?.any())
    }
}

impl ResolvesServerCert for Choice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        hello.server_name().map_or_else(|| self.by_default(), |name| self.by_name(name))
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

    fn index(pairs: &[Pair], key: &Arc<CertifiedKey>) -> usize {
        pairs.iter().position(|pair| Arc::ptr_eq(key, &pair.certified)).unwrap()
    }

    #[test]
    fn names_come_before_wildcards_and_first_pairs_before_later_ones() {
        let pairs = [
            pair(&["first.test"]),
            pair(&["*.test.org", "a.test"]),
            pair(&["b.test.org", "a.test", "UPPER.test"]),
        ];
        let choice = Choice::new(&pairs, None);
        let chosen = |name: &str| index(&pairs, &choice.by_name(name).unwrap());
        for (name, expected) in [
            ("first.test", 0),
            ("FIRST.test.", 0),
            ("a.test", 1),
            ("b.test.org", 2),
            ("c.test.org", 1),
            ("d.c.test.org", 0),
            ("test.org", 0),
            ("upper.TEST", 2),
            ("other.test", 0),
            ("test", 0),
        ] {
            assert_eq!(chosen(name), expected, "{name}");
        }
        assert_eq!(index(&pairs, &choice.by_default().unwrap()), 0);
    }

    #[test]
    fn what_is_obtained_comes_first_and_what_is_awaited_has_no_substitute() {
        let pairs = [pair(&["first.test"]), pair(&["a.test", "*.org"]), pair(&["a.test"]), pair(&["b.test"])];
        let hosts = ["a.test", "b.test", "c.org"].map(str::to_owned);
        let provider = Arc::new(ring::default_provider());
        let obtained = Obtained::new(&hosts, provider, Arc::new(rustls::time_provider::DefaultTimeProvider));
        let choice = Choice::new(&pairs[..2], Some(obtained.clone()));
        let chosen = |name: &str| choice.by_name(name).map(|key| index(&pairs, &key));
        let expect = |all: [(&str, Option<usize>); 5]| {
            for (name, expected) in all {
                assert_eq!(chosen(name), expected, "{name}");
            }
        };
        // Files stand in until then.
        expect([
            ("a.test", Some(1)),
            ("b.test", None),
            ("c.org", Some(1)),
            ("d.org", Some(1)),
            ("x", Some(0)),
        ]);
        obtained.put("a.test", &pairs[2]);
        obtained.put("b.test", &pairs[3]);
        expect([
            ("A.test.", Some(2)),
            ("b.test", Some(3)),
            ("c.org", Some(1)),
            ("d.org", Some(1)),
            ("x", Some(0)),
        ]);
        assert_eq!(index(&pairs, &choice.by_default().unwrap()), 0);
        let alone = Choice::new([], Some(obtained));
        assert_eq!(index(&pairs, &alone.by_default().unwrap()), 2);
        assert_eq!(alone.by_name("x").map(|key| index(&pairs, &key)), Some(2));
        assert!(alone.by_name("c.org").is_none());
    }
}
