//! Who may do what, as one table: every path, every kind of credential, every place for a token, both protocols.
//!
//! The table of `docs/http.md`, "Tokens", is this one's: what each credential is answered.

pub(crate) mod table;

use bytes::Bytes;
use http::Request;
use poll_http::jwt::{JwtAuthority, Rules, VerifyingKey};
use poll_http::{Access, Administration, KeepPresence, Limits, ServiceSettings};

use crate::world::{BEGIN, World};
use table::{CREDENTIALS, Case, Credential, Expected, RSA_PUBLIC, SECRET};

const DOCS: &str = include_str!("../../../docs/http.md");

/// The status and the challenge of an answer.
type Answered = (u16, Option<String>);

async fn over_http1(world: &World, case: &Case) -> Answered {
    let fields: Vec<(&str, &str)> =
        case.authorization.iter().map(|value| ("authorization", value.as_str())).collect();
    let answer = world.ask(case.method, &case.target, &fields, case.content.as_bytes()).await;
    (answer.status, answer.field("www-authenticate").map(str::to_owned))
}

async fn over_http2(requests: &mut h2::client::SendRequest<Bytes>, case: &Case) -> Answered {
    let request = Request::builder().method(case.method).uri(format!("http://poll.test{}", case.target));
    let authorized = |request: http::request::Builder, value| request.header("authorization", value);
    let request = case.authorization.iter().fold(request, authorized);
    std::future::poll_fn(|cx| requests.poll_ready(cx)).await.unwrap();
    let (response, mut stream) = requests.send_request(request.body(()).unwrap(), false).unwrap();
    stream.send_data(Bytes::from_static(case.content.as_bytes()), true).unwrap();
    let response = response.await.unwrap();
    let challenge = response.headers().get("www-authenticate");
    (response.status().as_u16(), challenge.map(|value| value.to_str().unwrap().to_owned()))
}

fn world() -> World {
    let mut keys = VerifyingKey::from_pem(RSA_PUBLIC).unwrap();
    keys.push(VerifyingKey::secret(SECRET).unwrap());
    let rules = Rules { issuers: vec!["us".into()], audiences: vec!["poll".into()] };
    let access = Access { publish: vec!["p".into()], subscribe: vec!["s".into()] };
    let limits = Limits { auth_failures: 0, ..Limits::default() };
    let presence = KeepPresence::On;
    let settings = ServiceSettings { limits, presence, ..ServiceSettings::default() };
    World::judged(settings, JwtAuthority::new(keys, rules).or_static(access))
}

#[tokio::test(start_paused = true)]
async fn every_credential_is_answered_as_documented_on_every_path() {
    for credential in CREDENTIALS {
        let world = world();
        let mut requests = world.connect_http2(&h2::client::Builder::new()).await;
        for case in table::cases(credential, i64::try_from(BEGIN / 1_000).unwrap()) {
            let one = over_http1(&world, &case).await;
            let two = over_http2(&mut requests, &case).await;
            for (status, challenge) in [one, two] {
                let found = table::meaning(status, challenge.as_deref());
                assert_eq!(found, Some(case.expected), "{}: {status} {challenge:?}, {case:?}", credential.0);
            }
        }
    }
}

/// What is for operators, with a credential for channels in each place, which is a wrong token there.
fn for_operators(credential: &Credential) -> Vec<Case> {
    const PUBLISH: &str = "/api/message?channel=orders.eu";
    const OPERATORS: &[(&str, &str)] = &[
        ("GET", "/metrics"),
        ("GET", "/admin/channels"),
        ("GET", "/admin/channels/orders.eu"),
        ("DELETE", "/admin/channels/orders.eu"),
        ("POST", "/admin/channels/orders.eu/purge"),
        ("POST", "/admin/channels/orders.eu/close"),
        ("PUT", "/admin/channels/orders.eu/settings"),
        ("GET", "/admin/channels/orders.eu/presence"),
        ("GET", "/admin/connections"),
        ("DELETE", "/admin/connections/1"),
    ];
    let expected = if credential.0 == "none" { Expected::Missing } else { Expected::Invalid };
    let now = i64::try_from(BEGIN / 1_000).unwrap();
    let each = |&(method, path): &(&'static str, &str)| {
        let mut cases = table::cases(credential, now);
        cases.retain(|case| case.target.starts_with(PUBLISH));
        for case in &mut cases {
            (case.method, case.content) = (method, "");
            case.target = case.target.replace(PUBLISH, &format!("{path}?channel="));
            if case.expected != Expected::Malformed {
                case.expected = expected;
            }
        }
        cases
    };
    OPERATORS.iter().flat_map(each).collect()
}

/// What is for operators has a token of its own: none of these is one.
#[tokio::test(start_paused = true)]
async fn no_credential_for_channels_administers() {
    let administration = Administration { tokens: vec!["operator".into()], ..Administration::default() };
    for credential in CREDENTIALS {
        let world = world();
        world.service.replace_administration(administration.clone());
        for case in for_operators(credential) {
            let (status, challenge) = over_http1(&world, &case).await;
            let found = table::meaning(status, challenge.as_deref());
            assert_eq!(found, Some(case.expected), "{}: {status} {challenge:?}, {case:?}", credential.0);
        }
    }
}

#[test]
fn the_document_has_the_table() {
    let cell = |expected| match expected {
        Expected::Granted => "yes",
        Expected::Missing => "401 `Bearer`",
        Expected::Invalid => "401 `invalid_token`",
        Expected::Insufficient => "403",
        Expected::Malformed => "400",
    };
    let rows = CREDENTIALS.iter().map(|credential| {
        let Credential(name, _, publish, subscribe) = credential;
        format!("| {name} | {} | {} |\n", cell(*publish), cell(*subscribe))
    });
    let table: String = rows.collect();
    assert!(DOCS.contains(&table), "docs/http.md does not have this table:\n{table}");
}
