//! Who may do what, as one table: every path, every kind of credential, every place for a token, both protocols.
//!
//! The table of `docs/http.md`, "Tokens", is this one's: what each credential is answered.

use bytes::Bytes;
use http::Request;
use poll_http::jwt::{JwtAuthority, Rules, VerifyingKey};
use poll_http::{Access, Limits, ServiceSettings};
use serde_json::{Value, json};

use crate::jwt::signed;
use crate::world::{BEGIN, World};

const SECRET: &[u8] = b"thirty-two bytes, and some more of them";
const RSA_PUBLIC: &[u8] = include_bytes!("../jwt/rsa.pub.pem");
const DOCS: &str = include_str!("../../../docs/http.md");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Right {
    Publish,
    Subscribe,
}

/// A path with a method: what it needs, and on which channel.
struct Door(&'static str, &'static str, &'static str, Right, &'static str);

use Right::{Publish, Subscribe};

const DOORS: &[Door] = &[
    Door("GET", "/api/poll?channel=orders.eu", "", Subscribe, "orders.eu"),
    Door("HEAD", "/api/poll?channel=orders.eu", "", Subscribe, "orders.eu"),
    Door("GET", "/api/longpoll?channel=orders.eu&timeout=0", "", Subscribe, "orders.eu"),
    Door("HEAD", "/api/stream?channel=orders.eu", "", Subscribe, "orders.eu"),
    Door("HEAD", "/api/push?channel=orders.eu", "", Subscribe, "orders.eu"),
    Door("GET", "/api/messages/orders.eu/1", "", Subscribe, "orders.eu"),
    Door("HEAD", "/api/progress/j", "", Subscribe, "progress/j"),
    Door("GET", "/events?timeout=1&category=orders.eu", "", Subscribe, "orders.eu"),
    Door("POST", "/events?timeout=1&category=orders.eu", "", Subscribe, "orders.eu"),
    Door("HEAD", "/messages", "", Subscribe, "messages"),
    Door("GET", "/api/poll/orders.eu?timeout=0", "", Subscribe, "orders.eu"),
    Door("POST", "/api/message?channel=orders.eu", "x", Publish, "orders.eu"),
    Door("POST", "/api/progress/j", r#"{"step":1,"total":2}"#, Publish, "progress/j"),
    Door("POST", "/publish", r#"{"category":"orders.eu","data":1}"#, Publish, "orders.eu"),
    Door("POST", "/messages", r#"{"body":"x"}"#, Publish, "messages"),
    Door("POST", "/api/publish/orders.eu", "{}", Publish, "orders.eu"),
    Door("HEAD", "/api/progress", "", Publish, "progress/**"),
];

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Granted,
    /// 401 without an error.
    Missing,
    /// 401 with `invalid_token`.
    Invalid,
    /// 403.
    Insufficient,
}

use Expected::{Granted, Insufficient, Invalid, Missing};

type Make = fn(&str) -> Option<String>;

/// A credential as the document names it, how it is made for a channel, and what it is answered where it is asked for
/// publishing and for reading.
const CREDENTIALS: &[(&str, Make, Expected, Expected)] = &[
    ("none", |_| None, Missing, Missing),
    ("unknown", |_| Some("guess".into()), Invalid, Invalid),
    (
        "signed by another key",
        |c| by(b"another secret of thirty-two bytes", "HS256", &both(c, 60, -60)),
        Invalid,
        Invalid,
    ),
    (
        "changed after it was signed",
        |c| by_us(&both(c, 60, -60)).map(|token| format!("{token}A")),
        Invalid,
        Invalid,
    ),
    ("`alg: none`", |c| unsigned(&both(c, 60, -60)), Invalid, Invalid),
    (
        "HS256 with the public key as its secret",
        |c| by(RSA_PUBLIC, "HS256", &both(c, 60, -60)),
        Invalid,
        Invalid,
    ),
    ("without `exp`", |c| by_us(&json!({"poll": {"publish": [c], "subscribe": [c]}})), Invalid, Invalid),
    ("expired", |c| by_us(&both(c, -31, -60)), Invalid, Invalid),
    ("not valid yet", |c| by_us(&both(c, 99_999, 99_000)), Invalid, Invalid),
    (
        "for another audience",
        |c| by_us(&merged(both(c, 60, -60), &json!({"aud": "other"}))),
        Invalid,
        Invalid,
    ),
    ("of another issuer", |c| by_us(&merged(both(c, 60, -60), &json!({"iss": "other"}))), Invalid, Invalid),
    ("expired within the leeway", |c| by_us(&both(c, -1, -60)), Granted, Granted),
    ("for both rights", |c| by_us(&both(c, 60, -60)), Granted, Granted),
    ("for every channel", |_| by_us(&both("**", 60, -60)), Granted, Granted),
    ("to publish", |c| by_us(&claims(60, &json!({"publish": [c]}))), Granted, Insufficient),
    ("to subscribe", |c| by_us(&claims(60, &json!({"subscribe": [c]}))), Insufficient, Granted),
    ("for other channels", |_| by_us(&both("elsewhere/**", 60, -60)), Insufficient, Insufficient),
    ("without the claim `poll`", |_| by_us(&claims(60, &Value::Null)), Insufficient, Insufficient),
    ("link to publish", |c| link(c, "publish", 60), Granted, Insufficient),
    ("link to subscribe", |c| link(c, "subscribe", 60), Insufficient, Granted),
    ("link for another channel", |c| link(&format!("{c}.x"), "subscribe", 60), Insufficient, Insufficient),
    ("expired link", |c| link(c, "subscribe", -31), Invalid, Invalid),
    ("static, to publish", |_| Some("p".into()), Granted, Insufficient),
    ("static, to subscribe", |_| Some("s".into()), Insufficient, Granted),
];

fn second(after: i64) -> i64 {
    i64::try_from(BEGIN / 1_000).unwrap() + after
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
    json!({"exp": second(exp), "iss": "us", "aud": "poll", "poll": poll})
}

fn merged(mut claims: Value, more: &Value) -> Value {
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    claims
}

fn both(channel: &str, exp: i64, nbf: i64) -> Value {
    let poll = json!({"publish": [channel], "subscribe": [channel]});
    merged(claims(exp, &poll), &json!({"nbf": second(nbf)}))
}

fn link(channel: &str, right: &str, exp: i64) -> Option<String> {
    by_us(&claims(exp, &json!({"channel": channel, "right": right})))
}

/// The status and the challenge of an answer.
type Answered = (u16, Option<String>);

async fn over_http1(world: &World, door: &Door, token: Option<&str>, place: Place) -> Answered {
    let Door(method, target, body, ..) = door;
    let (target, field) = place.put(target, token);
    let fields: Vec<(&str, &str)> = field.iter().map(|field| ("authorization", field.as_str())).collect();
    let answer = world.ask(method, &target, &fields, body.as_bytes()).await;
    (answer.status, answer.field("www-authenticate").map(str::to_owned))
}

async fn over_http2(
    requests: &mut h2::client::SendRequest<Bytes>,
    door: &Door,
    token: Option<&str>,
    place: Place,
) -> Answered {
    let Door(method, target, body, ..) = door;
    let (target, field) = place.put(target, token);
    let request = Request::builder().method(*method).uri(format!("http://poll.test{target}"));
    let request = field.iter().fold(request, |request, field| request.header("authorization", field));
    std::future::poll_fn(|cx| requests.poll_ready(cx)).await.unwrap();
    let (response, mut stream) = requests.send_request(request.body(()).unwrap(), false).unwrap();
    stream.send_data(Bytes::copy_from_slice(body.as_bytes()), true).unwrap();
    let response = response.await.unwrap();
    let challenge = response.headers().get("www-authenticate");
    (response.status().as_u16(), challenge.map(|value| value.to_str().unwrap().to_owned()))
}

/// Where a token is given.
#[derive(Clone, Copy, Debug)]
enum Place {
    Field,
    Parameter,
}

impl Place {
    /// The target, and the value of `Authorization`.
    fn put(self, target: &str, token: Option<&str>) -> (String, Option<String>) {
        let separator = if target.contains('?') { '&' } else { '?' };
        match (self, token) {
            (_, None) => (target.to_owned(), None),
            (Self::Field, Some(token)) => (target.to_owned(), Some(format!("Bearer {token}"))),
            (Self::Parameter, Some(token)) => (format!("{target}{separator}access_token={token}"), None),
        }
    }
}

fn judge((status, challenge): &Answered) -> Option<Expected> {
    match (status, challenge.as_deref()) {
        (400, _) => None,
        (401, Some("Bearer")) => Some(Missing),
        (401, Some("Bearer error=\"invalid_token\"")) => Some(Invalid),
        (403, Some("Bearer error=\"insufficient_scope\"")) => Some(Insufficient),
        (200..=299 | 404, None) => Some(Granted),
        _ => None,
    }
}

fn world() -> World {
    let mut keys = VerifyingKey::from_pem(RSA_PUBLIC).unwrap();
    keys.push(VerifyingKey::secret(SECRET).unwrap());
    let rules = Rules { issuers: vec!["us".into()], audiences: vec!["poll".into()] };
    let access = Access { publish: vec!["p".into()], subscribe: vec!["s".into()] };
    let limits = Limits { auth_failures: 0, ..Limits::default() };
    let settings = ServiceSettings { limits, ..ServiceSettings::default() };
    World::judged(settings, JwtAuthority::new(keys, rules).or_static(access))
}

#[tokio::test(start_paused = true)]
async fn every_credential_is_answered_as_documented_on_every_path() {
    for (name, make, publish, subscribe) in CREDENTIALS {
        let world = world();
        let mut requests = world.connect_http2(&h2::client::Builder::new()).await;
        for door in DOORS {
            let Door(method, target, _, right, channel) = door;
            // A link has no patterns.
            let channel = if name.contains("link") { channel.trim_end_matches("/**") } else { channel };
            let mut expected = if *right == Publish { *publish } else { *subscribe };
            if channel == "progress" && *name == "link to publish" {
                // The demonstration's channel is new each time.
                expected = Insufficient;
            }
            let token = make(channel);
            for place in [Place::Field, Place::Parameter] {
                let one = over_http1(&world, door, token.as_deref(), place).await;
                let two = over_http2(&mut requests, door, token.as_deref(), place).await;
                for answered in [one, two] {
                    let found = judge(&answered);
                    assert_eq!(found, Some(expected), "{name}, {method} {target}, {place:?}: {answered:?}");
                }
            }
            if let Some(token) = &token {
                let (twice, field) = Place::Field.put(target, Some(token));
                let (twice, _) = Place::Parameter.put(&twice, Some(token));
                let field = [("authorization", field.as_deref().unwrap())];
                assert_eq!(world.ask(method, &twice, &field, b"").await.status, 400, "{name}, {target}");
            }
        }
    }
}

#[test]
fn the_document_has_the_table() {
    let cell = |expected| match expected {
        Granted => "yes",
        Missing => "401 `Bearer`",
        Invalid => "401 `invalid_token`",
        Insufficient => "403",
    };
    let rows = CREDENTIALS.iter().map(|(name, _, publish, subscribe)| {
        format!("| {name} | {} | {} |\n", cell(*publish), cell(*subscribe))
    });
    let table: String = rows.collect();
    assert!(DOCS.contains(&table), "docs/http.md does not have this table:\n{table}");
}
