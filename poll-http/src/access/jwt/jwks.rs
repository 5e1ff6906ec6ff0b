//! Sets of public keys as identity providers publish them (RFC 7517).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::jws::Algorithm;
use super::key::{Family, VerifyingKey};

/// More keys than any provider has: each may have to be tried.
const MOST_KEYS: usize = 100;

#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The keys of a set that verify tokens: those for encryption, of other kinds and secrets are left out. `None` if it is no
/// set of keys.
#[must_use]
pub fn parse_jwks(json: &[u8]) -> Option<Vec<VerifyingKey>> {
    let set: Set = serde_json::from_slice(json).ok()?;
    let keys = set.keys.into_iter().take(MOST_KEYS);
    Some(keys.filter_map(|key| serde_json::from_value(key).ok()).filter_map(Jwk::into_key).collect())
}

impl Jwk {
    fn into_key(self) -> Option<VerifyingKey> {
        if self.r#use.as_deref().is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let part = |text: Option<String>| URL_SAFE_NO_PAD.decode(text?.trim_end_matches('=')).ok();
        let family = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => Family::rsa(&part(self.n)?, &part(self.e)?)?,
            ("EC", Some("P-256" | "P-384")) => Family::point(&part(self.x)?, &part(self.y)?)?,
            ("OKP", Some("Ed25519")) => {
                let key = part(self.x)?;
                (key.len() == 32).then(|| Family::Ed25519(key.into()))?
            }
            _ => return None,
        };
        let only = match self.alg {
            None => None,
            Some(name) => Some(serde_json::from_value::<Algorithm>(name.into()).ok()?),
        };
        Some(VerifyingKey { name: self.kid.map(Into::into), only, family })
    }
}
