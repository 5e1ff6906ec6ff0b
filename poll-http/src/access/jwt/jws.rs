//! A token's outer form: header, claims and signature (RFC 7515, section 7.1).

use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// How a token is signed (RFC 7518, section 3.1; RFC 8037, section 3.1). There is no `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Ps256,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    const ALL: [Self; 8] = [
        Self::Hs256,
        Self::Hs384,
        Self::Hs512,
        Self::Rs256,
        Self::Ps256,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl TryFrom<String> for Algorithm {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name).ok_or("no algorithm that is known")
    }
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

/// A JSON object, and nothing else: a list is not taken for its fields (RFC 7515, section 4; RFC 7519, section 4).
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, members: M) -> Result<T, M::Error> {
                T::deserialize(MapAccessDeserializer::new(members))
            }
        }

        deserializer.deserialize_map(Members(PhantomData)).map(Self)
    }
}

/// Reads a JSON object.
pub(super) fn object<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    serde_json::from_slice(json).ok().map(|Object(object)| object)
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
            r#"{"alg":{"HS256":null}}"#,
            r#"{"alg":"HS256","alg":"HS256"}"#,
            r#"{"alg":"HS256","kid":["a"]}"#,
            r#"{"alg":"HS256"} {}"#,
            r#"{}"#,
            "",
        ] {
            assert!(!is_read(header), "{header}");
        }
    }
}
