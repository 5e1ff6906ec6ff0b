//! A token's claims (RFC 7519, section 4), and `poll`, which says what its holder may do.

use std::sync::Arc;
use std::time::Duration;

use poll_core::{ChannelName, Timestamp};
use serde::Deserialize;

use super::jws::Object;
use crate::access::authority::{Denied, Grant, Scope};
use crate::access::pattern::Pattern;

/// How far the clocks of a token's issuer and of this server may be apart.
const LEEWAY: Duration = Duration::from_secs(30);

/// Who may issue tokens, and for whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Accepted `iss`. Empty: it is not looked at.
    pub issuers: Vec<String>,
    /// Accepted `aud`, one of which is enough. Empty: it is not looked at.
    pub audiences: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct Claims {
    exp: Option<f64>,
    nbf: Option<f64>,
    iss: Option<String>,
    aud: Option<Audience>,
    sub: Option<String>,
    poll: Option<Object<Poll>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// The claim `poll`: patterns by right, or a link's one channel.
#[derive(Default, Deserialize)]
struct Poll {
    publish: Option<Vec<String>>,
    subscribe: Option<Vec<String>>,
    channel: Option<String>,
    right: Option<String>,
}

impl Poll {
    /// Where its holder may publish, and what it may read.
    fn scopes(self) -> Option<(Scope, Scope)> {
        let patterns = |texts: Option<Vec<String>>| match texts {
            Some(texts) if !texts.is_empty() => {
                Scope::Patterns(texts.iter().map(|text| Pattern::new(text)).collect())
            }
            _ => Scope::Nothing,
        };
        match self {
            Self { publish, subscribe, channel: None, right: None } => {
                Some((patterns(publish), patterns(subscribe)))
            }
            Self { publish: None, subscribe: None, channel: Some(channel), right: Some(right) } => {
                let channel = Scope::Channel(ChannelName::parse(&channel).ok()?);
                match right.as_str() {
                    "publish" => Some((channel, Scope::Nothing)),
                    "subscribe" => Some((Scope::Nothing, channel)),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

impl Claims {
    /// What they grant at this time.
    pub(super) fn grant(self, rules: &Rules, now: Timestamp) -> Result<Grant, Denied> {
        let Self { exp, nbf, iss, aud, sub, poll } = self;
        let named = |wanted: &[String], name: &String| wanted.is_empty() || wanted.contains(name);
        if !rules.issuers.is_empty() && !iss.is_some_and(|iss| named(&rules.issuers, &iss)) {
            return Err(Denied::Wrong("the token is of another issuer"));
        }
        let audience = match aud {
            None => Vec::new(),
            Some(Audience::One(one)) => vec![one],
            Some(Audience::Several(several)) => several,
        };
        if !rules.audiences.is_empty() && !audience.iter().any(|name| named(&rules.audiences, name)) {
            return Err(Denied::Wrong("the token is for another audience"));
        }
        if nbf.is_some_and(|nbf| timestamp(nbf).before(LEEWAY) > now) {
            return Err(Denied::Wrong("the token is not valid yet"));
        }
        let exp = exp.ok_or(Denied::Wrong("the token does not expire, but has to"))?;
        let expires = timestamp(exp).after(LEEWAY);
        if expires <= now {
            return Err(Denied::Expired);
        }
        let scopes = poll.map_or_else(Poll::default, |Object(poll)| poll).scopes();
        let (publish, subscribe) = scopes.ok_or(Denied::Wrong("the claim `poll` is malformed"))?;
        let subject: Option<Arc<str>> = sub.filter(|sub| !sub.is_empty()).map(Into::into);
        Ok(Grant { publish, subscribe, subject, expires: Some(expires) })
    }
}

/// A NumericDate: seconds since the Unix epoch, perhaps with a fraction.
fn timestamp(seconds: f64) -> Timestamp {
    // Saturates: what is before the epoch is the epoch.
    Timestamp::from_micros((seconds * 1e6) as u64)
}
