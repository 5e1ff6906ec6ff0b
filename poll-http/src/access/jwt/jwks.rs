//! Sets of public keys as identity providers publish them (RFC 7517).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

use super::jws::{Algorithm, Object, object};
use super::key::{Family, VerifyingKey};

/// More keys than any provider has: each may have to be tried.
const MOST_KEYS: usize = 100;

/// Why there are no keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySetError {
    /// It is no set of keys.
    NotASet,
    /// It has more than a hundred. Leaving some out could leave out the one that is needed, now this one and now that.
    TooMany,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The keys of a set that verify tokens: those for encryption, of other kinds and secrets are left out.
///
/// # Errors
/// If it is no set of keys, or too large a one.
pub fn parse_jwks(json: &[u8]) -> Result<Vec<VerifyingKey>, KeySetError> {
    let set: Set = object(json).ok_or(KeySetError::NotASet)?;
    if set.keys.len() > MOST_KEYS {
        return Err(KeySetError::TooMany);
    }
    let known = |key| serde_json::from_value(key).ok().map(|Object(key)| key);
    Ok(set.keys.into_iter().filter_map(known).filter_map(Jwk::into_key).collect())
}

impl Jwk {
    fn into_key(self) -> Option<VerifyingKey> {
        if self.r#use.as_deref().is_some_and(|purpose| purpose != "sig")
            || self.key_ops.is_some_and(|uses| !uses.iter().any(|operation| operation == "verify"))
        {
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

impl fmt::Display for KeySetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotASet => f.write_str("it is no set of keys"),
            Self::TooMany => write!(f, "it has more than {MOST_KEYS} keys"),
        }
    }
}

impl std::error::Error for KeySetError {}
