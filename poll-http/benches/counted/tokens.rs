//! What tokens add to a request, and what it costs to judge one that was not seen before.

use std::hint::black_box;
use std::time::Duration;

use poll_core::{ChannelName, Timestamp};
use poll_http::jwt::{JwtAuthority, Link, LinkRight, Rules, SigningKey, VerifyingKey};
use poll_http::{Access, Authority as _};

use crate::http1::unchanged;
use crate::world::{World, block_on};

const SECRET: &[u8] = b"a secret of thirty-two bytes or more";

/// Later than the server's clock, which begins at this.
fn later() -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000).after(Duration::from_secs(3_600))
}

/// A link to read the channel, and a key that verifies it.
fn link(key: &SigningKey) -> String {
    let channel = ChannelName::parse("counted").expect("a valid name");
    let link = Link {
        channel: &channel,
        right: LinkRight::Subscribe,
        expires: later(),
        subject: None,
        issuer: None,
        audience: None,
    };
    key.sign(&link).expect("randomness")
}

fn by_secret() -> (SigningKey, Vec<VerifyingKey>) {
    let keys = vec![VerifyingKey::secret(SECRET).expect("a secret")];
    (SigningKey::secret(SECRET).expect("a secret"), keys)
}

fn by_rsa() -> (SigningKey, Vec<VerifyingKey>) {
    let private = SigningKey::from_pem(include_bytes!("../../tests/jwt/rsa.pem"));
    let public = VerifyingKey::from_pem(include_bytes!("../../tests/jwt/rsa.pub.pem"));
    (private.expect("a private key"), public.expect("a public key"))
}

/// A short poll with nothing new to give, with a token that is listed.
pub(crate) fn listed(rounds: u64) {
    block_on(async {
        let access = Access { publish: vec!["p".into()], subscribe: vec!["s".repeat(32)] };
        let world = World::warm_with(|builder| builder.authority(access)).await;
        unchanged(&world, &format!("authorization: Bearer {}\r\n", "s".repeat(32)), rounds).await;
    });
}

/// The same with a signed link, which was judged before.
pub(crate) fn signed(rounds: u64) {
    block_on(async {
        let (signing, keys) = by_secret();
        let authority = JwtAuthority::new(keys, Rules::default());
        let world = World::warm_with(|builder| builder.authority(authority)).await;
        unchanged(&world, &format!("authorization: Bearer {}\r\n", link(&signing)), rounds).await;
    });
}

pub(crate) fn judge_hs256(rounds: u64) {
    judge(by_secret(), rounds);
}

pub(crate) fn judge_rs256(rounds: u64) {
    judge(by_rsa(), rounds);
}

/// A link that was never seen, judged by an authority that has judged nothing.
fn judge((signing, keys): (SigningKey, Vec<VerifyingKey>), rounds: u64) {
    let (token, now) = (link(&signing), Timestamp::from_millis(1_800_000_000_000));
    for _ in 0..rounds {
        let authority = JwtAuthority::new(keys.clone(), Rules::default());
        assert!(black_box(authority.judge(black_box(&token), now)).is_ok());
    }
}
