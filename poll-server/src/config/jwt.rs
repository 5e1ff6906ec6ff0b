//! Whose signed tokens are good: keys, read from their files, and where sets of keys are.
//!
//! What: the settings that begin with `jwt` and `jwks`, resolved.
//! Why: keys are read with everything else, so that `--check` finds a bad one, and a reload reads them again.
//! Not here: fetching sets of keys, and verifying anything.

use std::path::PathBuf;

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
    value::trusted_url(text, "anyone who can change keys can sign anything").map(KeySetUrl)
}

fn some_text(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(text.to_owned()) }
}
