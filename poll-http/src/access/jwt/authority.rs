//! [`JwtAuthority`]: judges tokens by keys, beside static ones.

use std::sync::Arc;

use poll_core::Timestamp;

use super::claims::{Claims, Rules};
use super::judged::Judged;
use super::jws::{self, Jws};
use super::key::VerifyingKey;
use crate::access::authority::{Authority, Denied, Grant, KeyFetch};
use crate::access::tokens::Access;

/// Judges JSON Web Tokens. Both rights need a token then.
#[must_use]
pub struct JwtAuthority {
    keys: Vec<VerifyingKey>,
    rules: Rules,
    access: Access,
    fetch: Option<Box<Fetch>>,
    judged: Judged,
}

type Fetch = dyn Fn() -> KeyFetch + Send + Sync;

impl JwtAuthority {
    /// An authority for tokens that one of these keys verifies.
    pub fn new(keys: Vec<VerifyingKey>, rules: Rules) -> Self {
        Self { keys, rules, access: Access::default(), fetch: None, judged: Judged::default() }
    }

    /// Static tokens that are good as well.
    pub fn or_static(self, access: Access) -> Self {
        Self { access, ..self }
    }

    /// How to fetch keys when a token names one that is not there; see [`Authority::fetch_keys`].
    pub fn fetching(self, fetch: impl Fn() -> KeyFetch + Send + Sync + 'static) -> Self {
        Self { fetch: Some(Box::new(fetch)), ..self }
    }

    /// What a token's claims grant, if one of the keys has signed them.
    fn verify(&self, token: &str, now: Timestamp) -> Result<Arc<Grant>, Denied> {
        let jws = Jws::parse(token).ok_or(Denied::Wrong("the token is not known"))?;
        let name = jws.key.as_deref();
        let mut keys = self.keys.iter().filter(|key| key.answers_to(name));
        if !keys.any(|key| key.verifies(jws.algorithm, jws.signed, &jws.signature)) {
            let is_there = self.keys.iter().any(|key| key.name.as_deref() == name);
            return Err(match &self.fetch {
                Some(_) if name.is_some() && !is_there => Denied::UnknownKey,
                _ => Denied::Wrong("the token is not signed by a key of this server"),
            });
        }
        let claims: Option<Claims> = jws::object(&jws.claims);
        let claims = claims.ok_or(Denied::Wrong("the token's claims are malformed"))?;
        claims.grant(&self.rules, now).map(Arc::new)
    }
}

impl Authority for JwtAuthority {
    fn anyone(&self) -> Arc<Grant> {
        Arc::default()
    }

    fn judge(&self, token: &str, now: Timestamp) -> Result<Arc<Grant>, Denied> {
        let held = self.access.holding(token);
        if held.any() {
            return Ok(held.grant());
        }
        if let Some(grant) = self.judged.get(token, now) {
            return Ok(grant);
        }
        let grant = self.verify(token, now)?;
        self.judged.insert(token, grant.clone());
        Ok(grant)
    }

    fn fetch_keys(&self) -> KeyFetch {
        self.fetch.as_ref().map_or(KeyFetch::Nothing, |fetch| fetch())
    }
}
