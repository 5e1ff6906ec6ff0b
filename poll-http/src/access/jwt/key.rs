//! Keys that verify tokens. A key has one family, and verifies nothing that claims to be signed in another's way.

use std::fmt;

use poll_core::link::KeyError;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use ring::{digest, hmac};
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{SubjectPublicKeyInfoDer, alg_id};

use super::der;
use super::jws::Algorithm;

/// A key that verifies tokens.
#[derive(Clone)]
pub struct VerifyingKey {
    /// Its name in a set of keys.
    pub(super) name: Option<Box<str>>,
    /// The only algorithm that it is for, where its set says so.
    pub(super) only: Option<Algorithm>,
    pub(super) family: Family,
}

/// What kind of key it is.
#[derive(Clone)]
pub(super) enum Family {
    /// A secret that signs as well.
    Secret(Box<[u8]>),
    /// Modulus and exponent, without leading zeros.
    Rsa(Box<[u8]>, Box<[u8]>),
    /// An uncompressed point.
    P256(Box<[u8]>),
    /// An uncompressed point.
    P384(Box<[u8]>),
    Ed25519(Box<[u8]>),
}

impl VerifyingKey {
    /// A secret, for HS256, HS384 and HS512. It should be as long as the digest, 32 bytes or more (RFC 7518, section 3.2).
    ///
    /// # Errors
    /// If it is empty.
    pub fn secret(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.is_empty() {
            return Err(KeyError::Empty);
        }
        Ok(Self::of(Family::Secret(secret.into())))
    }

    /// The public keys of a PEM text: each section `PUBLIC KEY` is one, for RS256 and PS256, ES256, ES384 or EdDSA.
    ///
    /// # Errors
    /// If there is none, or one is of another kind.
    pub fn from_pem(text: &[u8]) -> Result<Vec<Self>, KeyError> {
        let mut keys = Vec::new();
        for section in SubjectPublicKeyInfoDer::pem_slice_iter(text) {
            let section = section.map_err(|_: pem::Error| KeyError::NotPem)?;
            keys.push(Self::of(Family::of_der(&section).ok_or(KeyError::Unsupported)?));
        }
        if keys.is_empty() { Err(KeyError::NotPem) } else { Ok(keys) }
    }

    pub(super) fn of(family: Family) -> Self {
        Self { name: None, only: None, family }
    }

    /// Whether it may have signed a token that names its key.
    pub(super) fn answers_to(&self, name: Option<&str>) -> bool {
        self.name.is_none() || name.is_none() || self.name.as_deref() == name
    }

    /// Whether it has made this signature in this way.
    pub(super) fn verifies(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        if self.only.is_some_and(|only| only != algorithm) {
            return false;
        }
        let by = |way: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(way, key).verify(signed, signature).is_ok()
        };
        let mac = |way, key: &[u8]| hmac::verify(&hmac::Key::new(way, key), signed, signature).is_ok();
        let rsa = |way, (n, e)| RsaPublicKeyComponents { n, e }.verify(way, signed, signature).is_ok();
        match (algorithm, &self.family) {
            (Algorithm::Hs256, Family::Secret(key)) => mac(hmac::HMAC_SHA256, key),
            (Algorithm::Hs384, Family::Secret(key)) => mac(hmac::HMAC_SHA384, key),
            (Algorithm::Hs512, Family::Secret(key)) => mac(hmac::HMAC_SHA512, key),
            (Algorithm::Rs256, Family::Rsa(n, e)) => rsa(&signature::RSA_PKCS1_2048_8192_SHA256, (n, e)),
            (Algorithm::Ps256, Family::Rsa(n, e)) => rsa(&signature::RSA_PSS_2048_8192_SHA256, (n, e)),
            (Algorithm::Es256, Family::P256(key)) => by(&signature::ECDSA_P256_SHA256_FIXED, key),
            (Algorithm::Es384, Family::P384(key)) => by(&signature::ECDSA_P384_SHA384_FIXED, key),
            (Algorithm::EdDsa, Family::Ed25519(key)) => by(&signature::ED25519, key),
            _ => false,
        }
    }

    /// The same for equal keys, so that it shows whether keys have changed; reveals nothing of a secret.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut hash = digest::Context::new(&digest::SHA256);
        let (kind, parts): (u8, [&[u8]; 2]) = match &self.family {
            Family::Secret(key) => (0, [key, &[]]),
            Family::Rsa(n, e) => (1, [n, e]),
            Family::P256(key) => (2, [key, &[]]),
            Family::P384(key) => (3, [key, &[]]),
            Family::Ed25519(key) => (4, [key, &[]]),
        };
        let name = self.name.as_deref().unwrap_or_default().as_bytes();
        hash.update(&[kind, u8::from(self.name.is_some()), self.only.map_or(0, |only| only as u8 + 1)]);
        for part in [name, parts[0], parts[1]] {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let mut print = [0; 32];
        print.copy_from_slice(hash.finish().as_ref());
        print
    }
}

impl Family {
    /// A public key in DER.
    fn of_der(info: &[u8]) -> Option<Self> {
        let (algorithm, key) = der::public_key(info)?;
        let is = |id: alg_id::AlgorithmIdentifier| algorithm == id.as_ref();
        if is(alg_id::RSA_ENCRYPTION) {
            let (n, e) = der::rsa_parts(key)?;
            return Self::rsa(n, e);
        }
        let point = |bytes| (key.len() == bytes && key.first() == Some(&4)).then(|| key.into());
        match () {
            () if is(alg_id::ECDSA_P256) => point(65).map(Self::P256),
            () if is(alg_id::ECDSA_P384) => point(97).map(Self::P384),
            () if is(alg_id::ED25519) => (key.len() == 32).then(|| Self::Ed25519(key.into())),
            () => None,
        }
    }

    /// An RSA key by its parts, from 2048 to 8192 bits.
    pub(super) fn rsa(n: &[u8], e: &[u8]) -> Option<Self> {
        let bare = |number: &[u8]| {
            let zeros = number.iter().take_while(|byte| **byte == 0).count();
            Box::<[u8]>::from(&number[zeros..])
        };
        let (n, e) = (bare(n), bare(e));
        let bits = n.len() * 8 - n.first()?.leading_zeros() as usize;
        ((2048..=8192).contains(&bits) && !e.is_empty()).then_some(Self::Rsa(n, e))
    }

    /// A point of an elliptic curve by its coordinates.
    pub(super) fn point(x: &[u8], y: &[u8]) -> Option<Self> {
        let point = [&[4], x, y].concat().into_boxed_slice();
        match (x.len(), y.len()) {
            (32, 32) => Some(Self::P256(point)),
            (48, 48) => Some(Self::P384(point)),
            _ => None,
        }
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey").field("name", &self.name).finish_non_exhaustive()
    }
}
