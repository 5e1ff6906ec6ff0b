//! JSON Web Tokens: what others have signed is understood, what is forged is not, and what a claim grants.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use poll_core::{ChannelName, Timestamp};
use poll_http::jwt::{
    JwtAuthority, KeyError, KeySetError, Link, LinkRight, Rules, SigningKey, VerifyingKey, parse_jwks,
};
use poll_http::{Access, Authority, Denied, Grant, KeyFetch, Scope, ServiceSettings};
use ring::signature::{EcdsaKeyPair, Ed25519KeyPair};
use ring::{rand, signature};
use serde_json::{Value, json};

use crate::matrix::table::signed;
use crate::world::{BEGIN, World, pass};

const SECRET: &[u8] = b"thirty-two bytes, and some more of them";
const RSA: &[u8] = include_bytes!("../jwt/rsa.pem");
const RSA_PUBLIC: &[u8] = include_bytes!("../jwt/rsa.pub.pem");

fn now() -> Timestamp {
    Timestamp::from_millis(BEGIN)
}

/// The second that is so many after the tests begin.
fn second(after: i64) -> i64 {
    i64::try_from(BEGIN / 1_000).unwrap() + after
}

fn authority(keys: Vec<VerifyingKey>) -> JwtAuthority {
    JwtAuthority::new(keys, Rules::default())
}

fn secret() -> Vec<VerifyingKey> {
    vec![VerifyingKey::secret(SECRET).unwrap()]
}

fn with(claims: &Value) -> String {
    signed(SECRET, &json!({"alg": "HS256", "typ": "JWT"}), claims)
}

fn wrong(judged: Result<Arc<Grant>, Denied>) -> &'static str {
    match judged {
        Err(Denied::Wrong(why)) => why,
        other => panic!("{other:?}"),
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

#[test]
fn what_the_standards_and_other_implementations_sign_is_understood() {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("../jwt/vectors.json")).unwrap();
    assert_eq!(vectors.len(), 18);
    for vector in vectors {
        let text = |name: &str| vector[name].as_str();
        let keys = match (text("secret"), text("secret_base64url"), text("pem")) {
            (Some(secret), ..) => vec![VerifyingKey::secret(secret.as_bytes()).unwrap()],
            (_, Some(secret), _) => {
                vec![VerifyingKey::secret(&URL_SAFE_NO_PAD.decode(secret).unwrap()).unwrap()]
            }
            (_, _, Some(pem)) => VerifyingKey::from_pem(pem.as_bytes()).unwrap(),
            _ => parse_jwks(json!({ "keys": [vector["jwk"]] }).to_string().as_bytes()).unwrap(),
        };
        let name = format!("{} {}", text("by").unwrap(), text("algorithm").unwrap());
        assert_eq!(keys.len(), 1, "{name}");
        let at = Timestamp::from_millis(vector["at"].as_u64().unwrap() * 1_000);
        let token = text("token").unwrap();
        let judged = authority(keys.clone()).judge(token, at);
        if let Some(why) = text("refused") {
            assert_eq!(judged, Err(Denied::Wrong("the token's claims are malformed")), "{name}");
            assert_eq!(wrong(judged), why);
        } else {
            let grant = judged.unwrap_or_else(|denied| panic!("{name}: {denied:?}"));
            let is_ours = !name.starts_with("RFC");
            assert_eq!(grant.subject.as_deref(), is_ours.then_some("ann"), "{name}");
            let channel = ChannelName::parse("orders.eu").unwrap();
            assert_eq!(grant.publish.covers(&channel), is_ours, "{name}");
        }
        // Each character counts.
        let authority = authority(keys);
        for index in (0..token.len()).filter(|index| !token[*index..].starts_with('.')) {
            let other = if token[index..].starts_with('A') { "B" } else { "A" };
            let forged = format!("{}{other}{}", &token[..index], &token[index + 1..]);
            assert!(authority.judge(&forged, at).is_err(), "{name}: {index}");
        }
    }
}

#[test]
fn a_key_verifies_only_what_is_signed_in_the_way_of_its_family() {
    let claims = json!({"exp": second(60), "poll": {"subscribe": ["**"]}});
    let rsa = || authority(VerifyingKey::from_pem(RSA_PUBLIC).unwrap());
    let header = |alg: &str| json!({ "alg": alg });
    let unsigned = |alg: &str| {
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        format!("{}.{}.", part(&header(alg)), part(&claims))
    };
    for alg in ["none", "None", "NONE", "nOnE", "", "HS256"] {
        assert!(matches!(rsa().judge(&unsigned(alg), now()), Err(Denied::Wrong(_))), "{alg}");
        assert!(matches!(authority(secret()).judge(&unsigned(alg), now()), Err(Denied::Wrong(_))), "{alg}");
    }
    // The public key as if it were a shared secret, as text and as what the text encodes.
    let base64: String =
        std::str::from_utf8(RSA_PUBLIC).unwrap().lines().filter(|line| !line.starts_with('-')).collect();
    for forged in [RSA_PUBLIC, &STANDARD.decode(base64).unwrap()] {
        for alg in ["HS256", "RS256", "PS256", "ES256", "EdDSA"] {
            let token = signed(forged, &header(alg), &claims);
            assert!(matches!(rsa().judge(&token, now()), Err(Denied::Wrong(_))), "{alg}");
        }
    }
    let token = signed(SECRET, &json!({"alg": "HS256", "crit": ["b64"], "b64": false}), &claims);
    assert!(authority(secret()).judge(&token, now()).is_err(), "an extension that has to be understood");
    for alg in ["RS256", "HS384", "HS512", "RS384", "hs256"] {
        assert!(authority(secret()).judge(&signed(SECRET, &header(alg), &claims), now()).is_err(), "{alg}");
    }
    assert!(authority(secret()).judge(&signed(SECRET, &header("HS256"), &claims), now()).is_ok());
    for text in ["", ".", "..", "...", "a.b.c", "a.b", &"a".repeat(9_000)] {
        assert_eq!(wrong(authority(secret()).judge(text, now())), "the token is not known", "{text}");
    }
}

#[test]
fn claims_are_looked_at_in_full() {
    let rules = Rules { issuers: vec!["a".into(), "b".into()], audiences: vec!["poll".into(), "x".into()] };
    let judge = |claims: Value| {
        let good = json!({"exp": second(60), "iss": "b", "aud": ["other", "poll"]});
        let mut all = good.as_object().unwrap().clone();
        all.extend(claims.as_object().unwrap().clone());
        all.retain(|_, value| !value.is_null());
        JwtAuthority::new(secret(), rules.clone()).judge(&with(&Value::Object(all)), now())
    };
    assert!(judge(json!({})).is_ok());
    let cases = [
        (json!({"exp": null}), "the token does not expire, but has to"),
        (json!({"nbf": second(31)}), "the token is not valid yet"),
        (json!({"iss": null}), "the token is of another issuer"),
        (json!({"iss": "c"}), "the token is of another issuer"),
        (json!({"aud": null}), "the token is for another audience"),
        (json!({"aud": "c"}), "the token is for another audience"),
        (json!({"aud": []}), "the token is for another audience"),
        (json!({"exp": second(-99), "aud": "c"}), "the token is for another audience"),
        (json!({"exp": "1795214978"}), "the token's claims are malformed"),
        (json!({"poll": "all"}), "the token's claims are malformed"),
        (json!({"poll": []}), "the token's claims are malformed"),
        (json!({"poll": [["**"], ["**"], null, null]}), "the token's claims are malformed"),
        (json!({"poll": {"publish": ["a", 1]}}), "the token's claims are malformed"),
        (json!({"poll": {"publish": {"a": 1}}}), "the token's claims are malformed"),
        (json!({"poll": {"channel": "a", "right": {"publish": null}}}), "the token's claims are malformed"),
        (json!({"sub": ["ann"]}), "the token's claims are malformed"),
        (json!({"aud": [["poll"]]}), "the token's claims are malformed"),
        (json!({"poll": {"publish": "a"}}), "the token's claims are malformed"),
        (json!({"poll": {"channel": "a"}}), "the claim `poll` is malformed"),
        (json!({"poll": {"channel": "", "right": "publish"}}), "the claim `poll` is malformed"),
        (json!({"poll": {"channel": "a", "right": "all"}}), "the claim `poll` is malformed"),
        (
            json!({"poll": {"channel": "a", "right": "publish", "publish": ["**"]}}),
            "the claim `poll` is malformed",
        ),
    ];
    for (claims, why) in cases {
        assert_eq!(wrong(judge(claims.clone())), why, "{claims}");
    }
    for (claims, expected) in [
        (json!({"exp": second(-29)}), true),
        (json!({"exp": second(-30)}), false),
        (json!({"exp": second(-30) as f64 + 0.5}), true),
        (json!({"exp": 1e300}), true),
        (json!({"exp": -1e300}), false),
        (json!({"nbf": second(30)}), true),
        (json!({"nbf": second(30), "exp": second(60)}), true),
        (json!({"aud": "x"}), true),
    ] {
        let judged = judge(claims.clone());
        assert_eq!(judged.is_ok(), expected, "{claims} {judged:?}");
        assert!(expected || judged == Err(Denied::Expired), "{claims}");
    }
    let grant = judge(json!({"sub": "", "poll": {"publish": [], "subscribe": ["a"], "other": 1}})).unwrap();
    assert_eq!((&grant.publish, grant.subject.as_deref()), (&Scope::Nothing, None));
    let none = judge(json!({})).unwrap();
    assert_eq!((&none.publish, &none.subscribe), (&Scope::Nothing, &Scope::Nothing));
}

#[test]
fn links_are_for_one_right_on_one_channel() {
    let random = rand::SystemRandom::new();
    let p256 = EcdsaKeyPair::generate_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let p384 = EcdsaKeyPair::generate_pkcs8(&signature::ECDSA_P384_SHA384_FIXED_SIGNING, &random).unwrap();
    let ed = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    let rsa = std::str::from_utf8(RSA).unwrap().to_owned();
    let private = |der: &[u8]| SigningKey::from_pem(pem("PRIVATE KEY", der).as_bytes()).unwrap();
    let jwk = |value: Value| parse_jwks(json!({ "keys": [value] }).to_string().as_bytes()).unwrap();
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let ec = |way: &'static signature::EcdsaSigningAlgorithm, der: &[u8], curve: &str| {
        use ring::signature::KeyPair as _;
        let pair = EcdsaKeyPair::from_pkcs8(way, der, &random).unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(pair.public_key().as_ref().len() / 2);
        jwk(json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y), "kid": "k"}))
    };
    let ed_public = {
        use ring::signature::KeyPair as _;
        let pair = Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap();
        jwk(json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref())}))
    };
    let pairs = [
        (SigningKey::secret(SECRET).unwrap(), secret()),
        (SigningKey::from_pem(rsa.as_bytes()).unwrap(), VerifyingKey::from_pem(RSA_PUBLIC).unwrap()),
        (private(p256.as_ref()), ec(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, p256.as_ref(), "P-256")),
        (private(p384.as_ref()), ec(&signature::ECDSA_P384_SHA384_FIXED_SIGNING, p384.as_ref(), "P-384")),
        (private(ed.as_ref()), ed_public),
    ];
    let channel = ChannelName::parse("a.*").unwrap();
    for (key, public) in pairs {
        let rules = Rules { issuers: vec!["i".into()], audiences: vec!["a".into()] };
        let authority = JwtAuthority::new(public, rules);
        for right in [LinkRight::Publish, LinkRight::Subscribe] {
            let expires = now().after(std::time::Duration::from_secs(60));
            let (subject, issuer, audience) = (Some("s"), Some("i"), Some("a"));
            let link = Link { channel: &channel, right, expires, subject, issuer, audience };
            let grant = authority.judge(&key.sign(&link).unwrap(), now()).unwrap();
            let only = Scope::Channel(channel.clone());
            let scopes = match right {
                LinkRight::Publish => (only, Scope::Nothing),
                LinkRight::Subscribe => (Scope::Nothing, only),
            };
            assert_eq!((&grant.publish, &grant.subscribe), (&scopes.0, &scopes.1), "{key:?}");
            assert!(!grant.publish.covers(&ChannelName::parse("a.b").unwrap()), "it is no pattern");
            assert_eq!(grant.subject.as_deref(), Some("s"));
            assert_eq!(grant.expires, Some(expires.after(std::time::Duration::from_secs(30))));
        }
    }
}

#[test]
fn keys_that_cannot_be_used_are_refused() {
    let verify = |text: &str| VerifyingKey::from_pem(text.as_bytes()).map(|keys| keys.len());
    assert_eq!(verify(""), Err(KeyError::NotPem));
    assert_eq!(verify(std::str::from_utf8(RSA).unwrap()), Err(KeyError::NotPem), "a private key");
    for der in [&[][..], &[0x30, 0], &[0x30, 3, 0x30, 1, 0], &[0x30, 0x85, 1, 1, 1, 1, 1], &[0xff; 40]] {
        assert_eq!(verify(&pem("PUBLIC KEY", der)), Err(KeyError::Unsupported), "{der:x?}");
    }
    let twice = [RSA_PUBLIC, RSA_PUBLIC].concat();
    assert_eq!(verify(std::str::from_utf8(&twice).unwrap()), Ok(2));
    assert!(matches!(SigningKey::from_pem(RSA_PUBLIC), Err(KeyError::NotPem)));
    assert!(matches!(SigningKey::from_pem(pem("EC PRIVATE KEY", &[1]).as_bytes()), Err(KeyError::NotPkcs8)));
    assert!(matches!(SigningKey::from_pem(pem("PRIVATE KEY", &[1]).as_bytes()), Err(KeyError::Unsupported)));
    assert!(matches!(VerifyingKey::secret(b""), Err(KeyError::Empty)));
    let shown = format!("{:?} {:?}", SigningKey::secret(SECRET).unwrap(), secret());
    assert!(!shown.contains("thirty"), "{shown}");
}

#[test]
fn a_set_gives_what_verifies_and_each_key_answers_to_its_name() {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("../jwt/vectors.json")).unwrap();
    let theirs = |algorithm: &str| {
        vectors
            .iter()
            .find(|vector| vector["algorithm"] == algorithm && vector["jwk"]["kid"].is_string())
            .unwrap()
    };
    let (rs, es) = (theirs("RS256"), theirs("ES256"));
    let mut sloppy = es["jwk"].clone();
    sloppy["use"] = json!("enc");
    let mut signs = es["jwk"].clone();
    signs["key_ops"] = json!(["sign"]);
    let listed = json!(["EC", "k", null, null, null, "P-256", null, null, es["jwk"]["x"], es["jwk"]["y"]]);
    let mut confused = rs["jwk"].clone();
    confused["alg"] = json!({"RS256": null});
    let others = [
        signs,
        listed,
        confused,
        json!({"kty": "oct", "k": "c2VjcmV0"}),
        json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"}),
        json!({"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"}),
        json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}),
        json!({"kty": 5}),
        json!(7),
        sloppy,
    ];
    let set = |keys: &[Value]| parse_jwks(json!({ "keys": keys, "more": 1 }).to_string().as_bytes()).unwrap();
    assert!(set(&others).is_empty());
    for text in [&b"{}"[..], b"<html>", b"", b"[[]]", br#"{"keys":{}}"#, br#"{"keys":[],"keys":[]}"#] {
        assert!(matches!(parse_jwks(text), Err(KeySetError::NotASet)));
    }
    let many = |count| parse_jwks(json!({ "keys": vec![es["jwk"].clone(); count] }).to_string().as_bytes());
    assert!(many(100).is_ok_and(|keys| keys.len() == 100));
    assert!(matches!(many(101), Err(KeySetError::TooMany)));
    let mut all = others.to_vec();
    all.extend([rs["jwk"].clone(), es["jwk"].clone()]);
    let keys = set(&all);
    assert_eq!(keys.len(), 2);
    let prints: Vec<_> = keys.iter().map(VerifyingKey::fingerprint).collect();
    assert_ne!(prints[0], prints[1]);
    assert_eq!(set(&[rs["jwk"].clone()])[0].fingerprint(), prints[0]);

    let at = Timestamp::from_millis(1_795_215_000_000);
    let fetching = |keys| authority(keys).fetching(|| KeyFetch::Nothing);
    let token = rs["token"].as_str().unwrap();
    assert!(fetching(keys).judge(token, at).is_ok());
    assert_eq!(fetching(set(&[es["jwk"].clone()])).judge(token, at), Err(Denied::UnknownKey));
    let mut renamed = rs["jwk"].clone();
    renamed["kid"] = json!("another");
    assert_eq!(fetching(set(&[renamed.clone()])).judge(token, at), Err(Denied::UnknownKey));
    renamed["kid"] = es["jwk"]["kid"].clone();
    assert_eq!(
        wrong(fetching(set(&[renamed])).judge(es["token"].as_str().unwrap(), at)),
        "the token is not signed by a key of this server"
    );
    // A name that two keys have, and a key without one.
    let mut same = es["jwk"].clone();
    same["kid"] = rs["jwk"]["kid"].clone();
    assert!(fetching(set(&[same, rs["jwk"].clone()])).judge(token, at).is_ok());
    let mut nameless = rs["jwk"].clone();
    nameless.as_object_mut().unwrap().remove("kid");
    assert!(fetching(set(&[nameless.clone()])).judge(token, at).is_ok());
    // It has signed something else, and the one that is named may still come.
    nameless["n"] = json!(URL_SAFE_NO_PAD.encode([0xc1; 256]));
    assert_eq!(fetching(set(&[nameless])).judge(token, at), Err(Denied::UnknownKey));
    let mut only = rs["jwk"].clone();
    only["alg"] = json!("PS256");
    assert!(fetching(set(&[only])).judge(token, at).is_err(), "the set says what a key is for");
}

#[tokio::test(start_paused = true)]
async fn static_tokens_and_signed_ones_stand_side_by_side_and_both_rights_want_one() {
    let access = Access { publish: vec!["p".into()], subscribe: Vec::new() };
    let world = World::judged(ServiceSettings::default(), authority(secret()).or_static(access));
    let claims =
        json!({"exp": second(-10), "sub": "ann", "poll": {"publish": ["a.*"], "subscribe": ["a.*"]}});
    let token = with(&claims);
    let publish = async |channel: &str, token: &str| {
        let target = format!("/api/message?channel={channel}&access_token={token}");
        world.post(&target, "text/plain", "x").await.status
    };
    assert_eq!(
        (publish("b", "p").await, publish("a.b", &token).await, publish("b", &token).await),
        (201, 201, 403)
    );
    assert_eq!(world.get("/api/poll?channel=b").await.status, 401);
    assert_eq!(world.get("/api/poll?channel=b&access_token=p").await.status, 403);
    let late = world.later(&format!("/api/longpoll?channel=a.c&timeout=50&access_token={token}"));
    pass(19_999).await;
    assert_eq!(world.waiters(), 1);
    assert_eq!(late.await.unwrap().status, 401);
    assert_eq!(world.millis(), BEGIN + 20_000, "thirty seconds after the token's own end");
    let again = world.get(&format!("/api/poll?channel=a.b&access_token={token}")).await;
    assert_eq!(again.json()["detail"], "the token has expired", "though it was judged before");
}
