//! What subscriptions need of the server around them.

use std::sync::Arc;

use poll_core::Store;
use poll_core::environment::Environment;

use super::client::WebhookClient;

/// See the [module](self). A clone is the same.
#[derive(Clone)]
pub(super) struct Outside {
    pub(super) store: Store,
    pub(super) environment: Environment,
    pub(super) client: Arc<dyn WebhookClient>,
}

impl Outside {
    /// A random number, for names that must not be guessed or given twice.
    pub(super) fn random(&self) -> u128 {
        let random = || u128::from(self.environment.random());
        random() << 64 | random()
    }
}
