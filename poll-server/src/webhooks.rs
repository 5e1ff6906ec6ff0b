//! What leaves the machine for subscriptions to streams: signed webhooks.
//!
//! What: the keys, and a POST to an address that the URL permits.
//! Why here: poll-http opens no connections. What is sent, and when, is decided there.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http_body_util::Full;
use ipnet::IpNet;
use poll_http::{Loopback, Signer, Webhook, WebhookAnswer, WebhookClient};
use ring::digest::{SHA256, digest};
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use tokio::time::timeout;

use crate::outbound::{self, Roots};

/// A receiver says that it has done, or nothing.
const MOST_BYTES: usize = 16 * 1024;

/// Sends webhooks.
pub(crate) struct Webhooks {
    loopback: Loopback,
    roots: Arc<Roots>,
}

impl Webhooks {
    /// For a server on these addresses: one that only this machine reaches may send webhooks to it. Behind a proxy others
    /// reach it, too.
    pub(crate) fn new(addresses: &[SocketAddr], proxies: &[IpNet]) -> Self {
        let is_local = proxies.is_empty() && addresses.iter().all(|address| address.ip().is_loopback());
        let loopback = if is_local { Loopback::Allowed } else { Loopback::Refused };
        Self { loopback, roots: Arc::default() }
    }
}

impl WebhookClient for Webhooks {
    fn loopback(&self) -> Loopback {
        self.loopback
    }

    fn signer(&self, secret: &[u8; 32]) -> Arc<dyn Signer> {
        Arc::new(Keys::of(secret))
    }

    fn send(&self, webhook: Webhook) -> Pin<Box<dyn Future<Output = Result<WebhookAnswer, String>> + Send>> {
        let (roots, loopback) = (self.roots.clone(), self.loopback);
        Box::pin(async move {
            let Webhook { url, signature, content, trace, time } = webhook;
            let mut request = Request::post(url.uri())
                .header(CONTENT_TYPE, "application/json")
                .header(USER_AGENT, outbound::USER_AGENT)
                .header("webhook-signature", signature);
            if let Some(trace) = trace {
                request = request.header("traceparent", trace.to_string());
            }
            let request = request.body(Full::<Bytes>::new(content)).map_err(|error| error.to_string())?;
            let permits = |address| url.permits(address, loopback);
            let sent = timeout(time, outbound::exchange_with(request, MOST_BYTES, permits, &roots)).await;
            let (head, content) = sent.map_err(|_| format!("no answer in {time:?}"))??.into_parts();
            Ok(WebhookAnswer { status: head.status, content })
        })
    }
}

/// Keys made of a secret.
struct Keys {
    /// Both halves of one key.
    pair: Ed25519KeyPair,
    code: hmac::Key,
}

impl Keys {
    fn of(secret: &[u8; 32]) -> Self {
        let code = hmac::Key::new(hmac::HMAC_SHA256, secret);
        // Apart from the key of the codes, which are handed out.
        let mut seed = [0; 32];
        seed.copy_from_slice(hmac::sign(&code, b"ed25519").as_ref());
        Self { pair: pair(&seed), code }
    }
}

/// Any 32 bytes are a seed (RFC 8032, section 5.1.5).
fn pair(seed: &[u8; 32]) -> Ed25519KeyPair {
    match Ed25519KeyPair::from_seed_unchecked(seed) {
        Ok(pair) => pair,
        Err(_) => unreachable!("a seed of 32 bytes is accepted"),
    }
}

impl Signer for Keys {
    /// A digest of the key.
    fn key_id(&self) -> String {
        let digest = digest(&SHA256, self.pair.public_key().as_ref());
        let digits = digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}"));
        format!("ds_{}", digits.collect::<String>())
    }

    fn public_key(&self) -> [u8; 32] {
        let mut key = [0; 32];
        key.copy_from_slice(self.pair.public_key().as_ref());
        key
    }

    fn sign(&self, content: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(content).as_ref());
        signature
    }

    fn authenticate(&self, content: &[u8]) -> [u8; 32] {
        let mut code = [0; 32];
        code.copy_from_slice(hmac::sign(&self.code, content).as_ref());
        code
    }
}
