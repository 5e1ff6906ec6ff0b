//! The server's secret: what webhooks are signed with, and the tokens of wakes.

use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use poll_core::Timestamp;
use subtle::ConstantTimeEq as _;

use super::client::Signer;

/// The keys made of the secret. A clone is the same.
#[derive(Clone)]
pub(super) struct Keys(Arc<ArcSwap<Arc<dyn Signer>>>);

impl Keys {
    pub(super) fn new(signer: Arc<dyn Signer>) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(signer)))
    }

    /// The secret was read again, and makes this.
    pub(super) fn replace(&self, signer: Arc<dyn Signer>) {
        self.0.store(Arc::new(signer));
    }

    fn signer(&self) -> Arc<dyn Signer> {
        self.0.load().as_ref().clone()
    }

    /// The name of the public key.
    pub(super) fn id(&self) -> String {
        self.signer().key_id()
    }

    /// The public keys: name and value.
    pub(super) fn public(&self) -> Vec<(String, String)> {
        let signer = self.signer();
        vec![(signer.key_id(), URL_SAFE_NO_PAD.encode(signer.public_key()))]
    }

    /// The signature of content that is sent `now`, which is part of what is signed.
    pub(super) fn signature(&self, now: Timestamp, content: &[u8]) -> String {
        let seconds = now.as_millis() / 1_000;
        let mut signed = format!("{seconds}.").into_bytes();
        signed.extend_from_slice(content);
        let signer = self.signer();
        let signature = URL_SAFE_NO_PAD.encode(signer.sign(&signed));
        format!("t={seconds},kid={},ed25519={signature}", signer.key_id())
    }

    /// The token of a wake. `subject` is the subscription, and no later one of its id.
    pub(super) fn token(&self, subject: &str, generation: u64) -> String {
        let code = self.signer().authenticate(format!("wake\n{subject}\n{generation}").as_bytes());
        format!("dst_{generation}_{}", URL_SAFE_NO_PAD.encode(code))
    }

    /// The generation of a token of this subject.
    pub(super) fn generation(&self, subject: &str, token: &str) -> Option<u64> {
        let (generation, _) = token.strip_prefix("dst_")?.split_once('_')?;
        let generation = generation.parse().ok()?;
        let ours = self.token(subject, generation);
        bool::from(ours.as_bytes().ct_eq(token.as_bytes())).then_some(generation)
    }
}
