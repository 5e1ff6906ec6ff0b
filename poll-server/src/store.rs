//! Opens the store that the configuration names.
//!
//! What: one function that says which stores this build has, one that opens the configured one.
//! Why: the only place that knows all kinds; everything else holds a `Store`.
//! Not here: what a store does (poll-core).

use poll_core::Store;

use crate::config::{Config, StoreUrl};

/// Why the store cannot be used, as one line.
#[derive(Debug)]
pub struct StoreError(String);

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StoreError {}

/// Whether this build can open `url` at all; known before anything is bound or created.
///
/// # Errors
/// One plain line.
pub(crate) fn supported(url: &StoreUrl) -> Result<(), String> {
    match url {
        StoreUrl::Memory => Ok(()),
        StoreUrl::Disk(_) => Err("this build has no disk store yet; use memory:".to_owned()),
        StoreUrl::Redis(_) => Err("this build has no redis or valkey store yet; use memory:".to_owned()),
    }
}

/// Opens the configured store.
///
/// # Errors
/// When it cannot be used.
pub(crate) fn open_store(config: &Config) -> Result<Store, StoreError> {
    supported(&config.store).map_err(StoreError)?;
    Ok(Store::in_memory(config.retention))
}
