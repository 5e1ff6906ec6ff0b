//! A token's outer form: header, claims and signature (RFC 7515, section 7.1).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};

/// How a token is signed (RFC 7518, section 3.1; RFC 8037, section 3.1). There is no `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Ps256,
    Es256,
    Es384,
    #[serde(rename = "EdDSA")]
    EdDsa,
}

#[derive(Deserialize)]
struct Header {
    alg: Algorithm,
    kid: Option<String>,
    /// Whether there are extensions that have to be understood: there is none.
    #[serde(default, deserialize_with = "is_there")]
    crit: bool,
}

fn is_there<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(value).map(|_| true)
}

/// Reads a JSON object, and nothing else: a list is not taken for its fields (RFC 7515, section 4; RFC 7519, section 4).
pub(super) fn object<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    let is_object = json.trim_ascii_start().first() == Some(&b'{');
    is_object.then(|| serde_json::from_slice(json).ok()).flatten()
}

/// A token taken apart; nothing of it is proved.
pub(super) struct Jws<'a> {
    pub(super) algorithm: Algorithm,
    /// The name of its key.
    pub(super) key: Option<String>,
    /// What is signed.
    pub(super) signed: &'a [u8],
    pub(super) claims: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

impl<'a> Jws<'a> {
    /// Takes a token apart; `None` if it is none, or signed in another way.
    pub(super) fn parse(token: &'a str) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let header: Header = object(&decode(header)?)?;
        if header.crit {
            return None;
        }
        Some(Self {
            algorithm: header.alg,
            key: header.kid,
            signed: signed.as_bytes(),
            claims: decode(claims)?,
            signature: decode(signature)?,
        })
    }
}

/// The part of a token that is signed.
pub(super) fn to_sign(algorithm: Algorithm, claims: &[u8]) -> String {
    let algorithm = match algorithm {
        Algorithm::Hs256 => "HS256",
        Algorithm::Hs384 => "HS384",
        Algorithm::Hs512 => "HS512",
        Algorithm::Rs256 => "RS256",
        Algorithm::Ps256 => "PS256",
        Algorithm::Es256 => "ES256",
        Algorithm::Es384 => "ES384",
        Algorithm::EdDsa => "EdDSA",
    };
    let mut text = URL_SAFE_NO_PAD.encode(format!(r#"{{"typ":"JWT","alg":"{algorithm}"}}"#));
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut text);
    text
}

/// A whole token.
pub(super) fn join(mut signed: String, signature: &[u8]) -> String {
    signed.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut signed);
    signed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_read(header: &str) -> bool {
        Jws::parse(&format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(header))).is_some()
    }

    #[test]
    fn a_header_is_an_object_without_extensions_that_have_to_be_understood() {
        assert!(is_read(r#"{"alg":"HS256"}"#) && is_read(r#" {"alg":"ES256","kid":"a","typ":"JWT"}"#));
        for header in [
            r#"["HS256",null,null]"#,
            r#"{"alg":"HS256","crit":null}"#,
            r#"{"alg":"HS256","crit":["b64"]}"#,
            r#"{"alg":"none"}"#,
            r#"{}"#,
            "",
        ] {
            assert!(!is_read(header), "{header}");
        }
    }
}
