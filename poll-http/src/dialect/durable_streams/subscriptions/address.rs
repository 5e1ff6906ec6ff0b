//! The addresses below `/v1/stream/__ds/`.

use std::fmt;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use poll_core::ChannelName;

use crate::message::percent_encoding::is_encoded;
use crate::message::refusal::Refusal;

/// What the path of every subscription begins with.
pub(crate) const ROOT: &str = "/v1/stream/__ds/subscriptions/";
/// The path of the keys that webhooks are signed with.
pub(crate) const KEYS: &str = "/v1/stream/__ds/jwks.json";
/// What is encoded of an id in an address: all but what is unreserved (RFC 3986, section 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A subscription's id, as its client chose it: 1 to 255 bytes without `/` and control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SubscriptionId(Arc<str>);

/// What a path below a subscription names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubscriptionPath {
    /// The subscription itself.
    Whole,
    /// `/streams`: the streams that it names one by one.
    Streams,
    /// `/streams/{name}`: one of them.
    Stream(ChannelName),
    /// `/callback`: how a webhook answers later.
    Callback,
    /// `/claim`: how a worker takes a wake.
    Claim,
    /// `/ack`: how it acknowledges.
    Ack,
    /// `/release`: how it gives a wake back.
    Release,
}

impl SubscriptionId {
    const MOST_BYTES: usize = 255;

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let fits = (1..=Self::MOST_BYTES).contains(&text.len());
        (fits && !text.contains('/') && !text.chars().any(char::is_control)).then(|| Self(text.into()))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl SubscriptionPath {
    /// What follows the [root](ROOT).
    ///
    /// # Errors
    /// 400 if a name is malformed, 404 if there is nothing at the path.
    pub(crate) fn parse(path: &str) -> Result<(SubscriptionId, Self), Refusal> {
        let (id, rest) = path.split_once('/').unwrap_or((path, ""));
        let id = SubscriptionId::parse(&decoded(id)?).ok_or_else(|| {
            Refusal::bad_request("a subscription's id is 1 to 255 bytes without `/` and control characters")
        })?;
        let part = match rest {
            "" if path.contains('/') => return Err(Refusal::not_found()),
            "" => Self::Whole,
            "streams" => Self::Streams,
            "callback" => Self::Callback,
            "claim" => Self::Claim,
            "ack" => Self::Ack,
            "release" => Self::Release,
            _ => {
                let name = rest.strip_prefix("streams/").ok_or_else(Refusal::not_found)?;
                Self::Stream(ChannelName::parse(decoded(name)?.trim_matches('/'))?)
            }
        };
        Ok((id, part))
    }

    /// Whether its requests carry the token of a wake in place of the server's.
    pub(crate) fn wants_wake_token(&self) -> bool {
        matches!(self, Self::Callback | Self::Ack | Self::Release)
    }
}

/// An id as part of an address.
pub(crate) fn encoded(id: &str) -> String {
    utf8_percent_encode(id, ENCODED).to_string()
}

fn decoded(text: &str) -> Result<String, Refusal> {
    let not_text = || Refusal::bad_request("the path is not percent-encoded UTF-8");
    if !is_encoded(text.as_bytes()) {
        return Err(not_text());
    }
    Ok(percent_decode_str(text).decode_utf8().map_err(|_| not_text())?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_a_subscription_and_a_part_of_it() {
        let parsed = |path: &str| {
            SubscriptionPath::parse(path)
                .map(|(id, part)| (id.as_str().to_owned(), part))
                .map_err(|refusal| refusal.status().as_u16())
        };
        let stream = SubscriptionPath::Stream(ChannelName::parse("a/b").unwrap());
        for (path, expected) in [
            ("s-1", Ok(("s-1".to_owned(), SubscriptionPath::Whole))),
            ("s%201/claim", Ok(("s 1".to_owned(), SubscriptionPath::Claim))),
            ("s/streams", Ok(("s".to_owned(), SubscriptionPath::Streams))),
            ("s/streams/a%2Fb", Ok(("s".to_owned(), stream.clone()))),
            ("s/streams/a/b", Ok(("s".to_owned(), stream))),
            ("s/", Err(404)),
            ("s/other", Err(404)),
            ("s/claim/x", Err(404)),
            ("", Err(400)),
            ("a%2Fb", Err(400)),
            ("a%0A", Err(400)),
            ("%ff", Err(400)),
        ] {
            assert_eq!(parsed(path), expected, "{path}");
        }
    }
}
