//! Signed links: tokens for one right on one channel, which a native `EventSource` can have in its URL.
//!
//! Why here: servers and clients that have the key both make them, and neither uses the other. A link is a JSON Web Token
//! (RFC 7519) in the compact form of JWS (RFC 7515); cryptography is `ring`'s, as it is for TLS. Not here: verifying one,
//! which is the server's (`poll-http/src/access/jwt`); reading files.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Serialize;

use crate::types::{ChannelName, Timestamp};

/// The right that a link gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkRight {
    /// To publish.
    Publish,
    /// To read.
    Subscribe,
}

/// What a link's token says.
#[derive(Debug, Clone, Copy)]
pub struct Link<'a> {
    /// The one channel that it is for.
    pub channel: &'a ChannelName,
    /// What it allows there.
    pub right: LinkRight,
    /// When it ends, to the second.
    pub expires: Timestamp,
    /// Whose it is: the client of the limits.
    pub subject: Option<&'a str>,
    /// `iss`, where the server wants one.
    pub issuer: Option<&'a str>,
    /// `aud`, where the server wants one.
    pub audience: Option<&'a str>,
}

/// A key that signs tokens: a secret by HS256, RSA by RS256, P-256 by ES256, P-384 by ES384, Ed25519 by EdDSA.
pub struct SigningKey(Kind);

enum Kind {
    Secret(hmac::Key),
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// Why a key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyError {
    /// The secret is empty.
    Empty,
    /// There is no PEM section of the expected kind.
    NotPem,
    /// RSA from 2048 to 8192 bits, P-256, P-384 and Ed25519 are known.
    Unsupported,
    /// A private key for signing is in PKCS #8, or for RSA in PKCS #1.
    NotPkcs8,
}

#[derive(Serialize)]
struct LinkClaims<'a> {
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
    poll: Poll<'a>,
}

/// The claim `poll` of a link.
#[derive(Serialize)]
struct Poll<'a> {
    channel: &'a str,
    right: LinkRight,
}

impl SigningKey {
    /// A secret, as the server has it: 32 bytes or more.
    ///
    /// # Errors
    /// If it is empty.
    pub fn secret(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.is_empty() {
            return Err(KeyError::Empty);
        }
        Ok(Self(Kind::Secret(hmac::Key::new(hmac::HMAC_SHA256, secret))))
    }

    /// The first private key of a PEM text: in PKCS #8, or PKCS #1 for RSA.
    ///
    /// # Errors
    /// If there is none, or it is of another kind.
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyError> {
        let der = PrivateKeyDer::from_pem_slice(text).map_err(|_| KeyError::NotPem)?;
        let der = match &der {
            PrivateKeyDer::Pkcs1(der) => {
                let pair = RsaKeyPair::from_der(der.secret_pkcs1_der());
                return pair.map(|pair| Self(Kind::Rsa(pair))).map_err(|_| KeyError::Unsupported);
            }
            PrivateKeyDer::Pkcs8(der) => der.secret_pkcs8_der(),
            _ => return Err(KeyError::NotPkcs8),
        };
        let random = SystemRandom::new();
        let ecdsa = |way| EcdsaKeyPair::from_pkcs8(way, der, &random).ok();
        // Some programs leave the public half of an Ed25519 key out.
        let kind = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok().map(Kind::Ed25519);
        let kind = kind.or_else(|| RsaKeyPair::from_pkcs8(der).ok().map(Kind::Rsa));
        let kind = kind.or_else(|| ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).map(Kind::P256));
        let kind = kind.or_else(|| ecdsa(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).map(Kind::P384));
        kind.map(Self).ok_or(KeyError::Unsupported)
    }

    /// The token of a link, for `access_token` in a URL or as a bearer token; `None` if the system has no randomness to sign
    /// with.
    ///
    /// ```
    /// use poll_core::link::{Link, LinkRight, SigningKey};
    /// use poll_core::{ChannelName, Timestamp};
    ///
    /// let key = SigningKey::secret(b"a secret of thirty-two bytes or more")?;
    /// let channel = ChannelName::parse("orders.7")?;
    /// let in_an_hour = Timestamp::from_millis(1_800_000_000_000 + 3_600_000);
    /// let link = Link {
    ///     channel: &channel,
    ///     right: LinkRight::Subscribe,
    ///     expires: in_an_hour,
    ///     subject: None,
    ///     issuer: None,
    ///     audience: None,
    /// };
    /// let token = key.sign(&link).unwrap();
    /// let url = format!("https://poll.example/api/stream?channel=orders.7&access_token={token}");
    /// assert_eq!(token.split('.').count(), 3);
    /// # drop(url);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn sign(&self, link: &Link<'_>) -> Option<String> {
        let claims = LinkClaims {
            exp: link.expires.as_millis() / 1_000,
            iss: link.issuer,
            aud: link.audience,
            sub: link.subject,
            poll: Poll { channel: link.channel.as_str(), right: link.right },
        };
        let algorithm = self.algorithm();
        let mut token = URL_SAFE_NO_PAD.encode(format!(r#"{{"typ":"JWT","alg":"{algorithm}"}}"#));
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(&claims).ok()?, &mut token);
        let signature = self.signature(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Some(token)
    }

    /// Its name (RFC 7518, section 3.1; RFC 8037, section 3.1).
    fn algorithm(&self) -> &'static str {
        match &self.0 {
            Kind::Secret(_) => "HS256",
            Kind::Rsa(_) => "RS256",
            Kind::P256(_) => "ES256",
            Kind::P384(_) => "ES384",
            Kind::Ed25519(_) => "EdDSA",
        }
    }

    fn signature(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        Some(match &self.0 {
            Kind::Secret(key) => hmac::sign(key, message).as_ref().to_vec(),
            Kind::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut signature).ok()?;
                signature
            }
            Kind::P256(pair) | Kind::P384(pair) => pair.sign(&random, message).ok()?.as_ref().to_vec(),
            Kind::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(&self.algorithm()).finish()
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the secret is empty",
            Self::NotPem => "there is no key in PEM of the kind that belongs here",
            Self::Unsupported => "a key is RSA of 2048 to 8192 bits, P-256, P-384 or Ed25519",
            Self::NotPkcs8 => {
                "a private key has to be in PKCS #8: `openssl pkcs8 -topk8 -nocrypt` makes it of others"
            }
        })
    }
}

impl std::error::Error for KeyError {}
