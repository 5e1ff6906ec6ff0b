//! Whose signed tokens are good: keys, read from their files, and where sets of keys are.
//!
//! What: the settings that begin with `jwt` and `jwks`, resolved.
//! Why: keys are read with everything else, so that `--check` finds a bad one, and a reload reads them again.
//! Not here: fetching sets of keys, and verifying anything.

use std::path::PathBuf;

use http::Uri;
use poll_http::jwt::{KeyError, VerifyingKey};

use super::resolve::Resolver;
use super::resolved::{Jwt, KeySetUrl};
use super::value;

/// The shortest secret that is as good as its digest (RFC 7518, section 3.2).
const SECRET_BYTES: usize = 32;

impl Resolver<'_> {
    pub(super) fn jwt(&mut self) -> Jwt {
        let mut keys = self.keys_in("jwt-key", |text| VerifyingKey::from_pem(text.as_bytes()));
        keys.extend(self.keys_in("jwt-secret-file", |text| Ok(vec![VerifyingKey::secret(secret(text))?])));
        let jwt = Jwt {
            keys,
            sets: self.given("jwks-url", key_set_url),
            issuers: self.given("jwt-issuer", some_text),
            audiences: self.given("jwt-audience", some_text),
        };
        for name in ["jwt-issuer", "jwt-audience"] {
            if !jwt.is_on() && self.is_given(name) {
                self.fault_of(name, "does nothing without jwt-key, jwt-secret-file or jwks-url");
            }
        }
        jwt
    }

    /// The keys in the files that `name` lists.
    fn keys_in(
        &mut self,
        name: &'static str,
        parse: fn(&str) -> Result<Vec<VerifyingKey>, KeyError>,
    ) -> Vec<VerifyingKey> {
        let files: Vec<PathBuf> = self.given(name, value::file);
        let mut keys = Vec::new();
        for file in files {
            match self.text_of(&file).map(|text| (parse(&text), secret(&text).len())) {
                Ok((Ok(found), length)) => {
                    keys.extend(found);
                    if name == "jwt-secret-file" && length < SECRET_BYTES {
                        let file = file.display();
                        self.warn(format!(
                            "{name}: {file}: {length} bytes are easier to guess than {SECRET_BYTES}"
                        ));
                    }
                }
                Ok((Err(error), _)) => self.fault_of(name, &format!("{}: {error}", file.display())),
                Err(error) => self.fault_of(name, &format!("{}: {error}", file.display())),
            }
        }
        keys
    }
}

/// A secret is text; what ends its last line is not part of it.
pub(crate) fn secret(text: &str) -> &[u8] {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text).as_bytes()
}

fn key_set_url(text: &str) -> Result<KeySetUrl, String> {
    let url: Uri = text.parse().map_err(|_| format!("{text:?} is not a URL"))?;
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_here =
        host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    let credentials = url.authority().is_some_and(|authority| authority.as_str().contains('@'));
    match url.scheme_str() {
        _ if host.is_empty() => Err(format!("{text:?} is not a URL")),
        // Not repeated: it may be a secret.
        _ if credentials => Err("a URL with a user is not fetched".to_owned()),
        Some("https") if cfg!(feature = "tls") => Ok(KeySetUrl(url)),
        Some("https") => Err("this build of poll-server was made without the feature tls".to_owned()),
        Some("http") if is_here => Ok(KeySetUrl(url)),
        _ => Err(format!(
            "{text:?} is not https, nor http to this machine: whoever can change keys can sign anything"
        )),
    }
}

fn some_text(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(text.to_owned()) }
}
