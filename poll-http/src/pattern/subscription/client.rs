//! What leaves the machine, and the cryptography for it, which the embedding program brings.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use crate::dialect::durable_streams::subscriptions::{Loopback, WebhookUrl};
use crate::message::trace_context::TraceContext;

/// Sends webhooks.
pub trait WebhookClient: Send + Sync + 'static {
    /// Whether receivers may be on the server's own machine.
    fn loopback(&self) -> Loopback;

    /// Makes a key pair, and a key for authentication, of a secret.
    fn signer(&self, secret: &[u8; 32]) -> Arc<dyn Signer>;

    /// Sends a webhook, to an address that its URL [permits](WebhookUrl::permits) and no other: redirects are not followed.
    /// The future may be dropped at any time. An error is a few words.
    fn send(&self, webhook: Webhook) -> Pin<Box<dyn Future<Output = Result<WebhookAnswer, String>> + Send>>;
}

/// Signs webhooks.
pub trait Signer: Send + Sync {
    /// The name of the key, made from the key itself.
    fn key_id(&self) -> String;

    /// The public key (RFC 8032).
    fn public_key(&self) -> [u8; 32];

    /// An Ed25519 signature (RFC 8032).
    fn sign(&self, content: &[u8]) -> [u8; 64];

    /// A code that only this secret makes, such as HMAC with SHA-256 (RFC 2104).
    fn authenticate(&self, content: &[u8]) -> [u8; 32];
}

/// A webhook: a POST of JSON.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Where to.
    pub url: WebhookUrl,
    /// The value of `Webhook-Signature`.
    pub signature: String,
    /// Its content.
    pub content: Bytes,
    /// The trace that the newest message before it belongs to, as its publisher's `traceparent` said: the value of this one's.
    pub trace: Option<TraceContext>,
    /// How long the answer may take in all.
    pub time: Duration,
}

/// What a receiver answered.
#[derive(Debug, Clone)]
pub struct WebhookAnswer {
    /// The status.
    pub status: StatusCode,
    /// The content, or its beginning.
    pub content: Bytes,
}
