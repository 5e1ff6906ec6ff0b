//! The table itself: endpoints, credentials, and what each is answered. The tests of the server run it over TLS.
//!
//! What: data, how each token is made, the requests that carry it, and how an answer is read. Not here: sending them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};

/// The secret that the server has. Its issuer is `us`, its audience `poll`; `p` may publish, and `s` read.
pub(crate) const SECRET: &[u8] = b"thirty-two bytes, and some more of them";
/// The public key that the server has as well.
pub(crate) const RSA_PUBLIC: &[u8] = include_bytes!("../../jwt/rsa.pub.pem");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Right {
    Publish,
    Subscribe,
}

/// Method, target and content; the right that it needs, and on which channel.
struct Endpoint(&'static str, &'static str, &'static str, Right, &'static str);

use Right::{Publish, Subscribe};

const ENDPOINTS: &[Endpoint] = &[
    Endpoint("GET", "/api/poll?channel=orders.eu", "", Subscribe, "orders.eu"),
    Endpoint("HEAD", "/api/poll?channel=orders.eu", "", Subscribe, "orders.eu"),
    Endpoint("GET", "/api/longpoll?channel=orders.eu&timeout=0", "", Subscribe, "orders.eu"),
    Endpoint("HEAD", "/api/stream?channel=orders.eu", "", Subscribe, "orders.eu"),
    Endpoint("HEAD", "/api/push?channel=orders.eu", "", Subscribe, "orders.eu"),
    Endpoint("GET", "/api/presence?channel=orders.eu", "", Subscribe, "orders.eu"),
    Endpoint("GET", "/api/messages/orders.eu/1", "", Subscribe, "orders.eu"),
    Endpoint("HEAD", "/api/progress/j", "", Subscribe, "progress/j"),
    Endpoint("GET", "/events?timeout=1&category=orders.eu&since_time=1", "", Subscribe, "orders.eu"),
    Endpoint("POST", "/events?timeout=1&category=orders.eu&since_time=1", "", Subscribe, "orders.eu"),
    Endpoint("HEAD", "/messages", "", Subscribe, "messages"),
    Endpoint("GET", "/api/poll/orders.eu?timeout=0", "", Subscribe, "orders.eu"),
    Endpoint("POST", "/api/message?channel=orders.eu", "x", Publish, "orders.eu"),
    Endpoint("POST", "/api/progress/j", r#"{"step":1,"total":2}"#, Publish, "progress/j"),
    Endpoint("POST", "/publish", r#"{"category":"orders.eu","data":1}"#, Publish, "orders.eu"),
    Endpoint("POST", "/messages", r#"{"body":"x"}"#, Publish, "messages"),
    Endpoint("POST", "/api/publish/orders.eu", "{}", Publish, "orders.eu"),
    Endpoint("HEAD", "/api/progress", "", Publish, "progress/**"),
    Endpoint("GET", "/v1/stream/streams.eu?offset=-1", "", Subscribe, "streams.eu"),
    Endpoint("HEAD", "/v1/stream/streams.eu", "", Subscribe, "streams.eu"),
    Endpoint("PUT", "/v1/stream/streams.eu", "", Publish, "streams.eu"),
    Endpoint("DELETE", "/v1/stream/streams.eu", "", Publish, "streams.eu"),
];

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Granted,
    /// 401 without an error.
    Missing,
    /// 401 with `invalid_token`.
    Invalid,
    /// 403.
    Insufficient,
    /// 400: the token is not in one place.
    Malformed,
}

use Expected::{Granted, Insufficient, Invalid, Malformed, Missing};

/// Makes a token for a channel at a time, in seconds since the Unix epoch.
pub(crate) type Make = fn(&str, i64) -> Option<String>;

/// A credential as the document names it, how it is made, and what it is answered where it is asked for publishing and for
/// reading.
pub(crate) struct Credential(
    pub(crate) &'static str,
    pub(crate) Make,
    pub(crate) Expected,
    pub(crate) Expected,
);

#[rustfmt::skip]
pub(crate) const CREDENTIALS: &[Credential] = &[
    Credential("none", |_, _| None, Missing, Missing),
    Credential("unknown", |_, _| Some("guess".into()), Invalid, Invalid),
    Credential("signed by another key",
        |c, now| by(b"another secret of thirty-two bytes", "HS256", &both(c, now + 60, now - 60)), Invalid, Invalid),
    Credential("changed after it was signed",
        |c, now| by_us(&both(c, now + 60, now - 60)).map(|token| format!("{token}A")), Invalid, Invalid),
    Credential("`alg: none`", |c, now| unsigned(&both(c, now + 60, now - 60)), Invalid, Invalid),
    Credential("HS256 with the public key as its secret",
        |c, now| by(RSA_PUBLIC, "HS256", &both(c, now + 60, now - 60)), Invalid, Invalid),
    Credential("without `exp`", |c, _| by_us(&json!({"poll": {"publish": [c], "subscribe": [c]}})), Invalid, Invalid),
    Credential("expired", |c, now| by_us(&both(c, now - 31, now - 60)), Invalid, Invalid),
    Credential("not valid yet", |c, now| by_us(&both(c, now + 99_999, now + 99_000)), Invalid, Invalid),
    Credential("for another audience",
        |c, now| by_us(&merged(both(c, now + 60, now - 60), &json!({"aud": "other"}))), Invalid, Invalid),
    Credential("of another issuer",
        |c, now| by_us(&merged(both(c, now + 60, now - 60), &json!({"iss": "other"}))), Invalid, Invalid),
    Credential("with a claim `poll` that is no object",
        |c, now| by_us(&claims(now + 60, &json!([[c], [c], null, null]))), Invalid, Invalid),
    Credential("expired within the leeway", |c, now| by_us(&both(c, now - 1, now - 60)), Granted, Granted),
    Credential("for both rights", |c, now| by_us(&both(c, now + 60, now - 60)), Granted, Granted),
    Credential("for every channel", |_, now| by_us(&both("**", now + 60, now - 60)), Granted, Granted),
    Credential("to publish", |c, now| by_us(&claims(now + 60, &json!({"publish": [c]}))), Granted, Insufficient),
    Credential("to subscribe", |c, now| by_us(&claims(now + 60, &json!({"subscribe": [c]}))), Insufficient, Granted),
    Credential("for other channels",
        |_, now| by_us(&both("elsewhere/**", now + 60, now - 60)), Insufficient, Insufficient),
    Credential("without the claim `poll`",
        |_, now| by_us(&claims(now + 60, &Value::Null)), Insufficient, Insufficient),
    Credential("link to publish", |c, now| link(c, "publish", now + 60), Granted, Insufficient),
    Credential("link to subscribe", |c, now| link(c, "subscribe", now + 60), Insufficient, Granted),
    Credential("link for another channel",
        |c, now| link(&format!("{c}.x"), "subscribe", now + 60), Insufficient, Insufficient),
    Credential("expired link", |c, now| link(c, "subscribe", now - 31), Invalid, Invalid),
    Credential("static, to publish", |_, _| Some("p".into()), Granted, Insufficient),
    Credential("static, to subscribe", |_, _| Some("s".into()), Insufficient, Granted),
];

/// A request of the table, and what it is answered.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) method: &'static str,
    pub(crate) target: String,
    /// Values of `Authorization`, each in a field of its own.
    pub(crate) authorization: Vec<String>,
    pub(crate) content: &'static str,
    pub(crate) expected: Expected,
}

/// Every request that is made with a credential.
pub(crate) fn cases(credential: &Credential, now: i64) -> Vec<Case> {
    ENDPOINTS.iter().flat_map(|endpoint| at(endpoint, credential, now)).collect()
}

/// Those to one endpoint: with the token in each place, and in more than one.
fn at(endpoint: &Endpoint, credential: &Credential, now: i64) -> Vec<Case> {
    let &Endpoint(method, target, content, right, channel) = endpoint;
    let &Credential(name, make, publish, subscribe) = credential;
    // A link has no patterns.
    let channel = if name.contains("link") { channel.trim_end_matches("/**") } else { channel };
    let mut expected = if right == Publish { publish } else { subscribe };
    if channel == "progress" && name == "link to publish" {
        // The demonstration's channel is new each time.
        expected = Insufficient;
    }
    let case = |target: String, authorization: Vec<String>, expected| Case {
        method,
        target,
        authorization,
        content,
        expected,
    };
    let Some(token) = make(channel, now) else { return vec![case(target.to_owned(), Vec::new(), expected)] };
    let separator = if target.contains('?') { '&' } else { '?' };
    let parameter = format!("{target}{separator}access_token={token}");
    let bearer = format!("Bearer {token}");
    vec![
        case(target.to_owned(), vec![bearer.clone()], expected),
        case(parameter.clone(), Vec::new(), expected),
        case(parameter.clone(), vec![bearer.clone()], Malformed),
        case(target.to_owned(), vec![bearer.clone(), bearer], Malformed),
        case(format!("{parameter}&access_token={token}"), Vec::new(), Malformed),
    ]
}

/// What an answer means, by its status and its challenge.
pub(crate) fn meaning(status: u16, challenge: Option<&str>) -> Option<Expected> {
    match (status, challenge) {
        (400, None) => Some(Malformed),
        (401, Some("Bearer")) => Some(Missing),
        (401, Some("Bearer error=\"invalid_token\"")) => Some(Invalid),
        (403, Some("Bearer error=\"insufficient_scope\"")) => Some(Insufficient),
        (200..=299 | 404, None) => Some(Granted),
        _ => None,
    }
}

/// A token with this header and these claims, signed with a secret by HMAC with SHA-256.
pub(crate) fn signed(secret: &[u8], header: &Value, claims: &Value) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let text = format!("{}.{}", part(header), part(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn by(secret: &[u8], alg: &str, claims: &Value) -> Option<String> {
    Some(signed(secret, &json!({ "alg": alg }), claims))
}

fn by_us(claims: &Value) -> Option<String> {
    by(SECRET, "HS256", claims)
}

fn unsigned(claims: &Value) -> Option<String> {
    let signed = signed(SECRET, &json!({"alg": "none"}), claims);
    Some(format!("{}.", signed.rsplit_once('.')?.0))
}

fn claims(exp: i64, poll: &Value) -> Value {
    json!({"exp": exp, "iss": "us", "aud": "poll", "poll": poll})
}

fn merged(mut claims: Value, more: &Value) -> Value {
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    claims
}

fn both(channel: &str, exp: i64, nbf: i64) -> Value {
    let poll = json!({"publish": [channel], "subscribe": [channel]});
    merged(claims(exp, &poll), &json!({ "nbf": nbf }))
}

fn link(channel: &str, right: &str, exp: i64) -> Option<String> {
    by_us(&claims(exp, &json!({"channel": channel, "right": right})))
}
